//! One thread of the workload: it submits, waits, reads and grows, and checks each answer at once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use fz_file::FileErrorKind;
use fz_wpipe::{PipeErrorKind, RejectedWrite, WriteRequest, WriteTicket};

use crate::campaign::tally::{Counts, count};
use crate::disk::phase::{Phase, during};
use crate::oracle::content::{WriteId, matches};
use crate::oracle::ledger::Accepted;
use crate::oracle::readback::ReadBack;
use crate::workload::session::Session;

/// How a write is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    Blocking,
    Trying,
    /// As a future, run to its end.
    Async,
    /// As a future, polled once and dropped.
    Cancelled,
}

/// One thread of the workload: counts of its calls, and the tickets that it kept.
#[derive(Debug)]
pub(crate) struct Driver<'s, 'a> {
    pub(crate) session: &'s Session<'a>,
    writer: usize,
    sequence: u64,
    pub(crate) kept: Vec<WriteTicket>,
    pub(crate) tickets: Counts,
    pub(crate) writes: Counts,
    pub(crate) reads: Counts,
}

impl<'s, 'a> Driver<'s, 'a> {
    pub(crate) fn new(session: &'s Session<'a>, writer: usize) -> Self {
        Self {
            session,
            writer,
            sequence: 0,
            kept: Vec::new(),
            tickets: Counts::new(),
            writes: Counts::new(),
            reads: Counts::new(),
        }
    }

    /// Memory for `slots` slots if the pool has it now.
    pub(crate) fn try_allocate(&self, slots: usize) -> Result<Option<Allocation>, String> {
        match self.session.pool.try_allocate(slots) {
            Ok(allocation) => Ok(Some(allocation)),
            Err(error)
                if matches!(
                    error.kind(),
                    BufPoolErrorKind::Exhausted { .. } | BufPoolErrorKind::RequestsWaiting { .. }
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(format!("F: the pool refuses for no reason: {error:?}")),
        }
    }

    /// Fills `allocation` and submits it.
    pub(crate) fn submit(
        &mut self,
        mut allocation: Allocation,
        slot: u64,
        how: Submission,
    ) -> Result<Option<WriteTicket>, String> {
        let session = self.session;
        let failed = session.has_failed();
        let slots = allocation.count() as u64;
        let id = session.ledger.prepare(&mut allocation, slot);
        let request = WriteRequest { allocation, slot_index: slot };
        let outcome = match how {
            Submission::Blocking => session.pipe.write(request),
            Submission::Trying => session.pipe.try_write(request),
            Submission::Async => pollster::block_on(session.pipe.write_async(request)),
            Submission::Cancelled => {
                match pin!(session.pipe.write_async(request)).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => {
                        count(&mut self.writes, "cancelled");
                        return Ok(None);
                    }
                }
            }
        };
        match outcome {
            Ok(ticket) => {
                self.sequence += 1;
                let (writer, sequence) = (self.writer, self.sequence);
                session.ledger.accept(Accepted { epoch: ticket.epoch(), id, slot, count: slots, writer, sequence });
                count(&mut self.writes, "accepted");
                if failed {
                    return Err(format!("C: the pipe has stopped, and accepted epoch {} later", ticket.epoch()));
                }
                Ok(Some(ticket))
            }
            Err(rejected) => self.rejected(&rejected, id, slot, slots, how).map(|()| None),
        }
    }

    /// Checks that a refused write is returned whole, and for a good reason.
    fn rejected(
        &mut self,
        rejected: &RejectedWrite,
        id: WriteId,
        slot: u64,
        slots: u64,
        how: Submission,
    ) -> Result<(), String> {
        let WriteRequest { allocation, slot_index } = &rejected.request;
        let intact = *slot_index == slot
            && allocation.count() as u64 == slots
            && (slot..).zip(allocation.buffers()).all(|(slot, buffer)| matches(buffer, id, slot, 0));
        if !intact {
            return Err(format!("C: a refused write came back changed: {rejected:?}"));
        }
        let reason = match rejected.error.kind() {
            PipeErrorKind::QueueFull { .. } if how == Submission::Trying => "refused: queue full",
            PipeErrorKind::Closed if self.session.watch.is_closing() => "refused: closed",
            PipeErrorKind::OutOfRange { .. } if slot.saturating_add(slots) > self.session.file.slots() => {
                "refused: out of range"
            }
            kind if kind.is_poison() => {
                self.session.stopped(&rejected.error)?;
                "refused: stopped"
            }
            kind => return Err(format!("G: a write of {slots} slots at {slot} is refused with {kind:?}")),
        };
        count(&mut self.writes, reason);
        Ok(())
    }

