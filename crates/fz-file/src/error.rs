//! Every reason for which an operation of a slot file fails.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// A failed operation of a slot file: the operation, the path, the [reason](FileErrorKind), and
/// the [`std::io::Error`] behind it.
pub type FileError = fz_error::Error<FileErrorKind>;

/// `std::result::Result` with a [`FileError`].
pub type Result<T> = std::result::Result<T, FileError>;

fz_error::catalogue! {
    /// Why an operation of a slot file failed.
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open(SlotFileConfig::new(path, 128).initial_slots(8))?;
    /// let error = file.read(8, &mut [0; 128]).unwrap_err();
    /// match error.kind() {
    ///     FileErrorKind::OutOfRange { slot_index: 8, slots_in_file: 8, .. } => {}
    ///     other => panic!("{other}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(PartialEq, Eq)]
    #[non_exhaustive]
    pub enum FileErrorKind in fz_error::domain::FILE {
        InvalidSlotSize {
            /// The configured size in bytes.
            slot_size: usize,
            /// [`SlotFile::SLOT_SIZE_MAX`](crate::SlotFile::SLOT_SIZE_MAX).
            slot_size_max: usize,
        } = 1, "the configured slot size is 0 or too large",
            "a slot size of {slot_size} bytes was asked for; it must be 1 to {slot_size_max}";
        /// So many slots have more bytes than a file can have (`i64::MAX`).
        FileTooLarge {
            /// The slots that the file would have; `u64::MAX` if they are more than that.
            slots: u64,
            /// The size of one, in bytes.
            slot_size: usize,
        } = 2, "the slots have more bytes than a file can have",
            "{slots} slots of {slot_size} bytes are more than a file can hold; ask for fewer";
        /// The path names no file: it is empty, or ends in `/`, `.` or `..`.
        InvalidPath = 3, "the path names no file", "the path names no file; let it end in a file name";
        /// There is no such file, and it was not to be created: because of
        /// [`Create::Never`](crate::Create::Never), or because it was to be opened read-only.
        NotFound = 4, "there is no file, and it was not to be created",
            "there is no such file, and it was not to be created; check the path, or use Create::IfMissing without \
             read_only(true)";
        /// There is such a file already, and [`Create::New`](crate::Create::New) was asked for.
        AlreadyExists = 5, "there is a file, and it was to be created",
            "the file exists already; use Create::IfMissing to open it, or remove it";
        /// The directory that would hold the file is missing, or is no directory.
        ParentMissing {
            /// The path of that directory.
            parent: PathBuf,
        } = 6, "the directory for the file is missing",
            "the directory {} does not exist or is no directory; create it first", fz_error::EscapedPath(parent);
        IsDirectory = 7, "the path is a directory", "the path is a directory; name a file in it";
        /// Another open file, of this or another process, holds the lock, or is creating the file.
        Locked = 8, "another opener holds the lock or is creating the file",
            "the file is locked by another opener, in this or another process; close it there first";
        /// The file's length is no multiple of the slot size: it was made with another slot size, or
        /// is no slot file.
        LengthNotMultiple {
            /// The file's length in bytes.
            length: u64,
            /// The configured slot size in bytes.
            slot_size: usize,
        } = 9, "the file's length is no multiple of the slot size",
            "the file is {length} bytes long, no multiple of the slot size {slot_size}; open it with its own slot \
             size";
        /// A file opened read-only has fewer slots than the config asks for.
        TooFewSlots {
            /// The slots in the file.
            slots: u64,
            /// The slots that the config asks for.
            initial_slots: u64,
        } = 10, "a read-only file has fewer slots than asked for",
            "the file has {slots} slots and {initial_slots} were asked for, but it is opened read-only and cannot \
             grow";
        /// Each time the file was opened, the path meant another one (or none) afterwards.
        PathUnstable {
            /// How often it was tried.
            attempts: u32,
        } = 11, "the path kept changing its meaning while it was opened",
            "the path meant another file after each of {attempts} attempts; is it a dangling link, being replaced, \
             or on a file system whose inode numbers change?";
        /// The operating system refused a step of opening the file.
        OpenFailed {
            /// What was being done, for people.
            step: &'static str,
        } = 12, "a system call of opening failed", "could not {step}; the cause says why";
        /// The operating system refused a step of creating the file. Nothing half-made is left at its
        /// path. (A disk too full for the slots is [`GrowFailed`](Self::GrowFailed).)
        CreateFailed {
            /// What was being done, for people.
            step: &'static str,
            /// The name that the file has until it is whole.
            temporary: PathBuf,
        } = 13, "a system call of creating failed",
            "could not {step} (temporary name {}); the cause says why", fz_error::EscapedPath(temporary);
        /// No bytes were given: a transfer is one slot or more.
        ZeroBytes {
            /// The first slot of the transfer.
            slot_index: u64,
        } = 14, "a transfer of no bytes", "0 bytes were given for slot {slot_index}; give one slot or more";
        /// The bytes are no whole slots.
        BytesNotMultiple {
            /// The first slot of the transfer.
            slot_index: u64,
            /// The bytes given, of all slices together.
            bytes: usize,
            /// The file's slot size in bytes.
            slot_size: usize,
        } = 15, "a transfer of a part of a slot",
            "{bytes} bytes were given for slot {slot_index}, no multiple of the slot size {slot_size}; give whole \
             slots";
        /// `slot_index * slot_size`, or the end of the range, is beyond what a file can have.
        OffsetOverflow {
            /// The first slot of the range.
            slot_index: u64,
            /// The file's slot size in bytes.
            slot_size: usize,
        } = 16, "a slot beyond any file",
            "slot {slot_index} of {slot_size} bytes lies beyond any file; check the index";
        /// The range ends after the file's last slot.
        OutOfRange {
            /// The first slot of the range.
            slot_index: u64,
            /// The slots in the range.
            slots: u64,
            /// The slots in the file.
            slots_in_file: u64,
        } = 17, "a slot beyond the end of this file",
            "{slots} slots from slot {slot_index} were asked for and the file has {slots_in_file}; grow it first";
        /// The file is open for reading only.
        ReadOnly = 18, "a change to a file that is open read-only",
            "the file is open read-only; open it without read_only(true)";
        /// The file ended inside a slot that it has: another program cut it.
        UnexpectedEnd {
            /// The first slot of the read.
            slot_index: u64,
            /// The bytes asked for.
            bytes: usize,
            /// The bytes read before the end.
            bytes_read: usize,
        } = 19, "the file ended inside a slot that it has",
            "the file ended after {bytes_read} of {bytes} bytes from slot {slot_index}: another program cut it";
        /// The operating system refused a read.
        ReadFailed {
            /// The first slot of the read.
            slot_index: u64,
            /// The bytes asked for.
            bytes: usize,
            /// The bytes read before the failure.
            bytes_read: usize,
        } = 20, "a read failed",
            "the read of {bytes} bytes from slot {slot_index} failed after {bytes_read}; the cause says why";
        /// The operating system took 0 bytes of a write, without a reason.
        WriteStalled {
            /// The first slot of the write.
            slot_index: u64,
            /// The bytes to write.
            bytes: usize,
            /// The bytes written before it stopped.
            bytes_written: usize,
        } = 21, "a write made no progress",
            "the write of {bytes} bytes to slot {slot_index} stopped after {bytes_written} without an error";
        /// The operating system refused a write. What the slots now hold is undefined; they may be
        /// written again.
        WriteFailed {
            /// The first slot of the write.
            slot_index: u64,
            /// The bytes to write.
            bytes: usize,
            /// The bytes written before the failure.
            bytes_written: usize,
        } = 22, "a write failed",
            "the write of {bytes} bytes to slot {slot_index} failed after {bytes_written}; the cause says why";
        /// A sync of this file failed, now or earlier. Nothing is written or synced any more: the
        /// kernel may have dropped what was not durable and shows it all the same. An open for writing makes the kernel
        /// drop it there, too ([`Storage::drop_clean_pages`](crate::Storage::drop_clean_pages)): open the file anew,
        /// check what it holds, and write the rest again.
        SyncFailed {
            /// The operation whose sync failed first.
            failed_in: &'static str,
            /// What the operating system said then.
            cause: String,
        } = 23, "a sync failed, now or earlier",
            "a sync failed in `{failed_in}` ({cause}): what was not durable may be lost, and nothing more is \
             written; close the file, open it anew (which drops what only the kernel shows; where the system \
             cannot, use another file), check what it holds, and write the rest again";
        /// The operating system refused a step of giving the file its slots, in `grow` or in `open`.
        /// The file keeps the slots it has, and is cut to them again unless that is refused, too; of a new
        /// one nothing is left.
        GrowFailed {
            /// The slots before, and still.
            slots: u64,
            /// The slots that were to be.
            slots_asked: u64,
            /// What was being done, for people.
            step: &'static str,
        } = 24, "a system call of growing failed",
            "growing from {slots} to {slots_asked} slots failed: could not {step}; the cause says why";
        /// The file is shorter than the slots it had when it was opened or last grown.
        FileCut {
            /// The file's length in bytes.
            length: u64,
            /// The bytes of the slots that it should have.
            length_expected: u64,
        } = 25, "the file is shorter than its slots",
            "the file is {length} bytes long and should be at least {length_expected}: another program cut it";
        /// The path no longer means this file, so it was not removed.
        PathReplaced = 26, "the path no longer means this file",
            "the path means another file now, or none; nothing was removed";
        /// The operating system refused a step of removing the file.
        RemoveFailed {
            /// What was being done, for people.
            step: &'static str,
        } = 27, "a system call of removing failed",
            "could not {step}; the file is closed and may still be there; the cause says why";
        /// The file system takes no writes: it is mounted read-only, or stopped after a failure of its own (`EROFS`,
        /// `ESHUTDOWN`; an aborted journal). In the latter case what it shows need not be on the disk.
        FileSystemReadOnly {
            /// What was being done, for people.
            step: &'static str,
        } = 28, "the file system takes no writes, by its mount or after a failure",
            "could not {step}: the file system takes no writes; if it stopped after a failure, unmount and check \
             it, mount it again, then open the file anew and check what it holds; to read only, use read_only(true)";
        /// The file was opened by another process, of which this one is a copy that `fork(2)` made.
        OtherProcess = 29, "a change by a forked copy of the process that opened the file",
            "the file was opened before a fork, and this is the child; let the parent write, or open it here once \
             the parent has closed it";
        /// The process, or the system, has as many descriptors open as it may.
        OutOfDescriptors {
            /// What was being done, for people.
            step: &'static str,
        } = 30, "no descriptor is left to open a file or directory",
            "could not {step}: no descriptor is left; close files, or raise the limit (ulimit -n), and try again";
        /// Something that no creation leaves has the name that the file needs until it is whole: a link, a directory, a
        /// pipe. It was left as it is.
        TemporaryTaken {
            /// The name that the file would have had until it was whole.
            temporary: PathBuf,
        } = 31, "the temporary name is taken by a link, a directory or a pipe",
            "the name {} is needed to create the file, and is no regular file; remove it",
            fz_error::EscapedPath(temporary);
    }
}

/// The kind for a step of an open that the operating system refused: `otherwise`, unless the cause has its own.
pub(crate) fn refusal(step: &'static str, cause: &io::Error, otherwise: FileErrorKind) -> FileErrorKind {
    match cause.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EROFS | Errno::ESHUTDOWN) => FileErrorKind::FileSystemReadOnly { step },
        Some(Errno::EMFILE | Errno::ENFILE) => FileErrorKind::OutOfDescriptors { step },
        _ => otherwise,
    }
}
