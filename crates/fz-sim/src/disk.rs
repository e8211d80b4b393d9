//! The simulated disk, and the fault model that it keeps to.
//!
//! The model is a contract in both directions. Bytes and names that it calls durable survive every image that the
//! disk returns. Those that it does not call durable are lost in some image that the disk can return. It is stricter
//! than any one file system, so that an engine that passes depends on none in particular.
//!
//! # Where bytes are
//!
//! A file has bytes in a volatile cache, which reads see, and on the media, which a power cut leaves. Page cache and
//! device cache are one layer here: a power cut takes both, and moving bytes from the first to the second
//! ([`Storage::write_back`], `sync_file_range(2)`) makes nothing durable. A crash of the kernel alone leaves no state
//! that a power cut could not leave.
//!
//! The unit is the sector, [`SECTOR_BYTES`](crate::SECTOR_BYTES). Each write makes a new *version* of each sector that
//! it touches; the media may hold the last durable version or any later one, because the kernel writes pages back
//! when it pleases. Sectors lie in blocks of 4096 bytes. A block is a hole, reserved, or written.
//!
//! # What is durable
//!
//! | change | durable after | source |
//! |---|---|---|
//! | bytes | a sync of the file that began when the write had returned, and succeeded | `fsync(2)` |
//! | a length: `set_length`, `allocate`, a write past the end | the same; `fdatasync` is enough | `fdatasync(2)`: `st_size` is metadata that it writes |
//! | blocks that `allocate` reserved | the same | `fallocate(2)`: writes into the range do not fail for want of space |
//! | a name: `create`, `rename_new`, `rename`, `create_directory`, `remove` | a sync of the *directory that has the name* that began when the call had returned, and succeeded | `fsync(2)`: syncing a file "does not necessarily ensure that the entry in the directory" is on disk |
//! | a file, whatever else is durable of it | its name and those of all directories above it are durable | the same |
//! | a lock | never; it ends with its open file | `flock(2)` |
//!
//! A sync owes nothing to a write that is still in flight when the sync begins (a fault pauses it, in another thread).
//! A sync in flight has promised nothing.
//!
//! # What a power cut keeps
//!
//! - Of each unsynced sector any version, chosen for each sector alone: any subset of the sectors of a write, and of
//!   the writes, in any order. File systems write back in no promised order and devices reorder in their cache;
//!   that this differs between file systems, and that applications break on it, is shown by
//!   Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014; for SSDs, which also lost
//!   or reordered writes that they had completed, see Zheng et al., *Understanding the Robustness of
//!   SSDs under Power Fault*, FAST 2013.
//! - Never part of a sector: devices promise that one logical block is written whole or not at all
//!   (NVMe: `AWUPF`, at least one). Drives that break it exist (the "shorn writes" of Zheng et al.):
//!   [`Tear::Prefix`](crate::Tear::Prefix) tears between a newer and any older version. With
//!   [`Tear::Damage`](crate::Tear::Damage) a sector that was being written reads as garbage, also
//!   where its bytes were durable and were not written: no "powersafe overwrite", as SQLite's
//!   documentation (`psow.html`) names it.
//! - Any of the file's lengths since the last sync, chosen apart from the bytes. Bytes that the
//!   length covers and no write reached are zeros.
//! - Of a directory's changes a prefix, any prefix, as a journal does, each directory by itself; or,
//!   with [`DirectoryLoss::Subset`](crate::DirectoryLoss::Subset), any subset (Pillai et al. found
//!   both kinds of file system). One rename is always one change, also where it replaces a file: until the directory
//!   is synced the cut leaves either state of the two names, never neither file. That a file's own `fsync` is not
//!   enough for its name is stricter than ext4, which commits both in one transaction.
//! - A new directory only with its name in the directory above it. Without it, every file below is gone, synced or not.
//! - No lock, no open file.
//!
//! A *killed process* ([`SimDisk::kill_process`]) keeps the whole cache, and nothing in it is more
//! durable than before.
//!
//! # What else goes wrong
//!
//! | fault | what happens | seen in |
//! |---|---|---|
//! | [`Fault::SyncFailed`] with [`PageFate::Dropped`] | the pages are clean and show the new bytes; later syncs succeed and do not write them; once evicted ([`SimDisk::drop_caches`], [`Storage::drop_clean_pages`]) reads show what the media holds | ext4, XFS: Rebello et al., *Can Applications Recover from fsync Failures?*, ATC 2020; "fsyncgate", PostgreSQL wiki, *Fsync Errors* |
//! | … of a block that was a hole or reserved | besides, the block is *stale*: later writes to it become durable by no sync, until its clean pages are evicted; see below | ext4, `data=ordered` and `data=writeback` |
//! | … [`PageFate::Reverted`] | the pages are clean and show the old bytes | Btrfs: Rebello et al. |
//! | … [`PageFate::Kept`] | the pages stay dirty, the next sync tries again | FreeBSD since 1999: PostgreSQL wiki, *Fsync Errors* |
//! | [`Fault::LostInBackground`] | a write-back fails for which no call waited; one later sync reports it, the next succeeds | Linux reports such an error once to each open file since 4.13 (`errseq_t`), before then to the first that asked; here, once to the file. Rebello et al. found late reports, too |
//! | [`Fault::SyncIgnored`] | the flush is acknowledged and not done; the pages that were to be dropped are kept | drives that do not honor sync requests: SQLite, *How To Corrupt An SQLite Database File*, section 3; `posix_fadvise(2)` is advice |
//! | [`Fault::Error`] with `ENOSPC`, `EDQUOT` on a sync | the space is found missing when the data is written, not when it was accepted | NFS and other file systems that allocate late: `fsync(2)` |
//! | [`SimDiskConfig::capacity_bytes`] | writes become short, then fail with `ENOSPC` | `write(2)` |
//! | [`Fault::Error`] | any `errno`, nothing done: `EIO`, `ENOSPC`, `EDQUOT`, `EINTR`, …; persistent `EROFS` is ext4 with `errors=remount-ro`; with [`FaultRule::range`](crate::FaultRule::range), reads of a bad sector | the pages of the system calls; `ext4(5)` |
//! | [`Fault::ErrorAfterPart`], [`Fault::TornWrite`] | the write fails, a prefix or any subset of its sectors is in the file | `write(2)`: after an error the file's content is not specified |
//! | [`Fault::Short`], [`Fault::Zero`] | fewer bytes than asked | `write(2)`: a full disk, a limit, a signal |
//! | [`Fault::Delay`], [`Fault::Hang`] | the call takes long, or does not return until it is released | a hard NFS mount whose server is away (`nfs(5)`) |
//! | [`Fault::Panic`] | the call panics | a [`Volume`] of the user's own |
//! | [`SimDisk::corrupt`] | bytes on the media change at rest | Bairavasundaram et al., *An Analysis of Data Corruption in the Storage Stack*, FAST 2008 |
//! | [`Volume::list`] | names come in an order drawn from the seed | `readdir(3)` promises none |
//! | [`Fault::PowerCut`], [`SimDisk::cut_power_at`] | this call may or may not have happened, later ones fail | |
//!
//! After a failed sync with dropped pages, *any* version may be on the media, since some pages may
//! have been written before the failure. A sector that is written again is dirty again, with all of
//! its bytes; other sectors of the same page are not, as in file systems that track dirtiness below
//! the page. The changes of a directory whose sync failed likewise stay lost for later syncs, and so
//! does a length that a write past the end made, if the pages with its last byte were among them:
//! file systems that log the new size when the bytes are on the media (XFS) never log it. Writing
//! there again makes the file as long again, as far as that write goes. A length that `set_length`
//! or `allocate` made is not lost, nor taken back with reverted pages: it is in the journal apart
//! from any page, and the next sync that succeeds covers it.
//!
//! **Stale blocks.** On ext4 a block that was never written lies in an unwritten extent, or in none. When its first
//! write-back fails, a later write through the same cached pages and an `fdatasync` that returns 0 leave it so: after a
//! restart the block reads as zeros. So on this disk, after a failure that drops pages (of a sync, of a
//! [`Storage::write_back`], in the background), each block that nothing durable had been written to is stale: a sync
//! that succeeds makes later writes to it lost, too. A killed process leaves it stale. [`Storage::drop_clean_pages`]
//! ends it, if no page of the block is dirty (sync first), and so does a cut of the file below the block, an eviction
//! by the kernel, and the power cut. After an aborted journal even that does not help on ext4: model it as a
//! persistent `EROFS`.
//!
//! **A failed write-back.** A [`Storage::write_back`] that returns an error is final, as a failed sync is: its pages
//! may be dropped, and the next sync succeeds without them. One that returns `Ok` and fails afterwards
//! ([`Fault::LostInBackground`]) is reported by the next sync. An engine therefore treats an error of either as a
//! failed sync, as [`Storage`] says.
//!
//! # What is not modelled
//!
//! Misdirected writes, stale blocks of other files in a file (ext4 with `data=writeback`), a device that forgets what
//! it flushed. Nor what [`Volume`] has no method for: links, permissions, the removal of a directory. A rename does not
//! leave its directory (`EXDEV`) and takes no directory. Directories and files that the test adds with
//! [`SimDisk::put_directory`] and [`SimDisk::put`] are durable at once. Reads see a write half done only while a fault
//! pauses it.
//!
//! # Chance and replay
//!
//! All chance comes from seeds, through `rand_pcg`'s `Pcg64Mcg`, whose stream does not change between
//! its releases. A fault's draw depends on the disk's seed, the rule and the number of the call among
//! those that the rule counts; it does not depend on what other threads do in between. The order of a listing and
//! the bytes that evicted pages show depend on the seed and the number of the call on the disk. An image
//! depends on its own seed and the disk's state. With one thread a run therefore replays exactly;
//! with several it does as far as their calls come in the same order, and
//! [`SimDisk::history`] says in which order they came.

