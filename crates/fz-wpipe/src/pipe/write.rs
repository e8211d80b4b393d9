//! The producers' side of the pipe: what happens before a write is in the queue.

use std::time::Duration;

use fz_bufpool::{Allocation, PoolLine};
use fz_mpsc::PushError;

use crate::{PipeError, PipeErrorKind, RejectedWrite, Result, WritePipe, WriteRequest, WriteTicket};

impl WritePipe {
    /// Accepts a write: from now on it has a place in the pipe's order, and becomes durable.
    ///
    /// Never waits for the disk while the queue has room: then it costs some tens of nanoseconds,
    /// takes no lock, makes no system call and allocates nothing. Exceptions, none of which waits:
    /// the first write after a pause sets a timer, each that fills another quarter of the queue
    /// calls the flusher thread, and the first from a pool (of many, also a later one) takes that
    /// pool's lock. While the queue is full it blocks; in async code call [`write_async`](Self::write_async) or
    /// [`try_write`](Self::try_write).
    ///
    /// # Errors
    ///
    /// With the request given back: [`PipeErrorKind::OutOfRange`],
    /// [`PipeErrorKind::BufferSizeMismatch`], [`PipeErrorKind::Closed`], or the error that stopped
    /// the pipe.
    ///
    /// # Panics
    ///
    /// While the queue is full, where this pipe's own batch calls foreign code: see
    /// [`close`](Self::close). The request is lost to the panic.
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
    #[expect(clippy::inline_always, reason = "see `submit`")]
    #[inline(always)]
    pub fn write(&self, request: WriteRequest) -> Result<WriteTicket, RejectedWrite> {
        self.submit(request, |refusal| self.push_later(refusal, None))
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
    #[expect(clippy::inline_always, reason = "see `submit`")]
    #[inline(always)]
    pub fn try_write(&self, request: WriteRequest) -> Result<WriteTicket, RejectedWrite> {
        self.submit(request, |refusal| Err(self.refused(refusal)))
    }

    /// As [`write`](Self::write), but waits for room in a full queue no longer than `timeout`. Not
    /// for async code.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::QueueFull`] when the time is over; else as [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let request = WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 };
    /// match pipe.write_timeout(request, Duration::from_secs(1)) {
    ///     Ok(ticket) => assert_eq!(ticket.epoch(), 1),
    ///     Err(rejected) if matches!(rejected.error.kind(), PipeErrorKind::QueueFull { .. }) => {
    ///         println!("the disk is slow; slot {} was not written", rejected.request.slot_index);
    ///     }
    ///     Err(rejected) => return Err(rejected.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_timeout(&self, request: WriteRequest, timeout: Duration) -> Result<WriteTicket, RejectedWrite> {
        self.submit(request, |refusal| self.push_later(refusal, Some(timeout)))
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
        let request =
            if self.fits(&request) { request } else { self.check_again(request.allocation, request.slot_index)? };
        let line = request.allocation.line();
        let refusal = match self.slots().sender.try_push(request) {
            Ok(epoch) => return Ok(self.accepted(epoch, line)),
            Err(refusal) => refusal,
        };
        // The future of a push is made only where there is something to wait for.
        let pushed = match refusal {
            PushError::Full(request) => {
                self.call_for_room();
                Box::pin(self.slots().sender.push_async(request)).await
            }
            refusal => Err(refusal),
        };
        self.decided(pushed, line)
    }

    /// A write; what a refused push leads to, `refused` says.
    ///
    /// Inlined, with all that it calls, from the caller's allocation to the queue's cell and the ticket. So the few
    /// words of a request and of a ticket stay in registers; in memory they would be written one by
    /// one and at once loaded in pairs, which waits until the writes are through. All that is rare is a call.
    #[expect(clippy::inline_always, reason = "see above")]
    #[inline(always)]
    fn submit(
        &self,
        request: WriteRequest,
        refused: impl FnOnce(PushError<WriteRequest>) -> Result<u64, RejectedWrite>,
    ) -> Result<WriteTicket, RejectedWrite> {
        let request =
            if self.fits(&request) { request } else { self.check_again(request.allocation, request.slot_index)? };
        let line = request.allocation.line();
        let epoch = match self.slots().sender.try_push(request) {
            Ok(epoch) => epoch,
            Err(refusal) => refused(refusal)?,
        };
        Ok(self.accepted(epoch, line))
    }

    /// After a push that was refused: waits for room if that was missing, for up to `timeout` if there is one.
    #[cold]
    fn push_later(&self, refusal: PushError<WriteRequest>, timeout: Option<Duration>) -> Result<u64, RejectedWrite> {
        let pushed = match refusal {
            PushError::Full(request) => {
                self.committer.assert_outside("waited for room in");
                self.call_for_room();
                match timeout {
                    None => self.slots().sender.push(request),
                    Some(timeout) => self.slots().sender.push_timeout(request, timeout),
                }
            }
            refusal => Err(refusal),
        };
        pushed.map_err(|refusal| self.refused(refusal))
    }

