use std::fmt;
use std::sync::Arc;

use fz_file::SlotFile;
use fz_mpsc::{QueueConfig, channel_with_wake};

use crate::bell::Bell;
use crate::core::Core;
use crate::submit::PoolsMet;
use crate::sync::{Mutex, lock, thread};
use crate::{PipeError, PipeErrorKind, PipeStats, Result, WritePipeConfig, WriteSink, WriteTicket};

/// A durable write path to one [`SlotFile`]: writes are accepted at once, written in batches, and
/// made durable by one sync a batch.
///
/// All methods take `&self`; share a pipe between threads in an [`Arc`]. Dropping it closes it and
/// makes everything accepted durable, which may block, in async code too;
/// [`close`](Self::close) also tells whether that succeeded.
///
/// ```
/// use std::sync::Arc;
/// use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// use fz_file::{SlotFile, SlotFileConfig};
/// use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("slots");
/// let file = Arc::new(SlotFile::open(SlotFileConfig::new(path, 128).initial_slots(1024))?);
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 1024 * 128))?;
/// let pipe = WritePipe::new(WritePipeConfig::new(), Arc::clone(&file))?;
///
/// let mut allocation = pool.allocate(2)?;
/// allocation.as_mut_slice().fill(0xAA);
/// let ticket = pipe.write(WriteRequest { allocation, slot_index: 0 })?;
/// assert_eq!(ticket.epoch(), 1);
/// assert!(ticket.wait()? >= 1);
/// pipe.close()?;
/// # Ok(())
/// # }
/// ```
pub struct WritePipe {
    pub(crate) core: Arc<Core>,
    pub(crate) file: Arc<SlotFile>,
    /// Each position that is a multiple of this calls the flusher, so that a queue fills up only if
    /// the disk is slower than the producers. A power of two.
    pub(crate) call_every: u64,
    /// What a pool calls when somebody has to wait for memory that this pipe may hold.
    pub(crate) memory_alarm: Arc<dyn Fn() + Send + Sync>,
    pub(crate) pools_met: PoolsMet,
    flusher: Mutex<Option<thread::JoinHandle<()>>>,
    flusher_id: thread::ThreadId,
}

impl WritePipe {
    /// Starts a pipe, and its flusher thread, on `file`.
    ///
    /// Several pipes on one file are possible, but then each has an order of its own, and a read
    /// through one may see a part of a write through another. Starts a thread; does not wait.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::ReadOnly`], [`PipeErrorKind::ZeroLimit`], [`PipeErrorKind::Queue`] for a
    /// capacity of zero or more than memory allows, [`PipeErrorKind::Thread`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// let pipe = WritePipe::new(WritePipeConfig::new().module_id(7), Arc::new(file))?;
    /// assert_eq!(pipe.durable_epoch(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(config: WritePipeConfig, file: Arc<SlotFile>) -> Result<Self> {
        config.check()?;
        let module_id = config.module_id;
        let error = |kind| PipeError::new(module_id, "new", kind);
        if file.is_read_only() {
            return Err(error(PipeErrorKind::ReadOnly).with_path(file.path()));
        }
        let bell =
            Bell::new(config.flush_interval).map_err(|source| error(PipeErrorKind::Thread).with_source(source))?;
        let bell = Arc::new(bell);
        let caller = Arc::clone(&bell);
        let capacity = config.queue_capacity;
        let queue = QueueConfig::new(capacity).module_id(module_id);
        let (sender, mut receiver) = channel_with_wake(queue, move || caller.first_write())
            .map_err(|source| error(PipeErrorKind::Queue { capacity }).with_source(source))?;
        // A new queue is empty and open.
        let _ = receiver.announce_sleep();

