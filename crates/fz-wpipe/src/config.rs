use std::time::Duration;

use fz_commit::{CommitConfig, Flusher};

use crate::{PipeError, PipeErrorKind, Result};

/// What "durable" costs: which sync ends a batch.
///
/// ```
/// use fz_wpipe::{SyncMode, WritePipeConfig};
///
/// let config = WritePipeConfig::new().sync_mode(SyncMode::Full);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncMode {
    /// `fdatasync(2)`, `F_FULLFSYNC` on macOS: the bytes and what is needed to find them.
    #[default]
    Data,
    /// `fsync(2)`: also the time stamps and all other metadata.
    Full,
    /// No sync at all: tickets resolve when the kernel has the bytes, and a power cut takes them.
    ///
    /// Only to measure what everything but the disk costs. Every promise about durability is void.
    DangerouslyNone,
}

/// How a [`WritePipe`](crate::WritePipe) works. The defaults suit an engine with a fast disk.
///
/// ```
/// use std::time::Duration;
/// use fz_wpipe::{SyncMode, WritePipeConfig};
///
/// let config = WritePipeConfig::new()
///     .module_id(7)
///     .flush_interval(Duration::from_millis(1))
///     .queue_capacity(65_536)
///     .sync_mode(SyncMode::Data);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WritePipeConfig {
    pub(crate) module_id: u8,
    pub(crate) flush_interval: Duration,
    pub(crate) queue_capacity: usize,
    pub(crate) batch_writes_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) write_back_bytes: usize,
    pub(crate) gather_max: Duration,
    pub(crate) linger_max: Duration,
    pub(crate) waiters_lead: bool,
    pub(crate) flusher: Option<Flusher>,
    pub(crate) sync_mode: SyncMode,
}

impl Default for WritePipeConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl WritePipeConfig {
    /// The defaults: interval 1 ms, 16,384 queued writes, batches of at most 1,048,576 writes and
    /// 128 MiB, of which the device begins with each 2 MiB while the rest is copied, batches wait for the writers of
    /// the last one for at most 1 ms, no lingering, waiters lead, a flusher thread of its own, [`SyncMode::Data`],
    /// module id 0.
    ///
    /// ```
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new();
    /// assert_eq!(format!("{config:?}"), format!("{:?}", WritePipeConfig::default()));
    /// ```
    pub const fn new() -> Self {
        Self {
            module_id: 0,
            flush_interval: Duration::from_millis(1),
            queue_capacity: 16_384,
            batch_writes_max: 1 << 20,
            batch_bytes_max: 128 << 20,
            write_back_bytes: 2 << 20,
            gather_max: Duration::from_millis(1),
            linger_max: Duration::ZERO,
            waiters_lead: true,
            flusher: None,
            sync_mode: SyncMode::Data,
        }
    }

