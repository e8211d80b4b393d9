use std::time::Duration;

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
    pub(crate) piece_writes: usize,
    pub(crate) write_back_bytes: usize,
    pub(crate) linger_max: Duration,
    pub(crate) sync_mode: SyncMode,
}

impl Default for WritePipeConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl WritePipeConfig {
    /// The defaults: interval 1 ms, 16,384 queued writes, batches of at most 1,048,576 writes and
    /// 128 MiB, of which the device begins with each 2 MiB while the rest is copied, a thread lingers for at most 1 ms,
    /// [`SyncMode::Data`], module id 0.
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
            piece_writes: 131_072,
            write_back_bytes: 2 << 20,
            linger_max: Duration::from_millis(1),
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
    /// One exception, a *flood*: if more than a million writes a second come, a thousand or more are queued, and most
    /// of them have no neighbour in the file among the others, they are left to gather while more come, the queue
    /// has room, and nobody waits for a ticket, for room or for memory. So they take fewer system calls and
    /// fewer blocks of the device, whose time would be longer than the delay: that is about a microsecond at most for
    /// each write that is queued, and at most 16 ms after the last one came. How they lie is told from the first and
    /// the last hundred that are queued. With an interval of zero there is none.
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
    /// let ticket = pipe.write(request)?; // durable within about 5 ms, whoever asks or not
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
    /// A batch is begun, whoever waits or not, each time another quarter of it has filled; in a flood, see
    /// [`flush_interval`](Self::flush_interval), when it is full.
    ///
    /// A place takes 64 bytes for as long as the pipe lives. What batches are prepared in, up to about as much again
    /// for each write of the largest one, and up to 18 MiB beside it, is kept for the next ones.
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
    /// if a read or a waiting thread wrote the next ones ahead, several. At least 1.
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

    /// Of how many writes a large batch is taken out of the queue and written at a time, if they lie together. For the
    /// pipe's own tests, so that few writes are several pieces.
    #[doc(hidden)]
    pub const fn piece_writes(mut self, writes: usize) -> Self {
        self.piece_writes = writes;
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

    /// The longest that a thread blocked on a ticket, or a task that awaits one, lingers before it sleeps, and
    /// that a batch waits for those whom the last one woke. Zero: not at all.
    ///
    /// Waking a sleeper on an idle processor takes about as long as a fast disk's sync. To linger is to
    /// stay awake meanwhile, which is what makes several writers and tasks fast; it costs processor time
    /// that nobody else asks for. It lasts for about as long as four batches take, but no longer than this, and
    /// does not begin if two take longer: on a slow disk, writers sleep.
    ///
    /// A thread lingers by giving way to other threads, `sched_yield(2)`, and looking again. A task lingers by
    /// waking itself whenever it is polled, so that its executor does not go to sleep, and by giving way to other
    /// threads every few microseconds. Of all tasks only one does, the last of those that the next batch waits
    /// for; only if it came within about one and a half syncs after the last batch; and only until a turn
    /// comes late, because the executor has other work. So a task that commits now and then never lingers, and
    /// one in a loop keeps an executor that has nothing else to do busy.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use fz_wpipe::WritePipeConfig;
    /// let config = WritePipeConfig::new().linger_max(Duration::ZERO); // sleep at once: saves processor time
    /// # let _ = config;
    /// ```
    pub const fn linger_max(mut self, linger: Duration) -> Self {
        self.linger_max = linger;
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

    /// Each time that so many writes more are queued, a batch is begun, whoever waits.
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
