//! Opening and creating.
//!
//! **Creation.** The file is made under a temporary name in the same directory, `.NAME.creating` (of a long name, a
//! hash of it: [`temporary_name`]): created exclusively, locked, filled, synced; then it gets its final name, unless
//! that was taken meanwhile, and the directory is synced. A file at the final name is therefore whole.
//!
//! **The rule for temporary names.** Only the holder of the lock on the file that the name means
//! may rename or remove the name, and it makes sure *after* locking that the name still means that
//! file. A temporary file that can be locked has no living creator: it is removed and made anew,
//! never reused (it may be a second link to a file that is in use). A symbolic link under that name is
//! not followed, and nothing but a regular file is removed: no creation leaves anything else.
//!
//! **Opening.** Locking and then asking again what the path means excludes the file that was
//! removed or replaced between the open and the lock. Every opener that may write syncs the file,
//! whose length may be that of a growth that failed, and the directory: the creator may have died
//! before it did. Between the two it drops the file's clean pages: after a write that failed in an earlier opener's
//! sync, the kernel may hold pages that the disk does not have, and take a second write of them for done.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use fz_error::mutants;
use nix::errno::Errno;

use crate::error::refusal;
use crate::extend::{ExtendError, extend};
use crate::latch::sync_failed;
use crate::transfer::uninterrupted;
use crate::{
    Access, Create, FileError, FileErrorKind, FileIdentity, Result, SlotFile, SlotFileConfig, Storage, Volume,
};

/// Each further attempt means that another process created, removed or replaced the file just now.
const ATTEMPTS_MAX: u32 = 32;

/// The same, when a whole file was made each time before the name was found taken: zeros by the
/// gigabyte, perhaps. At a dangling link that happens as often as it is tried.
const IN_VAIN_MAX: u32 = 4;

/// A file that is open, locked, and has the slots it should have.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) slots: u64,
}

/// What one attempt came to.
enum Attempt {
    Opened(Opened),
    /// There is no file at the path.
    Missing,
    /// Another opener was quicker; the next attempt finds what it left.
    Overtaken,
    /// The same, found only when a whole file had been made: its name is taken.
    NameTaken,
}

/// One call of `open`.
pub(crate) struct Opening<'a> {
    volume: &'a dyn Volume,
    config: &'a SlotFileConfig,
    directory: &'a Path,
    temporary: PathBuf,
    initial_bytes: u64,
}

impl<'a> Opening<'a> {
    /// Checks the config.
    pub(crate) fn new(volume: &'a dyn Volume, config: &'a SlotFileConfig) -> Result<Self> {
        let SlotFileConfig { slot_size, initial_slots, .. } = *config;
        if slot_size == 0 || slot_size > SlotFile::SLOT_SIZE_MAX {
            let slot_size_max = SlotFile::SLOT_SIZE_MAX;
            return Err(error(config, FileErrorKind::InvalidSlotSize { slot_size, slot_size_max }));
        }
        let Some(initial_bytes) = bytes_of(initial_slots, slot_size) else {
            return Err(error(config, FileErrorKind::FileTooLarge { slots: initial_slots, slot_size }));
        };
        let Some(name) = file_name(&config.path) else {
            return Err(error(config, FileErrorKind::InvalidPath));
        };
        if config.read_only && config.create == Create::New {
            return Err(error(config, FileErrorKind::ReadOnly));
        }
        Ok(Self {
            volume,
            config,
            directory: directory_of(&config.path),
            temporary: config.path.with_file_name(temporary_name(name)),
            initial_bytes,
        })
    }

    pub(crate) fn run(&self) -> Result<Opened> {
        let mut in_vain = 0;
        for _ in 0..ATTEMPTS_MAX {
            let attempt = match self.config.create {
                Create::New => self.create_new()?,
                Create::IfMissing | Create::Never => match self.open_existing()? {
                    Attempt::Missing if self.config.read_only || self.config.create == Create::Never => {
                        return Err(self.error(FileErrorKind::NotFound));
                    }
                    Attempt::Missing => self.create()?,
                    attempt => attempt,
                },
            };
            match attempt {
                Attempt::Opened(opened) => return Ok(opened),
                Attempt::NameTaken => in_vain += 1,
                Attempt::Missing | Attempt::Overtaken => {}
            }
            if in_vain == IN_VAIN_MAX {
                return Err(self.error(FileErrorKind::PathUnstable { attempts: in_vain }));
            }
        }
        Err(self.error(FileErrorKind::PathUnstable { attempts: ATTEMPTS_MAX }))
    }