    /// The caller's number for this pipe, the first byte of every
    /// [`ErrorId`](fz_error::ErrorId) it returns.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// let pipe = WritePipe::new(WritePipeConfig::new().module_id(7), Arc::new(file))?;
    /// let error = pipe.read(9, &mut [0; 128]).unwrap_err();
    /// assert_eq!(error.id().module(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn module_id(mut self, module_id: u8) -> Self {
        self.module_id = module_id;
        self
    }

    /// How long an accepted write that nobody awaits may stay in memory: its batch begins at the
    /// latest this long after it was accepted, less the time that batches have been taking.
    /// Awaited writes never wait for it. Zero: as soon as possible.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// let pipe = WritePipe::new(WritePipeConfig::new().flush_interval(Duration::from_millis(5)), Arc::new(file))?;
    /// let request = WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 };
    /// let ticket = pipe.write(request)?; // durable within about 5 ms, whether a caller waits or not
    /// ticket.wait()?; // asked for: at once
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// How many writes may be queued, exactly. When it is full, [`write`](crate::WritePipe::write)
    /// waits and [`try_write`](crate::WritePipe::try_write) gives the request back.
    ///
    /// Each time that another quarter of it has filled, a batch is begun, whether a caller waits or not.
    ///
    /// A place takes 64 bytes for as long as the pipe lives. Scratch memory is kept for reuse: about 100 bytes for each
    /// write of the largest batch so far. Random writes that no caller waits for go to the disk in batches of about
    /// this size: see `docs/PERFORMANCE.md` on how to size it for bulk loads.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// let pipe = WritePipe::new(WritePipeConfig::new().queue_capacity(64), Arc::new(file))?;
    /// assert_eq!(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?.epoch(), 1);
    /// let error = WritePipe::new(WritePipeConfig::new().queue_capacity(0), Arc::clone(pipe.file())).unwrap_err();
    /// assert!(matches!(error.kind(), PipeErrorKind::Queue { capacity: 0 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn queue_capacity(mut self, writes: usize) -> Self {
        self.queue_capacity = writes;
        self
    }

    /// The most writes that are handed to the kernel at a time. A sync covers one such batch or,
    /// if a read wrote the next ones, several. At least 1.
    ///
    /// ```
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().batch_writes_max(1); // no write shares a system call
    /// # let _ = config;
    /// ```
    pub const fn batch_writes_max(mut self, writes: usize) -> Self {
        self.batch_writes_max = writes;
        self
    }

    /// The size, in bytes, at which a batch is closed: the write that reaches it is the batch's
    /// last, so a batch is larger by less than one write. At least 1.
    ///
    /// ```
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().batch_bytes_max(1 << 20); // smaller batches, more of them
    /// # let _ = config;
    /// ```
    pub const fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes;
        self
    }

    /// After how many bytes, written since the last sync, the device is told to begin with them, while the rest is
    /// being copied to the kernel (`sync_file_range(2)`; nothing happens on other systems than
    /// Linux). Makes large batches faster; with a batch of up to this size nothing is begun early.
    /// At least 1; `usize::MAX`: the sync alone moves the bytes.
    ///
    /// The default is as large as the page cache's largest folios, which are written back whole:
    /// with less, a folio that is still being filled may go to the device twice.
    ///
    /// ```
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().write_back_bytes(usize::MAX); // on a disk whose writes delay others' reads
    /// # let _ = config;
    /// ```
    pub const fn write_back_bytes(mut self, bytes: usize) -> Self {
        self.write_back_bytes = bytes;
        self
    }

    /// The longest that a batch waits until the writers of the last one wait again, so that they share a sync. It
    /// begins as soon as they do, and after one and a half times a sync in any case; where writers do other work
    /// between two writes, batches soon wait no more. The flusher thread sleeps meanwhile. Zero: batches begin at
    /// once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().gather_max(Duration::ZERO); // more syncs, smaller batches
    /// # let _ = config;
    /// ```
    pub const fn gather_max(mut self, gather: Duration) -> Self {
        self.gather_max = gather;
        self
    }

    /// For how long a thread blocked on a ticket yields its processor again and again before it sleeps. Zero, the
    /// default: it sleeps at once.
    ///
    /// On a machine with idle processors, where waking one takes about as long as a fast sync, lingering makes more
    /// commits with several threads, for more processor time a commit. Beside other work it is
    /// ruinous, since a yield may give a whole time slice away; one that comes back late therefore ends the lingering
    /// of all threads for a while. Tasks never linger: an executor's thread is the program's.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().linger_max(Duration::from_millis(1)); // nothing else runs on this machine
    /// # let _ = config;
    /// ```
    pub const fn linger_max(mut self, linger: Duration) -> Self {
        self.linger_max = linger;
        self
    }

    /// Whether a thread blocked on a ticket writes and syncs a batch itself when no other thread does, which saves a
    /// lone writer two context switches. True by default.
    ///
    /// A leader works for all at its own priority. Turn this off where threads of lower priority than others wait for
    /// tickets: then the flusher thread, which has the priority of the thread that made the pipe, leads every batch.
    ///
    /// ```
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().waiters_lead(false);
    /// # let _ = config;
    /// ```
    pub const fn waiters_lead(mut self, waiters_lead: bool) -> Self {
        self.waiters_lead = waiters_lead;
        self
    }

    /// A flusher shared with other pipes, in place of a thread of the pipe's own.
    ///
    /// ```
    /// # use fz_wpipe::{Flusher, WritePipeConfig};
    /// let flusher = Flusher::new(2); // up to two syncs of different files side by side
    /// let config = WritePipeConfig::new().flusher(&flusher);
    /// # let _ = config;
    /// ```
    pub fn flusher(mut self, flusher: &Flusher) -> Self {
        self.flusher = Some(flusher.clone());
        self
    }

    /// Which sync ends a batch.
    ///
    /// ```
    /// use fz_wpipe::{SyncMode, WritePipeConfig};
    ///
    /// let config = WritePipeConfig::new().sync_mode(SyncMode::Full);
    /// # let _ = config;
    /// ```
    pub const fn sync_mode(mut self, mode: SyncMode) -> Self {
        self.sync_mode = mode;
        self
    }

    /// What the committer needs of it.
    pub(crate) fn commit(&self) -> CommitConfig {
        let config = CommitConfig::new()
            .flush_interval(self.flush_interval)
            .gather_max(self.gather_max)
            .linger_max(self.linger_max)
            .waiters_lead(self.waiters_lead)
            .tag(u64::from(self.module_id));
        match &self.flusher {
            Some(flusher) => config.flusher(flusher),
            None => config,
        }
    }

    /// Each time that `n` more writes are queued, a batch is begun, whether a caller waits or not.
    pub(crate) fn queue_quarter(&self) -> u64 {
        u64::try_from(self.queue_capacity / 4).unwrap_or(u64::MAX).max(1)
    }

    /// After how many bytes the device begins; without a sync to follow, it is not hurried.
    pub(crate) fn write_back_bytes_asked(&self) -> usize {
        if self.sync_mode == SyncMode::DangerouslyNone { usize::MAX } else { self.write_back_bytes }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let zero = |option| Err(PipeError::new(self.module_id, "new", PipeErrorKind::ZeroLimit { option }));
        if self.batch_writes_max == 0 {
            return zero("batch_writes_max");
        }
        if self.batch_bytes_max == 0 {
            return zero("batch_bytes_max");
        }
        if self.write_back_bytes == 0 {
            return zero("write_back_bytes");
        }
        Ok(())
    }
}
