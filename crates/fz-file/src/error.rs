//! Every reason for which an operation of a slot file fails.

use std::io;
use std::path::PathBuf;

use fz_error::{Kind, Reason, domain};
use nix::errno::Errno;

/// A failed operation of a slot file: the operation, the path, the [reason](FileErrorKind), and
/// the [`std::io::Error`] behind it.
pub type FileError = fz_error::Error<FileErrorKind>;

/// `std::result::Result` with a [`FileError`].
pub type Result<T> = std::result::Result<T, FileError>;

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// The configured slot size is 0 or too large.
    #[error("a slot size of {slot_size} bytes was asked for; it must be 1 to {slot_size_max}")]
    InvalidSlotSize {
        /// The configured size in bytes.
        slot_size: usize,
        /// [`SlotFile::SLOT_SIZE_MAX`](crate::SlotFile::SLOT_SIZE_MAX).
        slot_size_max: usize,
    },
    /// So many slots have more bytes than a file can have (`i64::MAX`).
    #[error("{slots} slots of {slot_size} bytes are more than a file can hold; ask for fewer")]
    FileTooLarge {
        /// The slots that the file would have; `u64::MAX` if they are more than that.
        slots: u64,
        /// The size of one, in bytes.
        slot_size: usize,
    },
    /// The path names no file: it is empty, or ends in `/`, `.` or `..`.
    #[error("the path names no file; let it end in a file name")]
    InvalidPath,
    /// There is no such file, and it was not to be created: because of
    /// [`Create::Never`](crate::Create::Never), or because it was to be opened read-only.
    #[error(
        "there is no such file, and it was not to be created; check the path, or use Create::IfMissing without \
         read_only(true)"
    )]
    NotFound,
    /// There is such a file already, and [`Create::New`](crate::Create::New) was asked for.
    #[error("the file exists already; use Create::IfMissing to open it, or remove it")]
    AlreadyExists,
    /// The directory that would hold the file is missing, or is no directory.
    #[error("the directory {} does not exist or is no directory; create it first", parent.display())]
    ParentMissing {
        /// The path of that directory.
        parent: PathBuf,
    },
    /// The path is a directory.
    #[error("the path is a directory; name a file in it")]
    IsDirectory,
    /// Another open file, of this or another process, holds the lock, or is creating the file.
    #[error("the file is locked by another opener, in this or another process; close it there first")]
    Locked,
    /// The file's length is no multiple of the slot size: it was made with another slot size, or
    /// is no slot file.
    #[error(
        "the file is {length} bytes long, no multiple of the slot size {slot_size}; open it with its own slot size"
    )]
    LengthNotMultiple {
        /// The file's length in bytes.
        length: u64,
        /// The configured slot size in bytes.
        slot_size: usize,
    },
    /// A file opened read-only has fewer slots than the config asks for.
    #[error(
        "the file has {slots} slots and {initial_slots} were asked for, but it is opened read-only and cannot grow"
    )]
    TooFewSlots {
        /// The slots in the file.
        slots: u64,
        /// The slots that the config asks for.
        initial_slots: u64,
    },
    /// Each time the file was opened, the path meant another one (or none) afterwards.
    #[error(
        "the path meant another file after each of {attempts} attempts; is it a dangling link, being replaced, or on a \
         file system whose inode numbers change?"
    )]
    PathUnstable {
        /// How often it was tried.
        attempts: u32,
    },
    /// The operating system refused a step of opening the file.
    #[error("could not {step}; the cause says why")]
    OpenFailed {
        /// What was being done, for people.
        step: &'static str,
    },
    /// The operating system refused a step of creating the file. Nothing half-made is left at its
    /// path. (A disk too full for the slots is [`GrowFailed`](Self::GrowFailed).)
    #[error("could not {step} (temporary name {}); the cause says why", temporary.display())]
    CreateFailed {
        /// What was being done, for people.
        step: &'static str,
        /// The name that the file has until it is whole.
        temporary: PathBuf,
    },
    /// No bytes were given: a transfer is one slot or more.
    #[error("0 bytes were given for slot {slot_index}; give one slot or more")]
    ZeroBytes {
        /// The first slot of the transfer.
        slot_index: u64,
    },
    /// The bytes are no whole slots.
    #[error(
        "{bytes} bytes were given for slot {slot_index}, no multiple of the slot size {slot_size}; give whole slots"
    )]
    BytesNotMultiple {
        /// The first slot of the transfer.
        slot_index: u64,
        /// The bytes given, of all slices together.
        bytes: usize,
        /// The file's slot size in bytes.
        slot_size: usize,
    },
    /// `slot_index * slot_size`, or the end of the range, is beyond what a file can have.
    #[error("slot {slot_index} of {slot_size} bytes lies beyond any file; check the index")]
    OffsetOverflow {
        /// The first slot of the range.
        slot_index: u64,
        /// The file's slot size in bytes.
        slot_size: usize,
    },
    /// The range ends after the file's last slot.
    #[error("{slots} slots from slot {slot_index} were asked for and the file has {slots_in_file}; grow it first")]
    OutOfRange {
        /// The first slot of the range.
        slot_index: u64,
        /// The slots in the range.
        slots: u64,
        /// The slots in the file.
        slots_in_file: u64,
    },
    /// The file is open for reading only.
    #[error("the file is open read-only; open it without read_only(true)")]
    ReadOnly,
    /// The file ended inside a slot that it has: another program cut it.
    #[error("the file ended after {bytes_read} of {bytes} bytes from slot {slot_index}: another program cut it")]
    UnexpectedEnd {
        /// The first slot of the read.
        slot_index: u64,
        /// The bytes asked for.
        bytes: usize,
        /// The bytes read before the end.
        bytes_read: usize,
    },
    /// The operating system refused a read.
    #[error("the read of {bytes} bytes from slot {slot_index} failed after {bytes_read}; the cause says why")]
    ReadFailed {
        /// The first slot of the read.
        slot_index: u64,
        /// The bytes asked for.
        bytes: usize,
        /// The bytes read before the failure.
        bytes_read: usize,
    },
    /// The operating system took 0 bytes of a write, without a reason.
    #[error("the write of {bytes} bytes to slot {slot_index} stopped after {bytes_written} without an error")]
    WriteStalled {
        /// The first slot of the write.
        slot_index: u64,
        /// The bytes to write.
        bytes: usize,
        /// The bytes written before it stopped.
        bytes_written: usize,
    },
    /// The operating system refused a write. What the slots now hold is undefined; they may be
    /// written again.
    #[error("the write of {bytes} bytes to slot {slot_index} failed after {bytes_written}; the cause says why")]
    WriteFailed {
        /// The first slot of the write.
        slot_index: u64,
        /// The bytes to write.
        bytes: usize,
        /// The bytes written before the failure.
        bytes_written: usize,
    },
    /// A sync of this file failed, now or earlier. Nothing is written or synced any more: the
    /// kernel may have dropped what was not durable and shows it all the same. An open for writing makes the kernel
    /// drop it there, too ([`Storage::drop_clean_pages`](crate::Storage::drop_clean_pages)): open the file anew, check
    /// what it holds, and write the rest again.
    #[error(
        "a sync failed in `{failed_in}` ({cause}): what was not durable may be lost, and nothing more is written; \
         close the file, open it anew (which drops what only the kernel shows; where the system cannot, use another \
         file), check what it holds, and write the rest again"
    )]
    SyncFailed {
        /// The operation whose sync failed first.
        failed_in: &'static str,
        /// What the operating system said then.
        cause: String,
    },
    /// The operating system refused a step of giving the file its slots, in `grow` or in `open`.
    /// The file keeps the slots it has, and is cut to them again unless that is refused, too; of a new
    /// one nothing is left.
    #[error("growing from {slots} to {slots_asked} slots failed: could not {step}; the cause says why")]
    GrowFailed {
        /// The slots before, and still.
        slots: u64,
        /// The slots that were to be.
        slots_asked: u64,
        /// What was being done, for people.
        step: &'static str,
    },
    /// The file is shorter than the slots it had when it was opened or last grown.
    #[error("the file is {length} bytes long and should be at least {length_expected}: another program cut it")]
    FileCut {
        /// The file's length in bytes.
        length: u64,
        /// The bytes of the slots that it should have.
        length_expected: u64,
    },
    /// The path no longer means this file, so it was not removed.
    #[error("the path means another file now, or none; nothing was removed")]
    PathReplaced,
    /// The operating system refused a step of removing the file.
    #[error("could not {step}; the file is closed and may still be there; the cause says why")]
    RemoveFailed {
        /// What was being done, for people.
        step: &'static str,
    },
    /// The file system takes no writes: it is mounted read-only, or stopped after a failure of its own (`EROFS`,
    /// `ESHUTDOWN`; an aborted journal). In the latter case what it shows need not be on the disk.
    #[error(
        "could not {step}: the file system takes no writes; if it stopped after a failure, unmount and check it, mount \
         it again, then open the file anew and check what it holds; to read only, use read_only(true)"
    )]
    FileSystemReadOnly {
        /// What was being done, for people.
        step: &'static str,
    },
    /// The file was opened by another process, of which this one is a copy that `fork(2)` made.
    #[error(
        "the file was opened before a fork, and this is the child; let the parent write, or open it here once the \
         parent has closed it"
    )]
    OtherProcess,
    /// The process, or the system, has as many descriptors open as it may.
    #[error("could not {step}: no descriptor is left; close files, or raise the limit (ulimit -n), and try again")]
    OutOfDescriptors {
        /// What was being done, for people.
        step: &'static str,
    },
    /// Something that no creation leaves has the name that the file needs until it is whole: a link, a directory, a
    /// pipe. It was left as it is.
    #[error("the name {} is needed to create the file, and is no regular file; remove it", temporary.display())]
    TemporaryTaken {
        /// The name that the file would have had until it was whole.
        temporary: PathBuf,
    },
}

