//! How a disk behaves: its seed, its limits, the effect of a power cut.

/// The effect of a power cut on a sector that was being written.
///
/// ```
/// use fz_sim::{Access, SimDisk, SimDiskConfig, Tear, Volume, WholeTransfers};
///
/// let disk = SimDisk::with_config(SimDiskConfig::new(1).tear(Tear::Prefix));
/// disk.put("/log", &[0; 512])?;
/// disk.open("/log".as_ref(), Access::ReadWrite)?.write_all_at(&[1; 512], 0)?;
/// let torn = (0..100).map(|seed| disk.crash_image(seed).contents("/log").unwrap());
/// assert!(torn.into_iter().any(|bytes| bytes[0] == 1 && bytes[511] == 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tear {
    /// A sector holds all of a write or nothing of it.
    #[default]
    Never,
    /// A sector can hold the first bytes of a newer version and the rest of any older one. Bytes that the
    /// two have in common stay: bytes beside the written ones are safe ("powersafe overwrite").
    Prefix,
    /// A sector with an unsynced write can hold anything: bytes that were durable, and shared the
    /// sector with the written ones, are lost too.
    Damage,
}

/// Which of a directory's unsynced changes a power cut keeps.
///
/// ```
/// use fz_sim::{DirectoryLoss, SimDisk, SimDiskConfig, Volume};
///
/// let disk = SimDisk::with_config(SimDiskConfig::new(1).directory_loss(DirectoryLoss::Subset));
/// disk.create("/first".as_ref())?;
/// disk.create("/second".as_ref())?;
/// let mut images = disk.crash_space().all(10).expect("four");
/// assert!(images.any(|image| image.files() == ["/second".as_ref() as &std::path::Path]));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DirectoryLoss {
    /// The first *n* of them, any *n*: a journal.
    #[default]
    Prefix,
    /// Any of them: no journal. A rename is still one change.
    Subset,
}

/// How a [`SimDisk`](crate::SimDisk) behaves.
///
/// ```
/// use fz_sim::{SimDisk, SimDiskConfig, Tear};
///
/// let disk = SimDisk::with_config(SimDiskConfig::new(42).tear(Tear::Prefix).capacity_bytes(1 << 20));
/// assert_eq!(disk.seed(), 42);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SimDiskConfig {
    pub(crate) seed: u64,
    pub(crate) tear: Tear,
    pub(crate) directory_loss: DirectoryLoss,
    pub(crate) capacity_bytes: Option<u64>,
    pub(crate) file_bytes_max: u64,
    pub(crate) versions_max: usize,
    pub(crate) history_max: usize,
}

impl SimDiskConfig {
    /// The defaults: sectors never tear, directories lose a suffix of their changes, no limit of
    /// space, files up to 4 GiB, 64 versions of an unsynced sector or length, the last 1024 operations.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, SimDiskConfig};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42)); // as SimDisk::new(42)
    /// # let _ = disk;
    /// ```
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            tear: Tear::default(),
            directory_loss: DirectoryLoss::default(),
            capacity_bytes: None,
            file_bytes_max: 1 << 32,
            versions_max: 64,
            history_max: 1024,
        }
    }

    /// The effect of a power cut on a sector in mid-write.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, SimDiskConfig, Tear};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42).tear(Tear::Damage)); // it can hold anything
    /// # let _ = disk;
    /// ```
    pub fn tear(mut self, tear: Tear) -> Self {
        self.tear = tear;
        self
    }

    /// The effect of a power cut on a directory's unsynced changes.
    ///
    /// ```
    /// # use fz_sim::{DirectoryLoss, SimDiskConfig};
    /// let no_journal = SimDiskConfig::new(42).directory_loss(DirectoryLoss::Subset);
    /// # let _ = no_journal;
    /// ```
    pub fn directory_loss(mut self, loss: DirectoryLoss) -> Self {
        self.directory_loss = loss;
        self
    }

    /// The space for data, in bytes, used in blocks of 4096; `ENOSPC` beyond it. Holes use none.
    ///
    /// ```
    /// # use fz_sim::{Errno, SimDisk, SimDiskConfig, Volume, WholeTransfers};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42).capacity_bytes(4096));
    /// let file = disk.create("/log".as_ref())?;
    /// assert_eq!(file.write_all_at(&[1; 4097], 0).unwrap_err().raw_os_error(), Some(Errno::Enospc.raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = Some(bytes);
        self
    }

    /// The longest file, in bytes; `EFBIG` beyond it.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, SimDiskConfig, Volume};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42).file_bytes_max(4096));
    /// let file = disk.create("/log".as_ref())?;
    /// assert_eq!(file.set_length(4097).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.file_bytes_max = bytes;
        self
    }

    /// How many unsynced versions of one sector a crash image chooses from, and how many unsynced
    /// lengths of a file: an append makes one of each. Above it, one drawn from those between is
    /// forgotten: the images stay legal, some become unreachable. The newest stays, and the shortest
    /// length, on which [`guaranteed`](crate::SimDisk::guaranteed) rests. While a sync runs
    /// or a write is paused nothing is forgotten.
    ///
    /// # Panics
    ///
    /// If it is less than 2.
    ///
    /// ```
    /// # use fz_sim::SimDiskConfig;
    /// let config = SimDiskConfig::new(42).versions_max(8); // less memory, fewer images
    /// # let _ = config;
    /// ```
    pub fn versions_max(mut self, versions: usize) -> Self {
        assert!(versions >= 2, "versions_max is {versions}; the newest and one to forget must fit, so at least 2");
        self.versions_max = versions;
        self
    }

    /// How many operations [`history`](crate::SimDisk::history) keeps, the last ones; 0 for none.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, SimDiskConfig, Volume};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42).history_max(0));
    /// disk.create("/log".as_ref())?;
    /// assert!(disk.history().is_empty() && disk.operations() == 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn history_max(mut self, operations: usize) -> Self {
        self.history_max = operations;
        self
    }
}