        let quarter = config.queue_quarter();
        let core = Core::new(config, &file, bell, sender, receiver);
        let running = Arc::clone(&core);
        let flusher = thread::Builder::new()
            .name("fz-flusher".to_owned())
            .spawn(move || running.run_flusher())
            .map_err(|source| error(PipeErrorKind::Thread).with_source(source))?;
        let memory_alarm: Arc<dyn Fn() + Send + Sync> = {
            let core = Arc::downgrade(&core);
            Arc::new(move || {
                if let Some(core) = core.upgrade() {
                    core.give_memory_back();
                }
            })
        };
        Ok(Self {
            core,
            file,
            memory_alarm,
            pools_met: PoolsMet::new(),
            call_every: 1 << quarter.ilog2(),
            flusher_id: flusher.thread().id(),
            flusher: Mutex::new(Some(flusher)),
        })
    }

    /// A [`Sink`](futures_util::Sink) of writes on this pipe, for `StreamExt::forward` and the
    /// like. Its flush waits until what was sent is durable.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// use futures_util::SinkExt;
    ///
    /// # futures_executor::block_on(async {
    /// let mut sink = pipe.sink();
    /// for slot_index in 0..3 {
    ///     sink.send(WriteRequest { allocation: pool.allocate_async(1).await?, slot_index }).await?;
    /// }
    /// sink.close().await?; // what was sent is durable
    /// assert_eq!(pipe.durable_epoch(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sink(&self) -> WriteSink<&Self> {
        WriteSink::new(self)
    }

    /// As [`sink`](Self::sink), but the sink holds the pipe: for a task that outlives the caller.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// use futures_util::{StreamExt, stream};
    ///
    /// let pipe = Arc::new(WritePipe::new(WritePipeConfig::new(), Arc::new(file))?);
    /// let requests = stream::iter(0..8).map(move |slot_index| {
    ///     Ok(WriteRequest { allocation: pool.try_allocate(1).expect("the pool has eight buffers"), slot_index })
    /// });
    /// let sent = requests.forward(Arc::clone(&pipe).into_sink());
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// tokio::spawn(sent).await??; // sent, and durable
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// assert_eq!(pipe.durable_epoch(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_sink(self: Arc<Self>) -> WriteSink<Arc<Self>> {
        WriteSink::new(self)
    }

    /// A ticket for everything accepted before this call.
    ///
    /// Costs no write of its own; settled at once if all of it is durable, or if nothing was ever
    /// accepted.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// for slot_index in 0..8 {
    ///     drop(pipe.write(WriteRequest { allocation: pool.allocate(1)?, slot_index })?);
    /// }
    /// assert_eq!(pipe.sync().wait()?, 8); // one commit for all of them
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync(&self) -> WriteTicket {
        self.ticket(self.core.sender.last_position())
    }

    /// Reads consecutive slots as every write accepted before this call left them, durable or not.
    ///
    /// `buffer` is a whole number of slots. The read never sees a part of one of this pipe's writes
    /// (those of another pipe, or of [`SlotFile::write`], it may): what is queued is handed to the
    /// kernel first, and no batch is written meanwhile. Blocks for that, and for the disk if the
    /// slots are not in memory; producers do not notice. Not for async code.
    ///
    /// A read that runs *while* a sync fails, on a file system that then shows the old bytes again,
    /// may see them; a later one returns the error.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::NotWholeSlots`], [`PipeErrorKind::OutOfRange`],
    /// [`PipeErrorKind::ReadFailed`]; or the error that stopped the pipe, if accepted writes were
    /// lost to it.
    ///
    /// # Panics
    ///
    /// As [`close`](Self::close), and in a user's [`Storage`](fz_file::Storage) that the pipe calls.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// // Accepted, and not durable yet.
    /// drop(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 3 })?);
    /// let mut slot = [0; 128];
    /// pipe.read(3, &mut slot)?;
    /// assert!(slot.starts_with(b"record"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, slot_index: u64, buffer: &mut [u8]) -> Result<()> {
        let slot_size = self.file.slot_size();
        let error = |kind| PipeError::new(self.core.module_id(), "read", kind);
        if buffer.is_empty() || !buffer.len().is_multiple_of(slot_size) {
            return Err(error(PipeErrorKind::NotWholeSlots { bytes: buffer.len(), slot_size }));
        }
        let count = u64::try_from(buffer.len() / slot_size).unwrap_or(u64::MAX);
        self.check_range(slot_index, count).map_err(error)?;
        let accepted = self.core.sender.last_position();
        if !fz_error::mutants::active("read_past_the_queue") {
            self.core.write_through(accepted)?;
        }
        self.core
            .between_writes(|| self.file.read(slot_index, buffer))
            .map_err(|source| error(PipeErrorKind::ReadFailed { slot_index, count }).with_source(source))?;
        // After the read: a batch that failed may have left a part of a write, and with a failed sync
        // some file systems take back what the kernel had already shown.
        self.core.loss().map_or(Ok(()), Err)
    }

    /// The highest epoch such that it and all before it are durable; 0 before the first. It only
    /// grows.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let ticket = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?;
    /// ticket.wait()?;
    /// assert_eq!(pipe.durable_epoch(), ticket.epoch());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn durable_epoch(&self) -> u64 {
        self.core.completion.durable()
    }

    /// The error that stopped the pipe for good, if one did: every ticket that is not durable
    /// resolves to it, and every write is refused with it. Does not wait.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// if let Some(error) = pipe.failure() {
    ///     println!("{error}; what is above epoch {} is lost", pipe.durable_epoch());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<PipeError> {
        self.core.completion.failure().cloned()
    }

    /// Whether every later write is refused: the pipe was closed, or it failed.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// assert!(!pipe.is_closed());
    /// pipe.close()?;
    /// assert!(pipe.is_closed() && pipe.failure().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.sender.is_closed()
    }

    /// What the pipe has done so far. Does not wait, and costs the submission path nothing.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?.wait()?;
    /// let stats = pipe.stats();
    /// assert_eq!((stats.accepted, stats.durable, stats.bytes), (1, 1, 128));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> PipeStats {
        let sender = &self.core.sender;
        // In this order none of the differences can be negative.
        let durable = self.core.completion.durable();
        let written = self.core.written();
        let accepted = sender.last_position();
        self.core.counters.stats(accepted, durable, accepted.saturating_sub(written))
    }

    /// The file that this pipe writes to.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// assert_eq!(pipe.file().slots(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn file(&self) -> &Arc<SlotFile> {
        &self.file
    }

    /// Refuses every later write, makes everything accepted durable, and ends the flusher thread.
    /// Returns the durable epoch, which is then the last.
    ///
    /// A write that races with it is either accepted, and then durable, or given back. Blocks until
    /// all is done, so it is not for async code (await [`sync`](Self::sync) first, then it takes as
    /// long as a thread takes to end); calling it again, from any thread, is harmless and gives the
    /// same result.
    /// Afterwards the pipe can still be read.
    ///
    /// # Errors
    ///
    /// The error that stopped the pipe before everything was durable.
    ///
    /// # Panics
    ///
    /// In the [`Waker`](std::task::Waker) of a task that waits for room or for memory, if this pipe's
    /// batch just gave it back and so calls that waker: the pipe would wait for itself. (Dropping
    /// the pipe there is fine: the flusher thread does the rest.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let ticket = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?;
    /// assert_eq!(pipe.close()?, 1);
    /// assert!(ticket.is_durable());
    /// let late = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"late")?, slot_index: 0 }).unwrap_err();
    /// assert!(matches!(late.error.kind(), PipeErrorKind::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) -> Result<u64> {
        self.core.assert_outside("closed");
        self.core.close_queue();
        let settled =
            if fz_error::mutants::active("close_skips_tail") { Ok(self.durable_epoch()) } else { self.sync().wait() };
        self.core.bell.alarm.stop();
        // The flusher thread itself may get here, from foreign code that drops the last handle; it
        // cannot wait for its own end.
        if thread::current().id() != self.flusher_id {
            let mut flusher = lock(&self.flusher);
            if let Some(flusher) = flusher.take() {
                // `run` catches every panic.
                let _ = flusher.join();
            }
        }
        self.core.let_go();
        settled
    }

    #[inline]
    pub(crate) fn ticket(&self, epoch: u64) -> WriteTicket {
        WriteTicket::new(epoch, &self.core.completion)
    }
}

impl Drop for WritePipe {
    fn drop(&mut self) {
        if self.core.is_inside() {
            // The last handle went in a waker that a round calls, for example with a task of an
            // executor that is no more. The round cannot be waited for under its own locks.
            self.core.close_queue();
            self.core.bell.alarm.stop();
            return;
        }
        // Who wants to know calls `close` first.
        let _ = self.close();
    }
}

impl fmt::Debug for WritePipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePipe").field("file", &self.file).field("stats", &self.stats()).finish()
    }
}

const _: () = {
    const fn assert<T: Send + Sync>() {}
    assert::<WritePipe>();
    assert::<crate::WriteRequest>();
};