/// The kind for a step of an open that the operating system refused: `otherwise`, unless the cause has its own.
pub(crate) fn refusal(step: &'static str, cause: &io::Error, otherwise: FileErrorKind) -> FileErrorKind {
    match cause.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EROFS | Errno::ESHUTDOWN) => FileErrorKind::FileSystemReadOnly { step },
        Some(Errno::EMFILE | Errno::ENFILE) => FileErrorKind::OutOfDescriptors { step },
        _ => otherwise,
    }
}

impl Kind for FileErrorKind {
    const DOMAIN: u8 = domain::FILE;

    const REASONS: &'static [Reason] = &[
        Reason::new(1, "InvalidSlotSize", "the configured slot size is 0 or too large"),
        Reason::new(2, "FileTooLarge", "the slots have more bytes than a file can have"),
        Reason::new(3, "InvalidPath", "the path names no file"),
        Reason::new(4, "NotFound", "there is no file, and it was not to be created"),
        Reason::new(5, "AlreadyExists", "there is a file, and it was to be created"),
        Reason::new(6, "ParentMissing", "the directory for the file is missing"),
        Reason::new(7, "IsDirectory", "the path is a directory"),
        Reason::new(8, "Locked", "another opener holds the lock or is creating the file"),
        Reason::new(9, "LengthNotMultiple", "the file's length is no multiple of the slot size"),
        Reason::new(10, "TooFewSlots", "a read-only file has fewer slots than asked for"),
        Reason::new(11, "PathUnstable", "the path kept changing its meaning while it was opened"),
        Reason::new(12, "OpenFailed", "a system call of opening failed"),
        Reason::new(13, "CreateFailed", "a system call of creating failed"),
        Reason::new(14, "ZeroBytes", "a transfer of no bytes"),
        Reason::new(15, "BytesNotMultiple", "a transfer of a part of a slot"),
        Reason::new(16, "OffsetOverflow", "a slot beyond any file"),
        Reason::new(17, "OutOfRange", "a slot beyond the end of this file"),
        Reason::new(18, "ReadOnly", "a change to a file that is open read-only"),
        Reason::new(19, "UnexpectedEnd", "the file ended inside a slot that it has"),
        Reason::new(20, "ReadFailed", "a read failed"),
        Reason::new(21, "WriteStalled", "a write made no progress"),
        Reason::new(22, "WriteFailed", "a write failed"),
        Reason::new(23, "SyncFailed", "a sync failed, now or earlier"),
        Reason::new(24, "GrowFailed", "a system call of growing failed"),
        Reason::new(25, "FileCut", "the file is shorter than its slots"),
        Reason::new(26, "PathReplaced", "the path no longer means this file"),
        Reason::new(27, "RemoveFailed", "a system call of removing failed"),
        Reason::new(28, "FileSystemReadOnly", "the file system takes no writes, by its mount or after a failure"),
        Reason::new(29, "OtherProcess", "a change by a forked copy of the process that opened the file"),
        Reason::new(30, "OutOfDescriptors", "no descriptor is left to open a file or directory"),
        Reason::new(31, "TemporaryTaken", "the temporary name is taken by a link, a directory or a pipe"),
    ];

    fn reason(&self) -> u16 {
        match self {
            Self::InvalidSlotSize { .. } => 1,
            Self::FileTooLarge { .. } => 2,
            Self::InvalidPath => 3,
            Self::NotFound => 4,
            Self::AlreadyExists => 5,
            Self::ParentMissing { .. } => 6,
            Self::IsDirectory => 7,
            Self::Locked => 8,
            Self::LengthNotMultiple { .. } => 9,
            Self::TooFewSlots { .. } => 10,
            Self::PathUnstable { .. } => 11,
            Self::OpenFailed { .. } => 12,
            Self::CreateFailed { .. } => 13,
            Self::ZeroBytes { .. } => 14,
            Self::BytesNotMultiple { .. } => 15,
            Self::OffsetOverflow { .. } => 16,
            Self::OutOfRange { .. } => 17,
            Self::ReadOnly => 18,
            Self::UnexpectedEnd { .. } => 19,
            Self::ReadFailed { .. } => 20,
            Self::WriteStalled { .. } => 21,
            Self::WriteFailed { .. } => 22,
            Self::SyncFailed { .. } => 23,
            Self::GrowFailed { .. } => 24,
            Self::FileCut { .. } => 25,
            Self::PathReplaced => 26,
            Self::RemoveFailed { .. } => 27,
            Self::FileSystemReadOnly { .. } => 28,
            Self::OtherProcess => 29,
            Self::OutOfDescriptors { .. } => 30,
            Self::TemporaryTaken { .. } => 31,
        }
    }
}
