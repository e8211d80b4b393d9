use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Sink;
use fz_mpsc::{PushError, RoomWaiter};

use crate::{PipeError, RejectedWrite, Result, WritePipe, WriteRequest, WriteTicket};

/// A [`Sink`] of writes, see [`WritePipe::sink`].
///
/// Sending puts the write into the queue; when that is full, the sink is not ready. Flushing, and
/// closing too, waits until everything sent is durable. Closing the sink leaves the pipe open.
///
/// A request that the pipe refuses is not lost: [`take_rejected`](Self::take_rejected) has it.
/// Dropping a sink that was not flushed drops the request that still waits for room, unwritten.
///
/// `P` is `&WritePipe`, or `Arc<WritePipe>` for a task of its own
/// ([`WritePipe::into_sink`]).
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
/// use futures_util::{StreamExt, stream};
///
/// # futures_executor::block_on(async {
/// let records = ["one", "two", "three"].into_iter().zip(0..);
/// let requests = stream::iter(records).map(|(record, slot_index)| {
///     let allocation = pool.try_allocate_copy(record.as_bytes()).expect("the pool has eight buffers");
///     Ok(WriteRequest { allocation, slot_index })
/// });
/// requests.forward(pipe.sink()).await?; // sent, and durable
/// assert_eq!(pipe.durable_epoch(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a sink writes what is sent into it"]
pub struct WriteSink<P> {
    pipe: P,
    /// Checked, but not in the queue yet.
    waiting: Option<WriteRequest>,
    room: RoomWaiter,
    /// The last write accepted.
    ticket: Option<WriteTicket>,
    rejected: Option<WriteRequest>,
}

impl<P> WriteSink<P> {
    pub(crate) fn new(pipe: P) -> Self {
        Self { pipe, waiting: None, room: RoomWaiter::default(), ticket: None, rejected: None }
    }

    /// The request of the last error, once.
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
    /// let request = WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 8 };
    /// sink.send(request).await.unwrap_err(); // there are eight slots
    /// let request = sink.take_rejected().expect("it comes back");
    /// sink.send(WriteRequest { slot_index: 7, ..request }).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_rejected(&mut self) -> Option<WriteRequest> {
        self.rejected.take()
    }

    fn note(&mut self, outcome: Result<WriteTicket, RejectedWrite>) -> Result<()> {
        match outcome {
            Ok(ticket) => {
                self.ticket = Some(ticket);
                Ok(())
            }
            Err(RejectedWrite { request, error }) => {
                self.rejected = Some(request);
                Err(error)
            }
        }
    }
}

impl<P: Deref<Target = WritePipe>> WriteSink<P> {
    /// Gets the waiting request into the queue.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(waiting) = &self.waiting else { return Poll::Ready(Ok(())) };
        let line = waiting.allocation.line();
        let pushed = ready!(self.pipe.slots().sender.poll_push(&mut self.waiting, &mut self.room, context));
        let decided = self.pipe.decided(pushed, line);
        Poll::Ready(self.note(decided))
    }
}

impl<P: Deref<Target = WritePipe> + Unpin> Sink<WriteRequest> for WriteSink<P> {
    type Error = PipeError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_room(context)
    }

    fn start_send(mut self: Pin<&mut Self>, request: WriteRequest) -> Result<()> {
        assert!(self.waiting.is_none(), "start_send was called before poll_ready was ready");
        match self.pipe.check(request) {
            Ok(request) => {
                let line = request.allocation.line();
                match self.pipe.slots().sender.try_push(request) {
                    Err(PushError::Full(request)) => {
                        self.pipe.call_for_room();
                        self.waiting = Some(request);
                        Ok(())
                    }
                    decided => {
                        let decided = self.pipe.decided(decided, line);
                        self.note(decided)
                    }
                }
            }
            Err(rejected) => self.note(Err(rejected)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(context))?;
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(Ok(())) };
        let settled = ready!(Pin::new(ticket).poll(context));
        if settled.is_ok() {
            self.ticket = None;
        }
        Poll::Ready(settled.map(drop))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }
}

impl<P> fmt::Debug for WriteSink<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteSink")
            .field("is_waiting", &self.waiting.is_some())
            .field("last", &self.ticket)
            .finish_non_exhaustive()
    }
}
