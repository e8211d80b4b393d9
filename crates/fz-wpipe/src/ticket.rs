use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::completion::Completion;
use crate::sync::thread;
use crate::turns::TaskTurns;
use crate::waiting::Registration;
use crate::{PipeError, PipeErrorKind, Result};

/// The promise that a write, and every write before it, will be durable; or the error why not.
///
/// A ticket is a [`Future`] on any executor, and can be waited for by a blocked thread. Both
/// resolve to the durable epoch, which is at least [`epoch`](Self::epoch), or to the error that
/// stopped the pipe. They can be asked again and give the same kind of answer.
///
/// A task that awaits its ticket may be woken before it resolves: where commits follow each other closely,
/// the last task to wait keeps its executor awake for a while, see
/// [`linger_max`](crate::WritePipeConfig::linger_max).
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
pub struct WriteTicket {
    epoch: u64,
    /// `Some` until `drop` takes it.
    completion: Option<Arc<Completion>>,
    registration: Registration,
    turns: TaskTurns,
}

impl WriteTicket {
    #[inline]
    pub(crate) fn new(epoch: u64, completion: &Arc<Completion>) -> Self {
        Self { epoch, completion: Some(spare::take(completion)), registration: 0, turns: TaskTurns::NONE }
    }

    fn completion(&self) -> &Completion {
        self.completion.as_deref().expect("only drop takes the completion")
    }

    #[cfg(test)]
    pub(crate) fn turns(&self) -> &TaskTurns {
        &self.turns
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
    pub fn epoch(&self) -> u64 {
        self.epoch
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
        self.completion().durable() >= self.epoch
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
        let completion = self.completion();
        loop {
            if let Some(status) = completion.status(self.epoch) {
                return status;
            }
            match completion.core() {
                Some(core) => return core.wait(self.epoch),
                // The pipe settles every ticket before it goes, and it is going just now.
                None => thread::yield_now(),
            }
        }
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
        let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
        let deadline = Instant::now().checked_add(timeout);
        let mut ticket = self.clone();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(status) = Pin::new(&mut ticket).poll(&mut context) {
                return status;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let kind = PipeErrorKind::TimedOut {
                    epoch: self.epoch,
                    durable: self.completion().durable(),
                    waited: timeout,
                };
                let module_id = self.completion().core().map_or(0, |core| core.module_id());
                return Err(PipeError::new(module_id, "wait_timeout", kind));
            }
            if let Some(core) = self.completion().core() {
                core.assert_outside("waited for a ticket of");
            }
            park(left);
        }
    }
}

#[cfg(not(fz_shuttle))]
fn park(left: Option<Duration>) {
    match left {
        Some(left) => thread::park_timeout(left),
        None => thread::park(),
    }
}

/// A model has no clock: let the others run, then look again.
#[cfg(fz_shuttle)]
fn park(_left: Option<Duration>) {
    thread::yield_now();
}

impl Future for WriteTicket {
    type Output = Result<u64>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let completion = this.completion.as_deref().expect("only drop takes the completion");
        if let Some(status) = completion.status(this.epoch) {
            // Who settled the epoch has taken the waker, or is about to.
            this.registration = 0;
            return Poll::Ready(status);
        }
        if this.turns.take(&completion.gathering) {
            // What was left before may be an older waker; this one is left when the turns are over.
            if !fz_error::mutants::active("linger_without_a_wake") {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let is_new = this.registration == 0;
        if let Some(status) = completion.register(this.epoch, &mut this.registration, context.waker()) {
            this.registration = 0;
            return Poll::Ready(status);
        }
        if is_new {
            let arrival = completion.ask_for_round();
            if this.turns.begin(&completion.gathering, arrival) {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl Clone for WriteTicket {
    /// A ticket for the same write, which waits on its own.
    fn clone(&self) -> Self {
        Self { epoch: self.epoch, completion: self.completion.clone(), registration: 0, turns: TaskTurns::NONE }
    }
}

impl Drop for WriteTicket {
    #[inline]
    fn drop(&mut self) {
        let Some(completion) = self.completion.take() else { return };
        if self.registration != 0 {
            completion.cancel(self.epoch, self.registration);
        }
        spare::give(completion);
    }
}

impl fmt::Debug for WriteTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTicket").field("epoch", &self.epoch).field("is_durable", &self.is_durable()).finish()
    }
}

struct ThreadWaker(thread::Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// References to a completion that a thread keeps for its next tickets.
///
/// A reference count is one cache line that all producers write, twice for each ticket. So the
/// references of dropped tickets are kept, a few a thread, and handed to new ones of the same pipe.
/// What they keep alive is the completion, which holds neither buffers nor the file.
mod spare {
    use super::{Arc, Completion, RefCell};

    /// The most references that one thread keeps.
    const SPARE_MAX: usize = 128;

    thread_local! {
        static SPARE: RefCell<Vec<Arc<Completion>>> = const { RefCell::new(Vec::new()) };
    }

    #[inline]
    pub(super) fn take(of: &Arc<Completion>) -> Arc<Completion> {
        SPARE
            .try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.last().is_some_and(|last| Arc::ptr_eq(last, of)) { spare.pop() } else { None }
            })
            .ok()
            .flatten()
            .unwrap_or_else(|| Arc::clone(of))
    }

    #[inline(never)]
    pub(super) fn give(completion: Arc<Completion>) {
        // Fails while the thread's locals are being destroyed; then the reference just drops.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.last().is_some_and(|last| !Arc::ptr_eq(last, &completion)) {
                // Another pipe's: this thread has moved on. Their drop runs no foreign code, since
                // a completion without tickets has no wakers.
                spare.clear();
            }
            if spare.len() < SPARE_MAX {
                spare.push(completion);
            }
        });
    }
}

const _: () = {
    const fn assert<T: Future + Send + Sync + Unpin + Clone + 'static>() {}
    assert::<WriteTicket>();
};