    fn open_existing(&self) -> Result<Attempt> {
        let path = &*self.config.path;
        let access = if self.config.read_only { Access::Read } else { Access::ReadWrite };
        let storage = match uninterrupted(|| self.volume.open(path, access)) {
            Ok(storage) => storage,
            Err(cause) => match cause.kind() {
                io::ErrorKind::NotFound => return Ok(Attempt::Missing),
                io::ErrorKind::IsADirectory => return Err(self.error(FileErrorKind::IsDirectory)),
                io::ErrorKind::NotADirectory => return Err(self.parent_missing(cause)),
                _ => return Err(self.open_failed("open the file")(cause)),
            },
        };
        self.lock(&*storage, access, self.open_failed("lock the file"))?;
        if !self.means(path, &*storage).map_err(self.open_failed("ask what the path means"))? {
            return Ok(Attempt::Overtaken);
        }
        let length = uninterrupted(|| storage.length()).map_err(self.open_failed("ask for the file's length"))?;
        let slot_size = self.config.slot_size;
        if length % slot_size as u64 != 0 {
            return Err(self.error(FileErrorKind::LengthNotMultiple { length, slot_size }));
        }
        let slots = length / slot_size as u64;
        if self.config.read_only {
            let initial_slots = self.config.initial_slots;
            if slots < initial_slots {
                return Err(self.error(FileErrorKind::TooFewSlots { slots, initial_slots }));
            }
            return Ok(Attempt::Opened(Opened { storage, slots }));
        }
        self.forget_failed_writes(&*storage)?;
        self.finish_creation(&*storage)?;
        if length < self.initial_bytes {
            self.fill(&*storage, length)?;
        }
        match sync_directory(self.volume, self.directory) {
            // A directory that may not be opened to be synced: the name's durability was its creator's matter.
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(self.open_failed("sync the directory"))?,
        }
        Ok(Attempt::Opened(Opened { storage, slots: slots.max(self.config.initial_slots) }))
    }

    /// Makes durable what is there, and has the kernel drop what it only shows.
    ///
    /// The sync is also for the length, which may be that of a growth whose sync failed or never came: a write into
    /// its slots changes no length, so nothing would ever make them durable but this. The drop is for pages whose
    /// write failed, perhaps in another process: ext4 goes on taking their blocks for written, and a second write of
    /// them reaches the disk, and a sync says `Ok`, while their extents still read as zeros after a power cut. It
    /// comes after the sync, for a dirty page stays.
    fn forget_failed_writes(&self, storage: &dyn Storage) -> Result<()> {
        if !mutants::active("trust_an_aborted_journal") {
            // Where the journal was aborted, ext4 syncs what the aborted transaction held without an error: the
            // length could be one that no disk has.
            uninterrupted(|| storage.check_journal()).map_err(self.open_failed("begin a transaction"))?;
        }
        uninterrupted(|| storage.sync_data()).map_err(|cause| self.not_synced(cause))?;
        if mutants::active("skip_the_drop_of_clean_pages") {
            return Ok(());
        }
        match uninterrupted(|| storage.drop_clean_pages()) {
            Err(cause) if cause.kind() != io::ErrorKind::Unsupported => {
                Err(self.open_failed("drop the file's clean pages")(cause))
            }
            _ => Ok(()),
        }
    }

    /// Removes the temporary name where a crash left it as a second link to the file: a volume
    /// without an exclusive rename links and unlinks.
    fn finish_creation(&self, storage: &dyn Storage) -> Result<()> {
        let is_left = match self.is_temporary(storage) {
            // A name that cannot be is not there.
            Err(cause) if cause.kind() == io::ErrorKind::InvalidFilename => false,
            is_left => is_left.map_err(self.create_failed("look for a left-over temporary name"))?,
        };
        if is_left {
            uninterrupted(|| self.volume.remove(&self.temporary))
                .map_err(self.create_failed("remove the left-over temporary name"))?;
        }
        Ok(())
    }

