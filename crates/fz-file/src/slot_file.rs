//! The file itself: reads, writes, syncs, growth, removal.

mod latched;
mod ranges;
mod upkeep;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fz_error::mutants;
use fz_process::Process;

use crate::extend::{ExtendError, extend};
use crate::latch::{SyncLatch, sync_failed};
use crate::open::{Opened, Opening, bytes_of, directory_of, file_name, means, sync_directory};
use crate::transfer::{read_all, uninterrupted, write_all};
use crate::{FileError, FileErrorKind, HostVolume, Result, SlotFileConfig, Storage, Volume};

/// A file of fixed-size slots, open and locked.
///
/// Slot *i* is the `slot_size` bytes at byte `i * slot_size`; there is no header and no framing.
/// All methods take `&self` and may run at the same time from any thread; none is to be called
/// from async code, for all that touch the file block for the disk.
///
/// - **Durability.** A write is *written*, in the kernel's hands, when it returns, and *durable*
///   after a [`sync`](Self::sync) that started later and succeeded. What was written before this
///   open, by another process, is not known to be durable until then either.
/// - **Failed syncs are final.** After one, every sync and every write is refused with
///   [`SyncFailed`](FileErrorKind::SyncFailed), without asking the kernel: it may have dropped the
///   pages it could not write, marked them clean, and would say `Ok`. Writes are refused because
///   nothing could make them durable any more. Reads go on and show what the kernel has, which
///   need not be what the disk has. To go on, drop the file, open it anew, check its content, and write the rest
///   again: the open drops what only the kernel shows. Where it cannot (macOS), use another file.
/// - **Reads beside writes.** A read that overlaps a write which has not returned may see any mix
///   of the old and new bytes, also within one slot: the kernel promises no atomicity. A read that
///   starts after a write returned sees that write.
/// - **Locking.** One opener that may write, or any number of read-only ones, across all processes;
///   the lock ends when this value is dropped. It is advisory: a process that does not take it is not excluded.
/// - **Processes.** In a child of `fork(2)` a copy of this value only reads: what would change the file is refused with
///   [`OtherProcess`](FileErrorKind::OtherProcess), and its drop leaves the parent its lock.
/// - **Links.** A symbolic link is followed at open; [`remove`](Self::remove) removes the link,
///   and the directory that is synced is the link's. Do not put a file where one is created and
///   found through different links.
///
/// ```
/// use fz_file::{SlotFile, SlotFileConfig};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("records");
/// let file = SlotFile::open(SlotFileConfig::new(path, 128).initial_slots(1024))?;
/// file.write(3, &[0xAA; 256])?; // slots 3 and 4
/// file.sync()?; // durable
///
/// let mut back = [0; 128];
/// file.read(4, &mut back)?;
/// assert_eq!(back, [0xAA; 128]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SlotFile {
    storage: Box<dyn Storage>,
    volume: Arc<dyn Volume>,
    config: SlotFileConfig,
    slots: AtomicU64,
    /// The process that may change the file.
    owner: Process,
    /// Held while the file is extended. Taken before the latch's own lock, never the other way.
    growing: Mutex<()>,
    latch: SyncLatch,
}

impl SlotFile {
    /// The largest slot: 1 GiB, so that a transfer of one slot is one system call on every system.
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// let error = SlotFile::open(SlotFileConfig::new("x", SlotFile::SLOT_SIZE_MAX + 1)).unwrap_err();
    /// assert!(matches!(error.kind(), FileErrorKind::InvalidSlotSize { .. }));
    /// ```
    pub const SLOT_SIZE_MAX: usize = 1 << 30;

