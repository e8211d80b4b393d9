use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fz_bufpool::PoolLine;
use fz_file::SlotFile;
use fz_mpsc::{PushError, QueueConfig, channel_with_alarm};

use crate::alarm::Cause;
use crate::bell::Bell;
use crate::core::Core;
use crate::sync::{AtomicU64, Mutex, Ordering, lock, thread};
use crate::writer::Writer;
use crate::{
    PipeError, PipeErrorKind, PipeStats, RejectedWrite, Result, WritePipeConfig, WriteRequest, WriteSink, WriteTicket,
};

/// A durable write path to one [`SlotFile`]: writes are accepted at once, written in batches, and
/// made durable by one sync a batch.
///
/// All methods take `&self`; share a pipe between threads in an [`Arc`]. Dropping it closes it and
/// makes everything accepted durable, which may block; [`close`](Self::close) also tells whether
/// that succeeded.
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
    core: Arc<Core>,
    file: Arc<SlotFile>,
    /// Each position that is a multiple of this calls the flusher, so that a queue fills up only if
    /// the disk is slower than the producers. A power of two.
    call_every: u64,
    /// What a pool calls when somebody has to wait for memory that this pipe may hold.
    memory_alarm: Arc<dyn Fn() + Send + Sync>,
    /// The pool that knows it: the last write's.
    pool_met: AtomicU64,
    flusher: Mutex<Option<thread::JoinHandle<()>>>,
    flusher_id: thread::ThreadId,
}

impl WritePipe {
    /// Starts a pipe, and its flusher thread, on `file`.
    ///
    /// Several pipes on one file are possible, but then each has an order of its own.
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
        let (sender, mut receiver) = channel_with_alarm(queue, move || caller.first_write())
            .map_err(|source| error(PipeErrorKind::Queue { capacity }).with_source(source))?;
        // A new queue is empty and open.
        let _ = receiver.announce_sleep();