    fn create_new(&self) -> Result<Attempt> {
        // Asked first only to spare the work; the rename is what decides.
        match uninterrupted(|| self.volume.identity(&self.config.path)) {
            Ok(_) => return Err(self.error(FileErrorKind::AlreadyExists)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => return Err(self.parent_missing(cause)),
            Err(cause) => return Err(self.open_failed("ask what the path means")(cause)),
        }
        self.create()
    }

    fn create(&self) -> Result<Attempt> {
        let Some(storage) = self.claim_temporary()? else {
            return Ok(Attempt::Overtaken);
        };
        // The names are removed while the lock is held: afterwards they may be another opener's.
        if let Err(error) = self.set_mode(&*storage).and_then(|()| self.fill(&*storage, 0)) {
            self.discard(&self.temporary);
            return Err(error);
        }
        let path = &*self.config.path;
        if let Err(cause) = uninterrupted(|| self.volume.rename_new(&self.temporary, path)) {
            self.discard(&self.temporary);
            return match cause.kind() {
                io::ErrorKind::AlreadyExists if self.config.create == Create::New => {
                    Err(self.error(FileErrorKind::AlreadyExists))
                }
                io::ErrorKind::AlreadyExists => Ok(Attempt::NameTaken),
                _ => Err(self.create_failed("give the file its name")(cause)),
            };
        }
        if let Err(cause) = sync_directory(self.volume, self.directory) {
            // A name that may not be durable would be opened as if it were. Made anew, it is
            // synced anew.
            self.discard(path);
            return Err(self.create_failed("sync the directory")(cause));
        }
        Ok(Attempt::Opened(Opened { storage, slots: self.config.initial_slots }))
    }

    /// Creates and locks the temporary file; none if another creator was at it.
    fn claim_temporary(&self) -> Result<Option<Box<dyn Storage>>> {
        let storage = match uninterrupted(|| self.volume.create(&self.temporary)) {
            Ok(storage) => storage,
            Err(cause) => match cause.kind() {
                io::ErrorKind::AlreadyExists => return self.clear_stale().map(|()| None),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Err(self.parent_missing(cause)),
                _ => return Err(self.create_failed("create the temporary file")(cause)),
            },
        };
        // On an error below the name stays: it is not known to be ours, and nothing holds it
        // against the next open.
        self.lock(&*storage, Access::ReadWrite, self.create_failed("lock the temporary file"))?;
        let ours = self.is_temporary(&*storage).map_err(self.create_failed("ask for the temporary name"))?;
        Ok(ours.then_some(storage))
    }

    /// Removes a regular file that has the temporary name, if no creation holds its lock.
    fn clear_stale(&self) -> Result<()> {
        let stale = match uninterrupted(|| self.volume.open_no_follow(&self.temporary, Access::ReadWrite)) {
            Ok(stale) => stale,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) if is_no_regular_file(&cause) => {
                let temporary = self.temporary.clone();
                return Err(self.error(FileErrorKind::TemporaryTaken { temporary }).with_source(cause));
            }
            Err(cause) => return Err(self.create_failed("open the left-over temporary file")(cause)),
        };
        self.lock(&*stale, Access::ReadWrite, self.create_failed("lock the left-over temporary file"))?;
        if self.is_temporary(&*stale).map_err(self.create_failed("ask for the temporary name"))? {
            uninterrupted(|| self.volume.remove(&self.temporary))
                .map_err(self.create_failed("remove the left-over temporary file"))?;
            // A name that a crash could bring back keeps its blocks, which the new file may need.
            sync_directory(self.volume, self.directory).map_err(self.create_failed("sync the directory"))?;
        }
        Ok(())
    }

    fn set_mode(&self, storage: &dyn Storage) -> Result<()> {
        let Some(mode) = self.config.mode else { return Ok(()) };
        uninterrupted(|| storage.set_mode(mode)).map_err(self.create_failed("set the file's mode"))
    }

    /// Extends the file from `length` to the initial slots and syncs it.
    fn fill(&self, storage: &dyn Storage, length: u64) -> Result<()> {
        extend(storage, self.config.preallocation, length, self.initial_bytes).map_err(|stopped| match stopped {
            ExtendError::Cut { length: now } => {
                self.error(FileErrorKind::FileCut { length: now, length_expected: length })
            }
            ExtendError::Refused { step, cause } => self.grow_failed(length, step, cause),
        })?;
        uninterrupted(|| storage.sync_all()).map_err(|cause| self.not_synced(cause))
    }

    /// Takes the lock; `refused` describes any error but that another opener has it.
    fn lock(&self, storage: &dyn Storage, access: Access, refused: impl FnOnce(io::Error) -> FileError) -> Result<()> {
        uninterrupted(|| storage.try_lock(access)).map_err(|cause| match cause.kind() {
            io::ErrorKind::WouldBlock => self.error(FileErrorKind::Locked),
            _ => refused(cause),
        })
    }

    /// Whether `path` means the file `storage` now.
    fn means(&self, path: &Path, storage: &dyn Storage) -> io::Result<bool> {
        means(self.volume, path, storage)
    }

    /// Whether the temporary name is one of the file `storage` now, and no link to it.
    fn is_temporary(&self, storage: &dyn Storage) -> io::Result<bool> {
        is_same(storage, || self.volume.identity_no_follow(&self.temporary))
    }

    /// Removes a name for good, as far as possible, when there is something to report already: a name
    /// that a crash could bring back keeps its blocks, which the next attempt may need.
    fn discard(&self, path: &Path) {
        let _ = uninterrupted(|| self.volume.remove(path));
        let _ = sync_directory(self.volume, self.directory);
    }