pub(crate) mod history;
mod questions;
pub(crate) mod state;
pub(crate) mod stats;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use fz_file::{FileIdentity, Volume};

use crate::crash::instants::{Keep, Recorder};
use crate::disk::state::Shared;
use crate::faults::plan::ActivePlan;
use crate::path::normal;
use crate::random::Random;
use crate::tree::Tree;
use crate::{CrashSpace, FaultPlan, OpSet, SimDiskConfig};
#[cfg(doc)]
use crate::{Fault, PageFate, Storage};

/// A simulated disk with its file system. A clone is another handle to the same disk.
///
/// Give an engine [`volume`](Self::volume), or the disk itself, which is a [`Volume`].
/// [The module's header](crate::disk) says what the disk does to it. All methods may be called from
/// any thread; they block for the disk's mutex, and for [`Fault::Delay`] and [`Fault::Hang`].
///
/// ```
/// use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
///
/// let disk = SimDisk::new(42);
/// disk.put("/config", b"old")?; // a durable file to begin with
/// let file = disk.volume().open("/config".as_ref(), Access::ReadWrite)?;
///
/// file.write_all_at(b"new", 0)?;
/// assert!(!disk.is_durable("/config", 0..3));
/// let images: Vec<_> = disk.crash_space().all(10).unwrap().map(|image| image.contents("/config").unwrap()).collect();
/// assert_eq!(images, [b"old", b"new"]);
///
/// file.sync_data()?;
/// assert!(disk.is_durable("/config", 0..3));
/// let restarted = disk.power_cut(1);
/// assert_eq!(restarted.contents("/config")?, b"new");
/// assert!(file.sync_data().is_err(), "the old disk has no power");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