        let quarter = u64::try_from(capacity / 4).unwrap_or(u64::MAX).max(1);
        let writer = Writer::new(receiver, Arc::clone(&file));
        let core = Core::new(config, &file, bell, sender, writer);
        let running = Arc::clone(&core);
        let flusher = thread::Builder::new()
            .name("fz-flusher".to_owned())
            .spawn(move || run(&running))
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
            pool_met: AtomicU64::new(0),
            call_every: 1 << quarter.ilog2(),
            flusher_id: flusher.thread().id(),
            flusher: Mutex::new(Some(flusher)),
        })
    }

    /// Accepts a write: from now on it has a place in the pipe's order, and becomes durable.
    ///
    /// Never waits for the disk while the queue has room: then it costs some tens of nanoseconds,
    /// takes no lock and allocates nothing. While the queue is full it blocks; in async code call
    /// [`write_async`](Self::write_async) or [`try_write`](Self::try_write).
    ///
    /// # Errors
    ///
    /// With the request given back: [`PipeErrorKind::OutOfRange`],
    /// [`PipeErrorKind::BufferSizeMismatch`], [`PipeErrorKind::Closed`], or the error that stopped
    /// the pipe.
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
    /// let ticket = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"first")?, slot_index: 0 })?;
    /// assert_eq!(ticket.epoch(), 1);
    ///
    /// // Refused, the request comes back, and the pipe goes on.
    /// let request = WriteRequest { allocation: pool.allocate_copy(b"second")?, slot_index: 8 };
    /// let rejected = pipe.write(request).unwrap_err();
    /// assert!(matches!(rejected.error.kind(), PipeErrorKind::OutOfRange { slot_index: 8, slots: 8, .. }));
    /// let request = WriteRequest { slot_index: 7, ..rejected.request };
    /// assert_eq!(pipe.write(request)?.epoch(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn write(&self, request: WriteRequest) -> Result<WriteTicket, RejectedWrite> {
        let request = self.check(request)?;
        let line = request.allocation.line();
        let pushed = match self.core.sender.try_push(request) {
            Err(PushError::Full(request)) => {
                self.core.assert_outside("waited for room in");
                self.core.sender.push(request)
            }
            decided => decided,
        };
        self.accepted(pushed, line)
    }

    /// As [`write`](Self::write), but a full queue gives the request back at once.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::QueueFull`]; else as [`write`](Self::write).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{RejectedWrite, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// match pipe.try_write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 }) {
    ///     Ok(ticket) => assert_eq!(ticket.wait()?, 1),
    ///     Err(RejectedWrite { request, error }) => println!("slot {} has to wait: {error}", request.slot_index),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_write(&self, request: WriteRequest) -> Result<WriteTicket, RejectedWrite> {
        let request = self.check(request)?;
        let line = request.allocation.line();
        self.accepted(self.core.sender.try_push(request), line)
    }

    /// As [`write`](Self::write), but a full queue suspends the task instead of blocking the
    /// thread. Waiting tasks and threads are served in the order in which they came.
    ///
    /// Dropping the future before it is ready drops the request unwritten.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
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
    /// # futures_executor::block_on(async {
    /// let request = WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 };
    /// let ticket = pipe.write_async(request).await?; // it has a place in the order
    /// assert_eq!(ticket.await?, 1); // it is durable
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn write_async(&self, request: WriteRequest) -> Result<WriteTicket, RejectedWrite> {
        let request = self.check(request)?;
        let line = request.allocation.line();
        // The future of a push is made only where there is something to wait for.
        let pushed = match self.core.sender.try_push(request) {
            Err(PushError::Full(request)) => self.core.sender.push_async(request).await,
            decided => decided,
        };
        self.accepted(pushed, line)
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
    pub fn sink(&self) -> WriteSink<'_> {
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
    /// `buffer` is a whole number of slots. The read never sees a part of a write: what is queued
    /// is handed to the kernel first, and no batch is written meanwhile. Blocks for that, and for
    /// the disk if the slots are not in memory; producers do not notice.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::NotWholeSlots`], [`PipeErrorKind::OutOfRange`],
    /// [`PipeErrorKind::ReadFailed`]; or the error that stopped the pipe, if accepted writes were
    /// lost to it.
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
        // After the read: with a failed sync some file systems take back what the kernel had
        // already shown, and the buffer may hold what was there before.
        match self.core.completion.status(accepted) {
            Some(Err(failure)) => Err(failure),
            _ => Ok(()),
        }
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
    /// all is done; calling it again, from any thread, is harmless and gives the same result.
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

    fn ticket(&self, epoch: u64) -> WriteTicket {
        WriteTicket::new(epoch, &self.core.completion)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn check_range(&self, slot_index: u64, count: u64) -> Result<(), PipeErrorKind> {
        let slots = self.file.slots();
        // Since the file has at least one slot then, nothing below this can overflow.
        let is_inside = slots.checked_sub(count).is_some_and(|last| slot_index <= last);
        if is_inside || fz_error::mutants::active("accept_out_of_range") {
            Ok(())
        } else {
            Err(PipeErrorKind::OutOfRange { slot_index, count, slots })
        }
    }

    #[inline]
    pub(crate) fn check(&self, request: WriteRequest) -> Result<WriteRequest, RejectedWrite> {
        let buffer_size = request.allocation.buffer_size().bytes();
        let slot_size = self.file.slot_size();
        let kind = if buffer_size == slot_size {
            let count = u64::try_from(request.allocation.count()).unwrap_or(u64::MAX);
            match self.check_range(request.slot_index, count) {
                Ok(()) => return Ok(request),
                Err(kind) => kind,
            }
        } else {
            PipeErrorKind::BufferSizeMismatch { buffer_size, slot_size }
        };
        Err(self.reject(request, kind))
    }

    #[cold]
    fn reject(&self, request: WriteRequest, kind: PipeErrorKind) -> RejectedWrite {
        RejectedWrite { request, error: PipeError::new(self.core.module_id(), "write", kind) }
    }

    #[inline]
    pub(crate) fn accepted(
        &self,
        outcome: Result<u64, PushError<WriteRequest>>,
        line: PoolLine,
    ) -> Result<WriteTicket, RejectedWrite> {
        match outcome {
            Ok(epoch) => {
                // Relaxed: a stale value introduces the alarm to its pool once more, which does nothing.
                if line.id() != self.pool_met.load(Ordering::Relaxed) {
                    self.meet(line);
                }
                // Either a request that comes to wait for this memory calls us, or it waits already
                // and is seen here: the push was a read-modify-write. Were it not seen, as the C++
                // model allows and no processor does, the memory would come back after the interval.
                if epoch & (self.call_every - 1) == 0 || line.is_waiting() {
                    self.core.bell.alarm.demand();
                }
                Ok(self.ticket(epoch))
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// From now on those who have to wait for that pool's memory call the flusher, if the pipe holds
    /// some of it.
    #[cold]
    fn meet(&self, line: PoolLine) {
        line.add_alarm(&self.memory_alarm);
        self.pool_met.store(line.id(), Ordering::Relaxed);
    }

    #[cold]
    fn refused(&self, refusal: PushError<WriteRequest>) -> RejectedWrite {
        match refusal {
            PushError::Closed(request) => match self.core.completion.reason() {
                Some(error) => RejectedWrite { request, error: error.clone() },
                None => self.reject(request, PipeErrorKind::Closed),
            },
            refusal => {
                let capacity = self.core.sender.capacity();
                self.reject(refusal.into_value(), PipeErrorKind::QueueFull { capacity })
            }
        }
    }
}

/// The flusher thread.
fn run(core: &Core) {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        loop {
            let cause = core.bell.alarm.wait();
            core.counters.wakeups.add(1);
            match cause {
                Cause::Stop => return core.finish(),
                Cause::Demand => core.serve_demand(),
                Cause::Deadline => core.serve_deadline(),
            }
        }
    }));
    if let Err(panic) = panic {
        core.poison_by_panic("flush", &*panic);
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
    assert::<WriteRequest>();
};
