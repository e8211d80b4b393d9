//! How a file is opened.

use std::path::PathBuf;

/// What an [open](crate::SlotFile::open) does about a file that is, or is not, there.
///
/// ```
/// # use fz_file::{Create, FileErrorKind, SlotFile, SlotFileConfig};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("records");
/// let config = SlotFileConfig::new(path, 4096).create(Create::New);
/// drop(SlotFile::open(config.clone())?);
/// let error = SlotFile::open(config).unwrap_err();
/// assert!(matches!(error.kind(), FileErrorKind::AlreadyExists));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Create {
    /// Opens the file, or creates it when there is none.
    #[default]
    IfMissing,
    /// Opens the file; [`NotFound`](crate::FileErrorKind::NotFound) when there is none.
    Never,
    /// Creates the file; [`AlreadyExists`](crate::FileErrorKind::AlreadyExists) when there is one.
    New,
}

/// What is done to the blocks of new slots, at creation and in
/// [`grow`](crate::SlotFile::grow), before they may be written. New slots read as zeros either
/// way.
///
/// On file systems that copy on write (btrfs, ZFS) overwriting takes new blocks, whatever is chosen
/// here. A crash during a growth, or a sync of it that failed, may leave the new slots there without
/// their blocks, and a later open takes them as they are; so does one after a restore that turned runs of zeros into
/// holes. (To reserve what is missing then, some file systems want room for all of the file, and one on a full disk
/// would not open any more: [`SlotFile::reserve`](crate::SlotFile::reserve) does it when asked.)
///
/// ```
/// # use fz_file::{Preallocation, SlotFile, SlotFileConfig};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("records");
/// // Nothing is written: 1 GiB at once, of which the disk may turn out not to have room for all.
/// let config = SlotFileConfig::new(path, 4096).initial_slots(1 << 18).preallocation(Preallocation::Sparse);
/// assert_eq!(SlotFile::open(config)?.slots(), 1 << 18);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preallocation {
    /// Nothing: only the length is set. The fastest to create; a later write may find the disk
    /// full, and each first write of a block costs a journal commit at the next sync.
    Sparse,
    /// Blocks are reserved (`fallocate(2)`) but not written: a later write does not find the disk
    /// full, but its first sync still costs a journal commit. Zeros are written instead where the
    /// file system cannot reserve.
    Allocated,
    /// Blocks are reserved and written with zeros: the slowest to create, then every sync of a
    /// written slot costs the data and the device flush only.
    #[default]
    Zeroed,
}

/// How a [`SlotFile`](crate::SlotFile) is opened.
///
/// ```
/// use fz_file::{Create, Preallocation, SlotFileConfig};
///
/// let config = SlotFileConfig::new("/data/journal.slots", 4096)
///     .initial_slots(1024)
///     .preallocation(Preallocation::Allocated)
///     .create(Create::Never)
///     .module_id(7);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SlotFileConfig {
    pub(crate) path: PathBuf,
    pub(crate) slot_size: usize,
    pub(crate) initial_slots: u64,
    pub(crate) module_id: u8,
    pub(crate) preallocation: Preallocation,
    pub(crate) create: Create,
    pub(crate) read_only: bool,
    pub(crate) mode: Option<u32>,
}

impl SlotFileConfig {
    /// A file at `path` with slots of `slot_size` bytes, created if it is missing.
    ///
    /// The slot size is not stored in the file: it must be the same at every open. 1 byte to
    /// [`SlotFile::SLOT_SIZE_MAX`](crate::SlotFile::SLOT_SIZE_MAX); checked when the file is opened.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open(SlotFileConfig::new(path, 4096))?;
    /// assert_eq!((file.slot_size(), file.slots()), (4096, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(path: impl Into<PathBuf>, slot_size: usize) -> Self {
        Self {
            path: path.into(),
            slot_size,
            initial_slots: 0,
            module_id: 0,
            preallocation: Preallocation::default(),
            create: Create::default(),
            read_only: false,
            mode: None,
        }
    }

    /// The slots that the file has at least once it is open: a new file gets as many, a smaller
    /// one is grown, a larger one keeps its length. Slots that were there already stay as they are, also without
    /// blocks; [`SlotFile::reserve`](crate::SlotFile::reserve) reserves those. Default 0.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open(SlotFileConfig::new(path, 4096).initial_slots(16))?;
    /// assert_eq!(file.slots(), 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn initial_slots(mut self, slots: u64) -> Self {
        self.initial_slots = slots;
        self
    }

    /// Your own number for this file's part of your engine; it stands in every
    /// [`ErrorId`](fz_error::ErrorId) of the file. Default 0.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let error = SlotFile::open(SlotFileConfig::new(path, 0).module_id(7)).unwrap_err();
    /// assert_eq!(error.id().module(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn module_id(mut self, module_id: u8) -> Self {
        self.module_id = module_id;
        self
    }

    /// What is done to the blocks of new slots. Default [`Preallocation::Zeroed`].
    ///
    /// ```
    /// # use fz_file::{Preallocation, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let config = SlotFileConfig::new(path, 4096).initial_slots(16).preallocation(Preallocation::Sparse);
    /// assert_eq!(SlotFile::open(config)?.slots(), 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn preallocation(mut self, preallocation: Preallocation) -> Self {
        self.preallocation = preallocation;
        self
    }

    /// What to do about a file that is, or is not, there. Default [`Create::IfMissing`].
    ///
    /// ```
    /// # use fz_file::{Create, FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let error = SlotFile::open(SlotFileConfig::new(path, 4096).create(Create::Never)).unwrap_err();
    /// assert!(matches!(error.kind(), FileErrorKind::NotFound));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(mut self, create: Create) -> Self {
        self.create = create;
        self
    }

    /// Opens for reading only, beside other readers: the lock is shared, and nothing is created,
    /// grown or synced; [`Create::New`] is an error then. Default `false`.
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// drop(SlotFile::open(SlotFileConfig::new(&path, 4096).initial_slots(1))?);
    /// let reader = SlotFile::open(SlotFileConfig::new(&path, 4096).read_only(true))?;
    /// let another = SlotFile::open(SlotFileConfig::new(&path, 4096).read_only(true))?;
    /// assert!(matches!(reader.write(0, &[0; 4096]).unwrap_err().kind(), FileErrorKind::ReadOnly));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// The permission bits of a new file (`chmod(2)`), whatever the umask. A file that exists keeps its own. Default
    /// 0600: the owner reads and writes, less what the umask takes.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// use std::os::unix::fs::PermissionsExt;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    ///
    /// let file = SlotFile::open(SlotFileConfig::new(path, 4096).mode(0o640))?;
    /// assert_eq!(file.path().metadata()?.permissions().mode() & 0o777, 0o640); // the group may read
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }
}