    /// Opens, or creates, a file of the operating system. A relative path is made absolute first, so that a process
    /// may change its directory afterwards.
    ///
    /// Blocks for the disk, and it may be for long: new slots are written with zeros, unless the config says
    /// [otherwise](crate::Preallocation), and in each case but that of a read-only file the file and its
    /// directory are synced, with whatever an earlier process left for it. The kernel then drops the file's pages, so
    /// that the first reads come from the device.
    ///
    /// # Errors
    ///
    /// For the config: [`InvalidSlotSize`](FileErrorKind::InvalidSlotSize),
    /// [`FileTooLarge`](FileErrorKind::FileTooLarge), [`InvalidPath`](FileErrorKind::InvalidPath),
    /// [`ReadOnly`](FileErrorKind::ReadOnly) (a read-only file cannot be new). For what is there:
    /// [`NotFound`](FileErrorKind::NotFound), [`AlreadyExists`](FileErrorKind::AlreadyExists),
    /// [`ParentMissing`](FileErrorKind::ParentMissing), [`IsDirectory`](FileErrorKind::IsDirectory),
    /// [`Locked`](FileErrorKind::Locked), [`LengthNotMultiple`](FileErrorKind::LengthNotMultiple),
    /// [`TooFewSlots`](FileErrorKind::TooFewSlots), [`PathUnstable`](FileErrorKind::PathUnstable).
    /// For what the system refuses: [`OpenFailed`](FileErrorKind::OpenFailed),
    /// [`CreateFailed`](FileErrorKind::CreateFailed), [`TemporaryTaken`](FileErrorKind::TemporaryTaken),
    /// [`GrowFailed`](FileErrorKind::GrowFailed), [`SyncFailed`](FileErrorKind::SyncFailed), also for what an earlier
    /// process wrote, [`FileSystemReadOnly`](FileErrorKind::FileSystemReadOnly),
    /// [`OutOfDescriptors`](FileErrorKind::OutOfDescriptors). And [`FileCut`](FileErrorKind::FileCut), if a program
    /// that takes no lock cuts it meanwhile.
    ///
    /// Whatever the error, a later open is in no worse a position: nothing half-made is at the path.
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open(SlotFileConfig::new(path, 128).initial_slots(8))?;
    /// assert_eq!(file.slots(), 8);
    /// let second = SlotFile::open(SlotFileConfig::new(file.path(), 128)).unwrap_err();
    /// assert!(matches!(second.kind(), FileErrorKind::Locked));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(mut config: SlotFileConfig) -> Result<Self> {
        if file_name(&config.path).is_some() {
            // It fails only if there is no current directory any more, and then the open says so.
            config.path = std::path::absolute(&config.path).unwrap_or(config.path);
        }
        Self::open_on(Arc::new(HostVolume), config)
    }

    /// As [`open`](Self::open), on any [`Volume`]. The path goes to it as it is.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{HostVolume, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open_on(Arc::new(HostVolume), SlotFileConfig::new(path, 128))?;
    /// assert_eq!(file.slots(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_on(volume: Arc<dyn Volume>, config: SlotFileConfig) -> Result<Self> {
        let Opened { storage, slots } = Opening::new(&*volume, &config)?.run()?;
        Ok(Self {
            storage,
            volume,
            config,
            slots: AtomicU64::new(slots),
            owner: Process::current(),
            growing: Mutex::new(()),
            latch: SyncLatch::default(),
        })
    }

    /// The bytes of one slot.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// assert_eq!(file.slot_size(), 128);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn slot_size(&self) -> usize {
        self.config.slot_size
    }

    /// The slots in the file. Only [`grow`](Self::grow) changes it, upwards.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// assert_eq!(file.slots(), 8);
    /// file.grow(2)?;
    /// assert_eq!(file.slots(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn slots(&self) -> u64 {
        // Acquire: pairs with the Release store in `grow`, so that a thread that sees a slot also sees it exist.
        self.slots.load(Ordering::Acquire)
    }

    /// The number given in [`SlotFileConfig::module_id`].
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).module_id(7))?;
    /// assert_eq!(file.module_id(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn module_id(&self) -> u8 {
        self.config.module_id
    }

    /// The file's path: as given in the config, made absolute by [`open`](Self::open).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = SlotFile::open(SlotFileConfig::new(&path, 128))?;
    /// assert_eq!(file.path(), path);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// Whether the file was opened with [`SlotFileConfig::read_only`].
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// drop(SlotFile::open(SlotFileConfig::new(&path, 128))?);
    /// let file = SlotFile::open(SlotFileConfig::new(path, 128).read_only(true))?;
    /// assert!(file.is_read_only());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.config.read_only
    }

    /// Checks that `bytes` bytes from slot `slot_index` are whole slots of this file. Does not
    /// touch the file.
    ///
    /// # Errors
    ///
    /// [`ZeroBytes`](FileErrorKind::ZeroBytes), [`BytesNotMultiple`](FileErrorKind::BytesNotMultiple),
    /// [`OffsetOverflow`](FileErrorKind::OffsetOverflow), [`OutOfRange`](FileErrorKind::OutOfRange).
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// assert!(file.check_range(6, 256).is_ok());
    /// let error = file.check_range(7, 256).unwrap_err();
    /// assert!(matches!(error.kind(), FileErrorKind::OutOfRange { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_range(&self, slot_index: u64, bytes: usize) -> Result<()> {
        self.offset("check_range", slot_index, bytes).map(drop)
    }

    /// Reads whole slots from slot `slot_index` on into all of `buffer`.
    ///
    /// # Errors
    ///
    /// Those of [`check_range`](Self::check_range), [`ReadFailed`](FileErrorKind::ReadFailed),
    /// [`UnexpectedEnd`](FileErrorKind::UnexpectedEnd); `buffer` then holds anything.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// let mut slots = [1; 2 * 128];
    /// file.read(6, &mut slots)?;
    /// assert_eq!(slots, [0; 256]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, slot_index: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = buffer.len();
        self.read_slices("read", slot_index, bytes, &mut [IoSliceMut::new(buffer)])
    }

    /// As [`read`](Self::read), into `buffers` in order. Any number of buffers of any lengths, as
    /// long as they are whole slots together. The slices are consumed: what they mean afterwards is
    /// undefined.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// use std::io::IoSliceMut;
    ///
    /// let (mut header, mut body) = ([1; 28], [1; 100]);
    /// file.read_vectored(3, &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut body)])?;
    /// assert_eq!((header, body), ([0; 28], [0; 100]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_vectored(&self, slot_index: u64, buffers: &mut [IoSliceMut<'_>]) -> Result<()> {
        let operation = "read_vectored";
        let bytes = self.total(operation, slot_index, buffers.iter().map(|buffer| buffer.len()))?;
        self.read_slices(operation, slot_index, bytes, buffers)
    }

    /// Writes whole slots, all of `bytes`, from slot `slot_index` on. Not durable until a
    /// [`sync`](Self::sync).
    ///
    /// An interrupted or short write is resumed at the byte where it stopped.
    ///
    /// # Errors
    ///
    /// Those of [`check_range`](Self::check_range), [`ReadOnly`](FileErrorKind::ReadOnly),
    /// [`SyncFailed`](FileErrorKind::SyncFailed) (an earlier one), [`OtherProcess`](FileErrorKind::OtherProcess):
    /// nothing was written.
    /// [`WriteFailed`](FileErrorKind::WriteFailed), [`WriteStalled`](FileErrorKind::WriteStalled):
    /// the slots hold any mix of old and new bytes; other slots are untouched.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig, FileErrorKind};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(4))?;
    /// let error = file.write(3, &[0; 256]).unwrap_err();
    /// assert!(matches!(error.kind(), FileErrorKind::OutOfRange { slot_index: 3, slots: 2, slots_in_file: 4 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, slot_index: u64, bytes: &[u8]) -> Result<()> {
        self.write_slices("write", slot_index, bytes.len(), &mut [IoSlice::new(bytes)])
    }

    /// As [`write`](Self::write), from `slices` in order. Any number of slices of any lengths, as
    /// long as they are whole slots together; one system call takes as many as it can. The slices
    /// are consumed: what they mean afterwards is undefined.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// use std::io::IoSlice;
    ///
    /// file.write_vectored(3, &mut [IoSlice::new(&[1; 28]), IoSlice::new(&[2; 100])])?;
    /// let mut slot = [0; 128];
    /// file.read(3, &mut slot)?;
    /// assert_eq!((&slot[..28], &slot[28..]), (&[1; 28][..], &[2; 100][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_vectored(&self, slot_index: u64, slices: &mut [IoSlice<'_>]) -> Result<()> {
        let operation = "write_vectored";
        let bytes = self.total(operation, slot_index, slices.iter().map(|slice| slice.len()))?;
        self.write_slices(operation, slot_index, bytes, slices)
    }

    /// Makes every write that returned before this call durable (`fdatasync(2)`).
    ///
    /// Calls at the same time run one after the other.
    ///
    /// # Errors
    ///
    /// [`SyncFailed`](FileErrorKind::SyncFailed), which is final: the file takes no write and no sync
    /// any more. [`ReadOnly`](FileErrorKind::ReadOnly), [`OtherProcess`](FileErrorKind::OtherProcess).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// file.write(0, &[0xAA; 128])?; // in the kernel's hands
    /// file.sync()?; // on stable storage
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        self.check_writable("sync")?;
        self.latched("sync", || self.storage.sync_data())
    }

    /// As [`sync`](Self::sync), and the file's metadata (`fsync(2)`), such as its times. No promise
    /// of this crate needs it.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// file.write(0, &[0xAA; 128])?;
    /// file.sync_all()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync_all(&self) -> Result<()> {
        self.check_writable("sync_all")?;
        self.latched("sync_all", || self.storage.sync_all())
    }

    /// Starts to write the dirty pages of `slots` slots from `slot_index` on to the device, so that a
    /// later [`sync`](Self::sync) finds less to do (`sync_file_range(2)`).
    ///
    /// Makes **nothing** durable: it neither waits until the device is done nor flushes its cache. It may
    /// block while the device's queue is full. Does nothing on systems without the call. It may run beside a
    /// sync.
    ///
    /// # Errors
    ///
    /// [`ZeroBytes`](FileErrorKind::ZeroBytes), [`OffsetOverflow`](FileErrorKind::OffsetOverflow),
    /// [`OutOfRange`](FileErrorKind::OutOfRange), [`ReadOnly`](FileErrorKind::ReadOnly),
    /// [`OtherProcess`](FileErrorKind::OtherProcess); [`SyncFailed`](FileErrorKind::SyncFailed), final as that of
    /// [`sync`](Self::sync).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// file.write(0, &[0xAA; 4 * 128])?;
    /// file.sync_range(0, 4)?; // the device begins to write; nothing is durable yet
    /// file.sync()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync_range(&self, slot_index: u64, slots: u64) -> Result<()> {
        let operation = "sync_range";
        self.check_writable(operation)?;
        if slots == 0 {
            return Err(self.error(operation, FileErrorKind::ZeroBytes { slot_index }));
        }
        let offset = self.slots_offset(operation, slot_index, slots)?;
        // In range, so it fits.
        let bytes = slots * self.config.slot_size as u64;
        let ran = self.latch.sync_beside_others(
            || self.storage.write_back(offset, bytes),
            |cause| self.error(operation, sync_failed(operation, &cause)).with_source(cause),
        );
        ran.map_err(|refused| self.refused(operation, &refused))
    }

    /// Adds `additional_slots` slots of zeros and returns the new total; they are durable, and
    /// visible in [`slots`](Self::slots), when this returns. 0 is allowed and does nothing.
    ///
    /// Calls at the same time run one after the other, each adding its own. Reads and writes go on
    /// beside it. The file never shrinks: after an error it has the slots it had, and releases what it
    /// got of the new ones. (If that fails, too, or the error is that of the sync, it stays longer,
    /// which a later open or `grow` makes up for.) A crash in the middle leaves a file that opens, with
    /// the old slots or the new; those may lack their [blocks](crate::Preallocation).
    ///
    /// # Errors
    ///
    /// [`ReadOnly`](FileErrorKind::ReadOnly), [`FileTooLarge`](FileErrorKind::FileTooLarge),
    /// [`GrowFailed`](FileErrorKind::GrowFailed) (a full disk: may be tried again),
    /// [`FileCut`](FileErrorKind::FileCut), [`SyncFailed`](FileErrorKind::SyncFailed),
    /// [`OtherProcess`](FileErrorKind::OtherProcess).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(4))?;
    /// assert_eq!(file.grow(4)?, 8);
    /// file.write(7, &[1; 128])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn grow(&self, additional_slots: u64) -> Result<u64> {
        let operation = "grow";
        self.check_writable(operation)?;
        let stale = self.slots();
        // A panic below would be a bug in a Storage; `slots` is set last, so the file stays whole.
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_latch(operation)?;
        // Read under the lock: another grow may just have ended.
        let slots = if mutants::active("grow_truncates") { stale } else { self.slots() };
        let slot_size = self.config.slot_size;
        let slots_asked = slots.saturating_add(additional_slots);
        let Some(to) = bytes_of(slots_asked, slot_size) else {
            return Err(self.error(operation, FileErrorKind::FileTooLarge { slots: slots_asked, slot_size }));
        };
        if additional_slots == 0 {
            return Ok(slots);
        }
        let from = slots * slot_size as u64;
        extend(&*self.storage, self.config.preallocation, from, to).map_err(|stopped| match stopped {
            ExtendError::Cut { length } => {
                self.error(operation, FileErrorKind::FileCut { length, length_expected: from })
            }
            ExtendError::Refused { step, cause } => {
                self.error(operation, FileErrorKind::GrowFailed { slots, slots_asked, step }).with_source(cause)
            }
        })?;
        self.latched(operation, || self.storage.sync_all())?;
        // Release: pairs with the Acquire load in `slots`.
        self.slots.store(slots_asked, Ordering::Release);
        Ok(slots_asked)
    }

    /// Removes the file, and makes that durable.
    ///
    /// Takes the file by value: no other thread can be reading or writing it. It removes the path only if
    /// that still means this file (a program that takes the lock does not replace it in between). On an
    /// error the file is closed all the same.
    ///
    /// # Errors
    ///
    /// [`PathReplaced`](FileErrorKind::PathReplaced), [`ReadOnly`](FileErrorKind::ReadOnly),
    /// [`OtherProcess`](FileErrorKind::OtherProcess): the path is untouched.
    /// [`RemoveFailed`](FileErrorKind::RemoveFailed): it may be gone, or come back after a power cut.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// let file = SlotFile::open(SlotFileConfig::new(directory.path().join("records"), 128))?;
    /// file.remove()?;
    /// assert_eq!(directory.path().read_dir()?.count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A file in use cannot be removed:
    ///
    /// ```compile_fail,E0505
    /// # fn example(file: fz_file::SlotFile) -> fz_file::Result<()> {
    /// let user = &file;
    /// file.remove()?; // does not compile: the file is in use
    /// user.write(0, &[1; 128])
    /// # }
    /// ```
    pub fn remove(self) -> Result<()> {
        let operation = "remove";
        self.check_writable(operation)?;
        let (file, path) = (&self, self.path());
        let failed = |step| {
            move |cause: io::Error| file.error(operation, FileErrorKind::RemoveFailed { step }).with_source(cause)
        };
        if !means(&*self.volume, path, &*self.storage).map_err(failed("ask what the path means"))? {
            return Err(self.error(operation, FileErrorKind::PathReplaced));
        }
        uninterrupted(|| self.volume.remove(path)).map_err(failed("remove the path"))?;
        sync_directory(&*self.volume, directory_of(path)).map_err(failed("sync the directory"))
    }

    fn read_slices(
        &self,
        operation: &'static str,
        slot_index: u64,
        bytes: usize,
        slices: &mut [IoSliceMut<'_>],
    ) -> Result<()> {
        let offset = self.offset(operation, slot_index, bytes)?;
        read_all(&*self.storage, slices, offset).map_err(|stopped| {
            let bytes_read = stopped.bytes_done;
            match stopped.cause {
                None => self.error(operation, FileErrorKind::UnexpectedEnd { slot_index, bytes, bytes_read }),
                Some(cause) => self
                    .error(operation, FileErrorKind::ReadFailed { slot_index, bytes, bytes_read })
                    .with_source(cause),
            }
        })
    }

    fn write_slices(
        &self,
        operation: &'static str,
        slot_index: u64,
        bytes: usize,
        slices: &mut [IoSlice<'_>],
    ) -> Result<()> {
        self.check_writable(operation)?;
        let offset = self.offset(operation, slot_index, bytes)?;
        self.check_latch(operation)?;
        write_all(&*self.storage, slices, offset).map_err(|stopped| {
            let bytes_written = stopped.bytes_done;
            match stopped.cause {
                None => self.error(operation, FileErrorKind::WriteStalled { slot_index, bytes, bytes_written }),
                Some(cause) => self
                    .error(operation, FileErrorKind::WriteFailed { slot_index, bytes, bytes_written })
                    .with_source(cause),
            }
        })
    }

    fn error(&self, operation: &'static str, kind: FileErrorKind) -> FileError {
        FileError::new(self.config.module_id, operation, kind).with_path(&self.config.path)
    }
}

impl fmt::Debug for SlotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotFile")
            .field("path", &self.config.path)
            .field("slot_size", &self.config.slot_size)
            .field("slots", &self.slots())
            .field("read_only", &self.config.read_only)
            .field("module_id", &self.config.module_id)
            .field("failed", &self.latch.failed())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn shareable<T: Send + Sync + Unpin>() {}
    shareable::<SlotFile>();
    shareable::<SlotFileConfig>();
    shareable::<HostVolume>();
    shareable::<FileError>();
};