    fn error(&self, kind: FileErrorKind) -> FileError {
        error(self.config, kind)
    }

    fn refused(&self, step: &'static str, otherwise: FileErrorKind, cause: io::Error) -> FileError {
        self.error(refusal(step, &cause, otherwise)).with_source(cause)
    }

    fn grow_failed(&self, length: u64, step: &'static str, cause: io::Error) -> FileError {
        let slots = length / self.config.slot_size as u64;
        let slots_asked = slots.max(self.config.initial_slots);
        self.refused(step, FileErrorKind::GrowFailed { slots, slots_asked, step }, cause)
    }

    fn not_synced(&self, cause: io::Error) -> FileError {
        self.refused("sync the file", sync_failed(OPERATION, &cause), cause)
    }

    fn parent_missing(&self, cause: io::Error) -> FileError {
        self.error(FileErrorKind::ParentMissing { parent: self.directory.to_owned() }).with_source(cause)
    }

    fn open_failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> FileError {
        move |cause| self.refused(step, FileErrorKind::OpenFailed { step }, cause)
    }

    fn create_failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> FileError {
        move |cause| {
            let temporary = self.temporary.clone();
            self.refused(step, FileErrorKind::CreateFailed { step, temporary }, cause)
        }
    }
}

/// The names that are kept whole in a temporary name, which is 10 bytes longer. The shortest limit on a name that file
/// systems in use have is eCryptfs's, 143 bytes.
const NAME_BYTES_KEPT_MAX: usize = 128;

/// The name that a file has until it is whole: `.NAME.creating`, or with a hash of a long name in its place.
///
/// Two names of one hash would share a temporary name, which costs the second creator a
/// [`Locked`](FileErrorKind::Locked) while the first is at it, and nothing else.
fn temporary_name(name: &OsStr) -> OsString {
    let bytes = name.as_encoded_bytes();
    let mut temporary = OsString::from(".");
    if bytes.len() <= NAME_BYTES_KEPT_MAX {
        temporary.push(name);
    } else {
        // FNV-1a: of std's hashes none is the same in every version, and a left-over must be found by a later one.
        let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        temporary.push(format!("{hash:016x}"));
    }
    temporary.push(".creating");
    temporary
}

/// The last part of a path that names a file. A slash at the end asks for a directory: `Path::file_name` looks past
/// it, and so the kernel would refuse the name only once a whole file had been made for it.
pub(crate) fn file_name(path: &Path) -> Option<&OsStr> {
    let bytes = path.as_os_str().as_encoded_bytes();
    path.file_name().filter(|_| !bytes.ends_with(b"/") && !bytes.ends_with(b"/."))
}

/// Whether an open that follows no link failed for what it would have opened.
fn is_no_regular_file(cause: &io::Error) -> bool {
    let is_link = || matches!(cause.raw_os_error().map(Errno::from_raw), Some(Errno::ELOOP | Errno::EMLINK));
    matches!(cause.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput) || is_link()
}

const OPERATION: &str = "open";

fn error(config: &SlotFileConfig, kind: FileErrorKind) -> FileError {
    FileError::new(config.module_id, OPERATION, kind).with_path(&config.path)
}

/// The bytes of `slots` slots; none if no file can have so many.
pub(crate) fn bytes_of(slots: u64, slot_size: usize) -> Option<u64> {
    slots.checked_mul(slot_size as u64).filter(|&bytes| i64::try_from(bytes).is_ok())
}

/// The directory that holds the entry `path`: `.` for a bare name.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether `path` means the file `storage` now.
pub(crate) fn means(volume: &dyn Volume, path: &Path, storage: &dyn Storage) -> io::Result<bool> {
    is_same(storage, || volume.identity(path))
}

/// Whether `identity` is that of the file `storage`; not if there is none.
fn is_same(storage: &dyn Storage, identity: impl FnMut() -> io::Result<FileIdentity>) -> io::Result<bool> {
    let ours = uninterrupted(|| storage.identity())?;
    match uninterrupted(identity) {
        Ok(identity) if identity == ours => Ok(true),
        // Where an open file has another number at each look, no path could ever be told to mean it.
        Ok(_) if uninterrupted(|| storage.identity())? != ours => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the file system shows another inode number for the same file each time; the lock needs numbers that stay",
        )),
        Ok(_) => Ok(false),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

pub(crate) fn sync_directory(volume: &dyn Volume, directory: &Path) -> io::Result<()> {
    if mutants::active("skip_directory_sync") {
        return Ok(());
    }
    uninterrupted(|| volume.sync_directory(directory))
}
