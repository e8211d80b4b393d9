use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fz_commit::{Ticket, WaitError};

use crate::{PipeError, PipeErrorKind, Result};

/// The promise that a write, and every write before it, will be durable; or the error why not.
///
/// A ticket is a [`Future`] on any executor, and can be waited for by a blocked thread. Both
/// resolve to the durable epoch, which is at least [`epoch`](Self::epoch), or to the error that
/// stopped the pipe. They can be asked again and give the same kind of answer.
///
/// Dropping a ticket changes nothing about the write: it was accepted and becomes durable within
/// the pipe's [`flush_interval`](crate::WritePipeConfig::flush_interval). A ticket may outlive its
/// pipe, which settles every ticket before it is gone.
///
/// A ticket that nobody waits for costs nothing but its few words: no allocation, no lock; and no
/// shared counter while it is dropped by the thread that made it, which uses one pipe at a time.
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
/// let tickets = [0, 1, 2].map(|slot_index| {
///     let allocation = pool.try_allocate(1).expect("the pool has eight buffers");
///     pipe.write(WriteRequest { allocation, slot_index }).expect("the slot is in the file")
/// });
/// // The last one stands for all: there is one order.
/// assert!(tickets[2].clone().await? >= 3);
/// assert!(tickets[0].is_durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an accepted write is not yet durable; wait for its ticket, or drop it to write without waiting"]
#[derive(Clone)]
pub struct WriteTicket(Ticket<PipeError>);

impl WriteTicket {
    #[inline]
    pub(crate) fn new(ticket: Ticket<PipeError>) -> Self {
        Self(ticket)
    }

    /// The write's position in the pipe's total order: 1, 2, 3, …
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
    /// assert_eq!(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"a")?, slot_index: 0 })?.epoch(), 1);
    /// assert_eq!(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"b")?, slot_index: 0 })?.epoch(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.0.position()
    }

    /// Whether the write and all before it are durable now. Does not wait.
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
    /// assert!(ticket.is_durable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.0.durable() >= self.0.position()
    }

    /// The outcome, if there is one: the durable epoch, or the error that stopped the pipe before the write was
    /// durable. Does not wait, and asks for nothing.
    ///
    /// # Errors
    ///
    /// The error that stopped the pipe.
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
    /// match ticket.status() {
    ///     None => println!("not yet"),
    ///     Some(settled) => println!("durable up to epoch {}", settled?),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<Result<u64>> {
        self.0.status()
    }

    /// Calls `callback` with the outcome, once: at once if it is known, else on the thread that settles it. No task and
    /// no thread waits meanwhile.
    ///
    /// Asks for a batch, as an await does. The callback is called without locks, like a waker: it must not block, and a
    /// panic in it ends there.
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
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let ticket = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?;
    /// ticket.on_durable(move |settled| sender.send(settled).expect("it is awaited below"));
    /// assert_eq!(receiver.recv()??, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_durable(&self, callback: impl FnOnce(Result<u64>) + Send + 'static) {
        self.0.on_durable(callback);
    }

    /// Blocks the thread until the write is durable; then the durable epoch.
    ///
    /// If nobody else is writing a batch just then, this thread does it itself, which saves two
    /// context switches. Not for async code: `.await` the ticket there.
    ///
    /// # Errors
    ///
    /// The error that stopped the pipe before the write was durable
    /// ([`PipeErrorKind::is_poison`]).
    ///
    /// # Panics
    ///
    /// Where this pipe's own batch calls foreign code, see
    /// [`WritePipe::close`](crate::WritePipe::close).
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
    /// assert!(ticket.wait()? >= ticket.epoch());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self) -> Result<u64> {
        self.0.wait()
    }

    /// Blocks the thread until the write is durable, but not longer than `timeout`.
    ///
    /// The flusher is asked to write at once; this thread never does it itself, since a sync could
    /// outlast the limit. Not for async code.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::TimedOut`], after which the write goes on and the ticket can be waited for
    /// again; else as [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let ticket = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 })?;
    /// match ticket.wait_timeout(Duration::from_secs(5)) {
    ///     Ok(durable) => assert!(durable >= ticket.epoch()),
    ///     Err(error) if matches!(error.kind(), PipeErrorKind::TimedOut { .. }) => println!("no answer yet: {error}"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u64> {
        self.0.wait_timeout(timeout).map_err(|error| pipe_error(error, self.0.tag(), "wait_timeout"))
    }
}

/// The error of a wait with a time limit. `tag` is the pipe's module id.
pub(super) fn pipe_error(error: WaitError<PipeError>, tag: u64, operation: &'static str) -> PipeError {
    match error {
        WaitError::Failed(error) => error,
        WaitError::TimedOut { position: epoch, durable, waited } => {
            let kind = PipeErrorKind::TimedOut { epoch, durable, waited };
            PipeError::new(u8::try_from(tag).unwrap_or(0), operation, kind)
        }
    }
}

impl Future for WriteTicket {
    type Output = Result<u64>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl fmt::Debug for WriteTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTicket").field("epoch", &self.epoch()).field("is_durable", &self.is_durable()).finish()
    }
}

const _: () = {
    const fn assert<T: Future + Send + Sync + Unpin + Clone + 'static>() {}
    assert::<WriteTicket>();
};