    /// The queue is full: a batch makes room.
    pub(crate) fn call_for_room(&self) {
        self.committer.demand();
    }

    pub(crate) fn check_range(&self, slot_index: u64, count: u64) -> Result<(), PipeErrorKind> {
        let slots = self.file.slots();
        if is_inside(slot_index, count, slots) {
            Ok(())
        } else {
            Err(PipeErrorKind::OutOfRange { slot_index, count, slots })
        }
    }

    /// Whether the file has its slots, and they are as large as its buffers.
    #[expect(clippy::inline_always, reason = "see `submit`")]
    #[inline(always)]
    fn fits(&self, request: &WriteRequest) -> bool {
        let is_sized = request.allocation.buffer_size().bytes() == self.file.slot_size();
        is_sized && is_inside(request.slot_index, slots_of(request), self.file.slots())
    }

    pub(crate) fn check(&self, request: WriteRequest) -> Result<WriteRequest, RejectedWrite> {
        if self.fits(&request) { Ok(request) } else { self.check_again(request.allocation, request.slot_index) }
    }

    /// What is wrong with a request; nothing any more, if the file has grown meanwhile.
    #[cold]
    fn check_again(&self, allocation: Allocation, slot_index: u64) -> Result<WriteRequest, RejectedWrite> {
        let request = WriteRequest { allocation, slot_index };
        let buffer_size = request.allocation.buffer_size().bytes();
        let slot_size = self.file.slot_size();
        let checked = if buffer_size == slot_size {
            self.check_range(request.slot_index, slots_of(&request))
        } else {
            Err(PipeErrorKind::BufferSizeMismatch { buffer_size, slot_size })
        };
        match checked {
            Ok(()) => Ok(request),
            Err(kind) => Err(self.reject(request, kind)),
        }
    }

    #[cold]
    fn reject(&self, request: WriteRequest, kind: PipeErrorKind) -> RejectedWrite {
        RejectedWrite { request, error: PipeError::new(self.slots().module_id(), "write", kind) }
    }

    pub(crate) fn decided(
        &self,
        outcome: Result<u64, PushError<WriteRequest>>,
        line: PoolLine,
    ) -> Result<WriteTicket, RejectedWrite> {
        outcome.map(|epoch| self.accepted(epoch, line)).map_err(|refusal| self.refused(refusal))
    }

    #[expect(clippy::inline_always, reason = "see `submit`")]
    #[inline(always)]
    fn accepted(&self, epoch: u64, line: PoolLine) -> WriteTicket {
        if !self.pools.contain(line.id()) {
            self.register(line);
        }
        // Either a request that comes to wait for this memory calls us, or it waits already
        // and is seen here: the push was a read-modify-write. Were it not seen, as the C++
        // model allows and no processor does, the memory would come back after the interval.
        if epoch & (self.call_every - 1) == 0 || line.is_waiting() {
            self.committer.demand();
        }
        self.ticket_of(epoch)
    }

    /// From now on a caller that has to wait for that pool's memory rings the flusher thread, if the pipe holds some of
    /// it.
    #[cold]
    fn register(&self, line: PoolLine) {
        line.add_alarm(&self.memory_alarm);
        self.pools.insert(line.id());
    }

    #[cold]
    fn refused(&self, refusal: PushError<WriteRequest>) -> RejectedWrite {
        match refusal {
            PushError::Closed(request) => match self.reason() {
                Some(error) => RejectedWrite { request, error },
                None => self.reject(request, PipeErrorKind::Closed),
            },
            refusal => {
                self.call_for_room();
                let capacity = self.slots().sender.capacity();
                self.reject(refusal.into_value(), PipeErrorKind::QueueFull { capacity })
            }
        }
    }
}

/// Whether `count` slots from `slot_index` on are below `slots`.
#[inline]
fn is_inside(slot_index: u64, count: u64, slots: u64) -> bool {
    // Since there is at least one slot then, nothing below this can overflow.
    slots.checked_sub(count).is_some_and(|last| slot_index <= last) || fz_error::mutants::active("accept_out_of_range")
}

#[inline]
fn slots_of(request: &WriteRequest) -> u64 {
    u64::try_from(request.allocation.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::sync::Arc;

    use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    use fz_file::{SlotFile, SlotFileConfig};

    use super::*;
    use crate::WritePipeConfig;

    /// As if the file had grown between the two looks.
    #[test]
    fn g_a_request_that_fits_at_the_second_look_is_not_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 64).initial_slots(2)).unwrap();
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64)).unwrap();
        let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file)).unwrap();
        let request = pipe.check_again(pool.allocate(1).unwrap(), 1).unwrap();
        let rejected = pipe.check_again(request.allocation, 2).unwrap_err();
        assert!(matches!(rejected.error.kind(), PipeErrorKind::OutOfRange { slot_index: 2, count: 1, slots: 2 }));
    }
}
