//! Opening and creating.
//!
//! **Creation.** The file is made under a temporary name in the same directory, `.NAME.creating`:
//! created exclusively, locked, filled, synced; then it gets its final name, unless that was taken
//! meanwhile, and the directory is synced. A file at the final name is therefore whole.
//!
//! **The rule for temporary names.** Only the holder of the lock on the file that the name means
//! may rename or remove the name, and it makes sure *after* locking that the name still means that
//! file. A temporary file that can be locked has no living creator: it is removed and made anew,
//! never reused (it may be a second link to a file that is in use).
//!
//! **Opening.** Locking and then asking again what the path means excludes the file that was
//! removed or replaced between the open and the lock. Every opener that may write syncs the file,
//! whose length may be that of a growth that failed, and the directory: the creator may have died
//! before it did.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fz_error::mutants;

use crate::extend::{ExtendError, extend};
use crate::latch::sync_failed;
use crate::transfer::uninterrupted;
use crate::{Access, Create, FileError, FileErrorKind, Result, SlotFile, SlotFileConfig, Storage, Volume};

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
    /// Somebody else was quicker; the next attempt finds what he left.
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
        // A slash at the end asks for a directory: `file_name` looks past it, and so the kernel would
        // refuse the name only once a whole file had been made for it.
        let path = config.path.as_os_str().as_encoded_bytes();
        let name = config.path.file_name().filter(|_| !path.ends_with(b"/") && !path.ends_with(b"/."));
        let Some(name) = name else {
            return Err(error(config, FileErrorKind::InvalidPath));
        };
        if config.read_only && config.create == Create::New {
            return Err(error(config, FileErrorKind::ReadOnly));
        }
        let mut temporary_name = OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(".creating");
        Ok(Self {
            volume,
            config,
            directory: directory_of(&config.path),
            temporary: config.path.with_file_name(temporary_name),
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
        self.lock(&*storage, access).map_err(|cause| self.not_locked(cause, "lock the file"))?;
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
        self.finish_creation(&*storage)?;
        if length < self.initial_bytes {
            self.fill(&*storage, length)?;
        } else {
            // The length may be that of a growth whose sync failed or never came. A write into its
            // slots changes no length, so nothing would ever make them durable but this.
            uninterrupted(|| storage.sync_data()).map_err(|cause| self.not_synced(cause))?;
        }
        // A page that failed to be written may look written. What is written to it again would not reach the disk.
        uninterrupted(|| storage.drop_clean_pages()).map_err(self.open_failed("drop clean pages"))?;
        sync_directory(self.volume, self.directory).map_err(self.open_failed("sync the directory"))?;
        Ok(Attempt::Opened(Opened { storage, slots: slots.max(self.config.initial_slots) }))
    }

    /// Removes the temporary name where a crash left it as a second link to the file: a volume
    /// without an exclusive rename links and unlinks.
    fn finish_creation(&self, storage: &dyn Storage) -> Result<()> {
        if self.means(&self.temporary, storage).map_err(self.open_failed("look for a left-over temporary name"))? {
            uninterrupted(|| self.volume.remove(&self.temporary))
                .map_err(self.open_failed("remove the left-over temporary name"))?;
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
        // The names are removed while the lock is held: afterwards they may be somebody else's.
        if let Err(error) = self.fill(&*storage, 0) {
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
        self.lock(&*storage, Access::ReadWrite).map_err(|cause| self.not_locked(cause, "lock the temporary file"))?;
        let ours = self.means(&self.temporary, &*storage).map_err(self.create_failed("ask for the temporary name"))?;
        Ok(ours.then_some(storage))
    }

    /// Removes the temporary name if nobody is creating under it.
    fn clear_stale(&self) -> Result<()> {
        let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
        let stale = match uninterrupted(|| self.volume.open(&self.temporary, Access::ReadWrite)) {
            Ok(stale) => stale,
            Err(cause) if gone(&cause) => return Ok(()),
            Err(cause) => return Err(self.create_failed("open the left-over temporary file")(cause)),
        };
        self.lock(&*stale, Access::ReadWrite)
            .map_err(|cause| self.not_locked(cause, "lock the left-over temporary file"))?;
        if self.means(&self.temporary, &*stale).map_err(self.create_failed("ask for the temporary name"))? {
            uninterrupted(|| self.volume.remove(&self.temporary))
                .map_err(self.create_failed("remove the left-over temporary file"))?;
            // A name that a crash could bring back keeps its blocks, which the new file may need.
            sync_directory(self.volume, self.directory).map_err(self.create_failed("sync the directory"))?;
        }
        Ok(())
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

    fn lock(&self, storage: &dyn Storage, access: Access) -> io::Result<()> {
        uninterrupted(|| storage.try_lock(access))
    }

    /// Whether `path` means the file `storage` now.
    fn means(&self, path: &Path, storage: &dyn Storage) -> io::Result<bool> {
        means(self.volume, path, storage)
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

    fn not_locked(&self, cause: io::Error, step: &'static str) -> FileError {
        if cause.kind() == io::ErrorKind::WouldBlock {
            self.error(FileErrorKind::Locked)
        } else {
            self.open_failed(step)(cause)
        }
    }

    fn grow_failed(&self, length: u64, step: &'static str, cause: io::Error) -> FileError {
        let slots = length / self.config.slot_size as u64;
        let slots_asked = slots.max(self.config.initial_slots);
        self.error(FileErrorKind::GrowFailed { slots, slots_asked, step }).with_source(cause)
    }

    fn not_synced(&self, cause: io::Error) -> FileError {
        self.error(sync_failed(OPERATION, &cause)).with_source(cause)
    }

    fn parent_missing(&self, cause: io::Error) -> FileError {
        self.error(FileErrorKind::ParentMissing { parent: self.directory.to_owned() }).with_source(cause)
    }

    fn open_failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> FileError {
        let error = self.error(FileErrorKind::OpenFailed { step });
        move |cause| error.with_source(cause)
    }

    fn create_failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> FileError {
        let error = self.error(FileErrorKind::CreateFailed { step, temporary: self.temporary.clone() });
        move |cause| error.with_source(cause)
    }
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
    let ours = uninterrupted(|| storage.identity())?;
    match uninterrupted(|| volume.identity(path)) {
        Ok(identity) => Ok(identity == ours),
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