impl SimDisk {
    /// An empty disk that behaves as [`SimDiskConfig::new`] says.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// assert!(SimDisk::new(42).files().is_empty());
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_config(SimDiskConfig::new(seed))
    }

    /// An empty disk: one directory, `/`, no file in it.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, SimDiskConfig};
    /// let disk = SimDisk::with_config(SimDiskConfig::new(42).capacity_bytes(1 << 20));
    /// # let _ = disk;
    /// ```
    #[must_use]
    pub fn with_config(config: SimDiskConfig) -> Self {
        Self::holding(config, Tree::new())
    }

    pub(crate) fn holding(config: SimDiskConfig, tree: Tree) -> Self {
        Self { shared: Arc::new(Shared::new(config, tree)) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn config(&self) -> &SimDiskConfig {
        &self.shared.config
    }

    pub(crate) fn identity_of(&self, inode: u64) -> FileIdentity {
        FileIdentity { device: self.shared.config.seed, inode }
    }

    /// The disk as an engine takes it.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// use fz_file::{SlotFile, SlotFileConfig};
    ///
    /// let disk = SimDisk::new(1);
    /// let file = SlotFile::open_on(disk.volume(), SlotFileConfig::new("/records", 128).initial_slots(8))?;
    /// assert_eq!(disk.contents("/records").map(|bytes| bytes.len()).ok(), Some(1024));
    /// # drop(file);
    /// # Ok::<(), fz_file::FileError>(())
    /// ```
    #[must_use]
    pub fn volume(&self) -> Arc<dyn Volume> {
        Arc::new(self.clone())
    }

    /// The seed of its faults.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// assert_eq!(SimDisk::new(42).seed(), 42);
    /// ```
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.config.seed
    }

    /// Adds a directory, and those above it that are missing. It is durable at once, no operation
    /// is counted, no fault happens.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if a file has the name of one of them.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put_directory("/data/logs")?;
    /// disk.put("/data/logs/a", b"")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn put_directory(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.shared.lock();
        let sequence = state.sequence;
        state.tree_mut().put_directory(&normal(path.as_ref()), sequence)
    }

    /// Adds a file with these bytes, as [`put_directory`](Self::put_directory) adds a
    /// directory: a test's starting point. Where its name has unsynced changes, a directory that
    /// keeps a prefix ([`DirectoryLoss::Prefix`](crate::DirectoryLoss::Prefix)) keeps all of its
    /// changes so far.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken, [`io::ErrorKind::NotFound`] if the
    /// directory is missing.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put("/config", b"durable from the start")?;
    /// assert!(disk.is_durable("/config", 0..22));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.shared.lock();
        let sequence = state.sequence;
        state.tree_mut().put(&normal(path.as_ref()), bytes, sequence)
    }

    /// Replaces the faults; the rules count from here on.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Create, Fault::Error(Errno::Enospc))));
    /// assert_eq!(disk.create("/log".as_ref()).unwrap_err().raw_os_error(), Some(Errno::Enospc.raw()));
    /// ```
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.lock().plan = ActivePlan::new(plan, self.shared.config.seed);
    }

    /// Blocks until at least `calls` calls hang at [`Fault::Hang`].
    ///
    /// Returns at once when the power is off: then none hangs.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncData, Fault::Hang).nth(1)));
    /// let file = disk.create("/log".as_ref())?;
    /// file.write_all_at(b"record", 0)?;
    /// std::thread::scope(|scope| {
    ///     let sync = scope.spawn(|| file.sync_data());
    ///     disk.wait_until_hung(1);
    ///     assert!(!disk.is_durable("/log", 0..6)); // the engine must not have acknowledged yet
    ///     disk.release_hung();
    ///     sync.join().expect("no panic")
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until_hung(&self, calls: usize) {
        self.wait_until_hung_at(OpSet::ALL, calls);
    }

    /// As [`wait_until_hung`](Self::wait_until_hung), of the calls of `ops` only.
    ///
    /// ```
    /// # use fz_sim::{Access, Fault, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/log", b"")?;
    /// let file = disk.open("/log".as_ref(), Access::ReadWrite)?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write | Op::SyncData, Fault::Hang)));
    /// std::thread::scope(|scope| {
    ///     let write = scope.spawn(|| file.write_all_at(b"record", 0));
    ///     disk.wait_until_hung_at(Op::Write, 1);
    ///     let sync = scope.spawn(|| file.sync_data());
    ///     disk.wait_until_hung_at(Op::SyncData, 1);
    ///     disk.release_one_hung(); // the write, which hangs longer
    ///     write.join().expect("no panic")?;
    ///     disk.release_one_hung();
    ///     sync.join().expect("no panic")
    /// })?;
    /// assert!(!disk.is_durable("/log", 0..6)); // the sync began before the write returned
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until_hung_at(&self, ops: impl Into<OpSet>, calls: usize) {
        let ops = ops.into();
        let mut state = self.shared.lock();
        while state.power_is_on && state.hung.values().filter(|op| ops.contains(**op)).count() < calls {
            state = self.shared.wait(state);
        }
    }

    /// Lets the call go on that began first of those that hang now, if there is one.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultPlan, FaultRule, Op, SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncData, Fault::Hang)));
    /// std::thread::scope(|scope| {
    ///     let syncs = [scope.spawn(|| file.sync_data()), scope.spawn(|| file.sync_data())];
    ///     disk.wait_until_hung(2);
    ///     disk.release_one_hung(); // the other one hangs on
    ///     disk.wait_until_hung(1);
    ///     disk.release_one_hung();
    ///     syncs.into_iter().try_for_each(|sync| sync.join().expect("no panic"))
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn release_one_hung(&self) {
        self.shared.lock().hung.pop_first();
        self.shared.changed.notify_all();
    }

    /// Lets every call that hangs now go on.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultPlan, FaultRule, Op, SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncData, Fault::Hang)));
    /// std::thread::scope(|scope| {
    ///     let syncs = scope.spawn(|| file.sync_data().and_then(|()| file.sync_data()));
    ///     for _ in 0..2 {
    ///         disk.wait_until_hung(1); // one sync after the other
    ///         disk.release_hung();
    ///     }
    ///     syncs.join().expect("no panic")
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn release_hung(&self) {
        // Taken off here and not when they wake: the next `wait_until_hung` means the calls that hang after this.
        self.shared.lock().hung.clear();
        self.shared.changed.notify_all();
    }

    /// Evicts the clean pages from the cache, as the kernel may at any time. Pages that a failed
    /// sync marked clean show from now on the bytes on the media, which are drawn from `seed`.
    ///
    /// ```
    /// # use fz_sim::{Access, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/a", b"old")?;
    /// let file = disk.open("/a".as_ref(), Access::ReadWrite)?;
    /// let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault)));
    /// file.write_all_at(b"new", 0)?;
    /// assert!(file.sync_data().is_err());
    /// assert_eq!(disk.contents("/a")?, b"new"); // the cache still shows it
    /// disk.drop_caches(1);
    /// let media = disk.contents("/a")?;
    /// assert!(media == b"old" || media == b"new");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn drop_caches(&self, seed: u64) {
        let mut random = Random::new(seed);
        let mut state = self.shared.lock();
        for inode in state.tree_mut().inodes.values_mut() {
            Arc::make_mut(inode).drop_caches(&mut random);
        }
    }

    /// Changes each of these bytes of a file on the media, to values drawn from the disk's seed: bit rot at rest.
    /// Reads show the new bytes where the sector has no unsynced write, which the cache still has. No operation
    /// is counted.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file; [`io::ErrorKind::InvalidInput`] if the range
    /// reaches past its end.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put("/log", &[7; 1024])?;
    /// disk.corrupt("/log", 100..102)?;
    /// let bytes = disk.contents("/log")?;
    /// assert!(bytes[100] != 7 && bytes[101] != 7);
    /// assert_eq!(bytes.iter().filter(|byte| **byte != 7).count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn corrupt(&self, path: impl AsRef<Path>, range: Range<u64>) -> io::Result<()> {
        let mut state = self.shared.lock();
        let number = state.tree.lookup(&normal(path.as_ref()))?;
        if range.end > state.tree.inode(number).length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut random = Random::of_call(self.seed(), state.operations);
        state.inode_mut(number).corrupt(range, &mut random);
        Ok(())
    }

    /// Cuts the power in the middle of operation number `operation`, counted from 1 over the whole
    /// life of the disk; at once in the next one if that number has passed.
    ///
    /// The change of that operation may or may not be on the media; it and all later ones fail with
    /// [`PowerCut`](crate::PowerCut). [`power_cut`](Self::power_cut) returns an image of it.
    ///
    /// ```
    /// # use fz_sim::{PowerCut, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.cut_power_at(2);
    /// let file = disk.create("/log".as_ref())?; // operation 1
    /// assert!(PowerCut::is(&file.write_all_at(b"record", 0).unwrap_err())); // operation 2
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cut_power_at(&self, operation: u64) {
        self.shared.lock().cut_at = Some(operation);
    }

    /// Cuts the power now, unless it is off, and returns the disk after the restart: one legal crash
    /// image, chosen by `seed`, without faults, locks and open files.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.create("/log".as_ref())?; // the directory is not synced: the name may be lost
    /// let lost = (0..100).any(|seed| disk.power_cut(seed).files().is_empty());
    /// assert!(lost);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        self.shared.lock().power_is_on = false;
        self.shared.changed.notify_all();
        self.crash_image(seed)
    }

    /// The disk that [`power_cut`](Self::power_cut) would return now; this one goes on.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.create("/log".as_ref())?;
    /// let image = disk.crash_image(7); // one that a restart could find
    /// assert!(image.files().len() <= 1);
    /// disk.sync_directory("/".as_ref())?; // and on it goes
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> SimDisk {
        self.crash_space().image(seed)
    }

    /// All that a power cut could leave now. It costs one reference count.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.create("/log".as_ref())?;
    /// assert_eq!(disk.crash_space().count(), Some(2)); // with the file and without
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn crash_space(&self) -> CrashSpace {
        CrashSpace::new(self.shared.config.clone(), self.tree())
    }

    /// Kills the process: open files are closed and locks released, the cache keeps its bytes.
    /// Returns the disk for the next process; calls on this one fail from now on, as after a power
    /// cut.
    ///
    /// Unsynced writes are there and still unsynced, and pages that a failed sync marked clean
    /// still show bytes that the media lacks: an engine that takes bytes that it reads
    /// after a restart for durable is wrong.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// file.write_all_at(b"record", 0)?;
    /// let next = disk.kill_process();
    /// assert!(file.sync_data().is_err());
    /// assert_eq!(next.contents("/log")?, b"record"); // still in the cache, still not durable
    /// assert!(!next.is_durable("/log", 0..6));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn kill_process(&self) -> SimDisk {
        let mut state = self.shared.lock();
        state.power_is_on = false;
        self.shared.changed.notify_all();
        let next = Shared::new(self.shared.config.clone(), Tree::clone(&state.tree));
        let mut next_state = next.lock();
        next_state.sequence = state.sequence;
        next_state.unlinked = state.unlinked.clone();
        next_state.collect();
        if let Some(recorder) = state.recorder.take() {
            // The run goes on, and so do the numbers of its operations.
            next_state.recorder = Some(recorder);
            next_state.operations = state.operations;
        }
        drop(next_state);
        SimDisk { shared: Arc::new(next) }
    }

    /// Records the instants of the run that begins now.
    pub(crate) fn record(&self, keep: Keep, acknowledged: &Arc<AtomicUsize>) -> Recorder {
        let mut state = self.shared.lock();
        let recorder = Recorder::new(keep, acknowledged, &state.tree);
        state.recorder = Some(recorder.clone());
        recorder
    }

    /// The disk as the recorded run left it, unless it goes on as another disk's.
    pub(crate) fn recorded_end(&self) -> Option<Arc<Tree>> {
        let mut state = self.shared.lock();
        state.recorder.take().map(|_| Arc::clone(&state.tree))
    }

    fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.shared.lock().tree)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("SimDisk")
            .field("config", &self.shared.config)
            .field("power_is_on", &state.power_is_on)
            .field("operations", &state.operations)
            .field("files", &state.tree.files().map(|(path, _)| path).collect::<Vec<_>>())
            .finish()
    }
}