    /// Requests that must be refused, whatever the pipe does: promise G.
    pub(crate) fn submit_nonsense(&mut self, slot: u64) -> Result<(), String> {
        let session = self.session;
        let refused = |outcome: Result<WriteTicket, RejectedWrite>| match outcome {
            Ok(ticket) => Err(format!("G: nonsense at slot {slot} was accepted as epoch {}", ticket.epoch())),
            Err(rejected) => Ok(rejected.error),
        };
        if let Some(mut allocation) = self.try_allocate(1)? {
            let slot_index = session.slots_max.saturating_add(slot);
            allocation.as_mut_slice().fill(0xEE);
            let error = refused(session.pipe.write(WriteRequest { allocation, slot_index }))?;
            if !matches!(error.kind(), PipeErrorKind::OutOfRange { .. }) {
                return Err(format!("G: a write past the end is refused with {error:?}"));
            }
            count(&mut self.writes, "refused: out of range");
        }
        let other = if session.scenario.buffer_size == BufferSize::S16 { BufferSize::S8 } else { BufferSize::S16 };
        let foreign = BufPool::new(BufPoolConfig::new(other, other.bytes()));
        let allocation = foreign.and_then(|pool| pool.try_allocate(1)).map_err(|error| format!("F: {error:?}"))?;
        let error = refused(session.pipe.write(WriteRequest { allocation, slot_index: slot }))?;
        if !matches!(error.kind(), PipeErrorKind::BufferSizeMismatch { .. }) {
            return Err(format!("G: a buffer of another size is refused with {error:?}"));
        }
        count(&mut self.writes, "refused: buffer size");
        Ok(())
    }

    /// A ticket resolved: promises A and C for its bearer.
    pub(crate) fn settled(
        &mut self,
        fate: &'static str,
        epoch: u64,
        outcome: &fz_wpipe::Result<u64>,
    ) -> Result<(), String> {
        count(&mut self.tickets, fate);
        match outcome {
            Ok(durable) if *durable < epoch => {
                Err(format!("A: the ticket of epoch {epoch} resolved, but only up to {durable}"))
            }
            Ok(durable) => {
                self.session.watch.promise(*durable);
                self.session.watch.look(Phase::Acknowledged);
                Ok(())
            }
            Err(error) => {
                count(&mut self.tickets, "resolved to an error");
                self.session.stopped(error)
            }
        }
    }

    /// Blocks on a ticket.
    pub(crate) fn wait(&mut self, fate: &'static str, ticket: &WriteTicket) -> Result<(), String> {
        self.settled(fate, ticket.epoch(), &ticket.wait())
    }

    pub(crate) fn wait_timeout(&mut self, ticket: &WriteTicket, timeout: Duration) -> Result<(), String> {
        match ticket.wait_timeout(timeout) {
            Err(error) if matches!(error.kind(), PipeErrorKind::TimedOut { .. }) => {
                count(&mut self.tickets, "timed out");
                Ok(())
            }
            outcome => self.settled("waited with a limit", ticket.epoch(), &outcome),
        }
    }

    pub(crate) fn poll_once(&mut self, ticket: &mut WriteTicket) -> Result<(), String> {
        let epoch = ticket.epoch();
        match std::pin::Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.settled("polled once, ready", epoch, &outcome),
            Poll::Pending => {
                count(&mut self.tickets, "polled once, pending");
                Ok(())
            }
        }
    }

    pub(crate) fn drop_ticket(&mut self, ticket: WriteTicket) {
        count(&mut self.tickets, "dropped");
        drop(ticket);
    }

    /// Reads through the pipe: promise K, checked when the generation is over.
    pub(crate) fn read(&mut self, slot: u64, slots: usize) -> Result<(), String> {
        let session = self.session;
        let floor = session.pipe.sync().epoch();
        let mut bytes = vec![0; slots * session.scenario.slot_size()];
        match session.pipe.read(slot, &mut bytes) {
            Ok(()) => {
                count(&mut self.reads, "read");
                let is_before_failures = !session.excuses.may_have_failed();
                session.read_back(ReadBack { slot, bytes, floor, is_before_failures });
                Ok(())
            }
            Err(error) if matches!(error.kind(), PipeErrorKind::ReadFailed { .. }) => {
                if !session.excuses.excuse(error.io_error()) {
                    return Err(format!("K: nothing failed but the read: {error:?}"));
                }
                count(&mut self.reads, "failed");
                Ok(())
            }
            Err(error) => {
                count(&mut self.reads, "refused: stopped");
                session.stopped(&error)
            }
        }
    }

    /// Adds slots: promise J.
    pub(crate) fn grow(&mut self, slots: u64) -> Result<(), String> {
        let session = self.session;
        let before = session.file.slots();
        match during(Phase::Growing, || session.file.grow(slots)) {
            Ok(now) => {
                count(&mut self.writes, "grown");
                if now < before + slots {
                    return Err(format!("J: {before} slots and {slots} more made {now}"));
                }
                session.watch.opened(now);
                session.watch.look(Phase::Growing);
            }
            Err(error) if !session.excuses.excuse(error.io_error()) => {
                return Err(format!("J: nothing failed but to grow by {slots} slots: {error:?}"));
            }
            Err(error) => {
                count(&mut self.writes, "growth failed");
                if matches!(error.kind(), FileErrorKind::SyncFailed { .. }) {
                    session.file_failed();
                }
            }
        }
        if session.file.slots() < before { Err(format!("J: the file shrank from {before} slots")) } else { Ok(()) }
    }
}
