//! The pipe's public face.

mod pools;
mod read;
mod sink;
mod ticket;
mod write;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use fz_bufpool::BufferSize;
use fz_commit::Committer;
use fz_file::SlotFile;
use fz_mpsc::{QueueConfig, channel_with_wake};

use self::pools::RegisteredPools;
pub use self::sink::WriteSink;
pub use self::ticket::WriteTicket;
use self::ticket::pipe_error;
use crate::batch::Slots;
use crate::{PipeError, PipeErrorKind, PipeStats, Result, WritePipeConfig};

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
    committer: Arc<Committer<Slots>>,
    file: Arc<SlotFile>,
    /// Each epoch that is a multiple of this demands a batch, so that a queue fills up only if the disk is slower than
    /// the producers. A power of two.
    call_every: u64,
    /// What a pool calls when a caller has to wait for memory that this pipe may hold.
    memory_alarm: Arc<dyn Fn() + Send + Sync>,
    pools: RegisteredPools,
}

impl WritePipe {
    /// Starts a pipe, and its flusher thread, on `file`.
    ///
    /// Several pipes on one file are possible, but then each has an order of its own, and a read
    /// through one may see a part of a write through another. Starts a thread; does not wait.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::ReadOnly`]; [`PipeErrorKind::SlotSize`] if the file's slots have no pool's buffer size, so
    /// that no write could succeed; [`PipeErrorKind::ZeroLimit`]; [`PipeErrorKind::Queue`] for a capacity of zero or
    /// more than memory allows; [`PipeErrorKind::Thread`].
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
        let slot_size = file.slot_size();
        if BufferSize::try_from(slot_size).is_err() {
            return Err(error(PipeErrorKind::SlotSize { slot_size }).with_path(file.path()));
        }
        let capacity = config.queue_capacity;
        let queue = QueueConfig::new(capacity).module_id(module_id);
        // The queue calls the committer, and the committer's medium owns the queue.
        let arrived: Arc<OnceLock<Weak<Committer<Slots>>>> = Arc::default();
        let caller = Arc::clone(&arrived);
        let work_arrived = move || {
            if let Some(committer) = caller.get().and_then(Weak::upgrade) {
                committer.work_arrived();
            }
        };
        let (sender, mut receiver) = channel_with_wake(queue, work_arrived)
            .map_err(|source| error(PipeErrorKind::Queue { capacity }).with_source(source))?;
        // A new queue is empty and open.
        let _ = receiver.announce_sleep();
        let quarter = config.queue_quarter();
        let commit = config.commit();
        let slots = Slots::new(config, Arc::clone(&file), sender, receiver);
        let committer =
            Committer::new(slots, commit).map_err(|source| error(PipeErrorKind::Thread).with_source(source))?;
        let committer = Arc::new(committer);
        // Set once, here.
        let _ = arrived.set(Arc::downgrade(&committer));
        Ok(Self {
            memory_alarm: Arc::new(committer.demand_later()),
            committer,
            file,
            pools: RegisteredPools::new(),
            call_every: 1 << quarter.ilog2(),
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
        self.ticket_of(self.slots().sender.last_position())
    }

    /// A ticket for the write that was accepted with this epoch, and all before it; `None` if there was none yet.
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
    /// let epoch = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?.epoch();
    /// let again = pipe.ticket(epoch).expect("it was accepted");
    /// assert_eq!(again.wait()?, epoch);
    /// assert!(pipe.ticket(epoch + 1).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn ticket(&self, epoch: u64) -> Option<WriteTicket> {
        (epoch <= self.slots().sender.last_position()).then(|| self.ticket_of(epoch))
    }

    /// Asks for a batch and a sync of everything accepted so far, at once and without waiting; [`sync`](Self::sync) is
    /// the ticket to wait for it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let config = WritePipeConfig::new().flush_interval(std::time::Duration::from_secs(3600));
    /// # let pipe = WritePipe::new(config, Arc::new(file))?;
    /// drop(pipe.write(WriteRequest { allocation: pool.allocate(1)?, slot_index: 0 })?); // within an hour
    /// pipe.flush(); // or now
    /// # while pipe.durable_epoch() == 0 { std::thread::yield_now() }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self) {
        self.committer.demand();
    }

    /// The durable epoch as it grows, without ever asking for a batch: a blocking wait and a `Stream`.
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
    /// let mut watch = pipe.watch();
    /// drop(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?);
    /// assert_eq!(watch.wait().expect("the pipe goes on")?, 1); // after the flush interval
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn watch(&self) -> fz_commit::Watch<PipeError> {
        self.committer.watch()
    }

    /// Resolves when the pipe stops: to the error, or to `None` if it was closed and everything is durable.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let failed = pipe.failed();
    /// pipe.close()?;
    /// # futures_executor::block_on(async {
    /// assert!(failed.await.is_none());
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed(&self) -> fz_commit::Failed<PipeError> {
        self.committer.failed()
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
        self.committer.durable()
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
        self.committer.failure()
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
        self.slots().sender.is_closed()
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
        let slots = self.slots();
        // In this order none of the differences can be negative.
        let commit = self.committer.stats();
        let queue_depth = slots.queue_depth();
        slots.counters.stats(&commit, slots.sender.last_position(), queue_depth)
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
        self.committer.close()
    }

    /// As [`close`](Self::close), but waits no longer than `timeout` for the disk. After that the pipe goes on to make
    /// durable what it accepted: call this again, or [`abandon`](Self::abandon). Not for async code.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::TimedOut`]; else as [`close`](Self::close).
    ///
    /// # Panics
    ///
    /// As [`close`](Self::close).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// if let Err(error) = pipe.close_timeout(Duration::from_secs(10)) {
    ///     println!("{error}; giving up at epoch {}", pipe.abandon());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close_timeout(&self, timeout: Duration) -> Result<u64> {
        let module_id = u64::from(self.slots().module_id());
        self.committer.close_timeout(timeout).map_err(|error| pipe_error(error, module_id, "close_timeout"))
    }

    /// Gives up beside a disk that hangs: refuses every later write and resolves every ticket that is not durable to
    /// [`PipeErrorKind::Abandoned`]. Returns the durable epoch, which is then the last. Neither this nor the drop of
    /// the pipe waits for the disk; a call that hangs goes on to hang in its thread, and may still write.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// assert_eq!(pipe.abandon(), 0);
    /// assert!(pipe.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abandon(&self) -> u64 {
        self.committer.abandon()
    }

    fn slots(&self) -> &Slots {
        self.committer.medium()
    }

    #[inline]
    fn ticket_of(&self, epoch: u64) -> WriteTicket {
        WriteTicket::new(self.committer.ticket(epoch))
    }

    /// The error that stopped the pipe, as soon as it has happened.
    fn reason(&self) -> Option<PipeError> {
        self.slots().failure().cloned().or_else(|| self.committer.failure())
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
