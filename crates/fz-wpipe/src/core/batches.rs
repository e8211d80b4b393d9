//! Who writes a batch, piece by piece.
//!
//! Each piece is taken out of the queue and sorted with the intake's lock, and written with the writer's, which whoever
//! has the intake's waits for before it gives that one back: so pieces are written in the order in which they were
//! taken, and while one thread writes one, another one can take the next. If there is much, that is: else whoever is
//! next first waits for its turn.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fz_file::FileErrorKind;

use super::Core;
use crate::intake::{Intake, Room};
use crate::sync::{MutexGuard, Ordering, RwLockWriteGuard, lock, read, write};
use crate::writer::{Failed, Writer};
use crate::{PipeError, PipeErrorKind, Result};

/// What comes after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A sync that covers it.
    Sync,
    /// Other batches, and then a sync.
    Others,
}

impl Core {
    /// While another thread leads and a quarter of the queue has filled, hands a batch of it to the
    /// kernel, so that sorting and copying it happen beside what the leader does: it writes pieces too, or syncs. The
    /// next round syncs it.
    pub(super) fn write_ahead(&self) {
        if !self.completion.lead.is_free() && self.sender.len() as u64 >= self.config.queue_quarter() {
            // An error stops the pipe, and the caller's ticket tells it.
            let _ = self.guarded("write", || self.write_batch(u64::MAX, Next::Others));
        }
    }

    /// Writes one batch of what is queued up to `through`, or waits until others have written what they have taken of
    /// it. Returns the highest epoch that the kernel has, and whether the batch's limits left some of it.
    ///
    /// If it fails or panics, the durable epoch stops for good before the writer's lock is given back:
    /// who finds a piece refused finds the reason.
    pub(super) fn write_batch(&self, through: u64, next: Next) -> Result<(u64, bool)> {
        let mut room = Room::of(&self.config);
        let (mut accepted, mut wrote) = (None, false);
        loop {
            let mut intake = lock(&self.intake);
            let turn = (!intake.has_much(through)).then(|| write(&self.writer));
            // What was accepted by now and finds no place in the batch is as old as the batch.
            let accepted = *accepted.get_or_insert(intake.accepted().min(through));
            let taken = catch_unwind(AssertUnwindSafe(|| intake.take(accepted, &mut room)));
            let last = intake.taken();
            let mut writer = self.hand_on(intake, turn);
            let written = taken.and_then(|is_all| {
                let write = || writer.write_piece(last, &self.counters).map(|was_written| (is_all, was_written));
                catch_unwind(AssertUnwindSafe(write))
            });
            let (is_all, was_written) = match written {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(failed)) => {
                    let error = self.failed_batch(failed);
                    self.completion.freeze(error.clone());
                    writer.stop();
                    return Err(error);
                }
                Err(panic) => {
                    self.completion.freeze(self.panicked("write", &*panic));
                    writer.stop();
                    resume_unwind(panic);
                }
            };
            // Release: pairs with the Acquire in `written`. Under the lock, or it could go back.
            self.written.store(writer.written(), Ordering::Release);
            wrote |= was_written;
            if is_all {
                if next == Next::Sync {
                    writer.begin_sync();
                }
                self.counters.batches.add(u64::from(wrote));
                return Ok((writer.written(), last < accepted));
            }
        }
    }

    /// Hands what was taken to the writer, when it comes to be its turn, if that has not come.
    fn hand_on<'a>(
        &'a self,
        mut intake: MutexGuard<'a, Intake>,
        turn: Option<RwLockWriteGuard<'a, Writer>>,
    ) -> RwLockWriteGuard<'a, Writer> {
        #[cfg(fz_mutants)]
        if turn.is_none() && fz_error::mutants::active("pieces_overtake") {
            let piece = mem::take(&mut intake.piece);
            let is_late = !piece.requests.is_empty() && intake.taken().is_multiple_of(4);
            drop(intake);
            if is_late {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let mut writer = write(&self.writer);
            writer.piece = piece;
            return writer;
        }
        // With the intake's lock: what comes after this may not be written before it.
        let mut writer = turn.unwrap_or_else(|| write(&self.writer));
        mem::swap(&mut intake.piece, &mut writer.piece);
        writer
    }

    /// While nobody has taken anything and not written it.
    pub(crate) fn at_rest(&self) -> (MutexGuard<'_, Intake>, RwLockWriteGuard<'_, Writer>) {
        // One after the other, in this order.
        let intake = lock(&self.intake);
        let writer = write(&self.writer);
        (intake, writer)
    }

    fn failed_batch(&self, Failed { first, last, source }: Failed) -> PipeError {
        let durable = self.completion.durable();
        let kind = match source.kind() {
            // The device could not be told to begin with what is written and not synced.
            FileErrorKind::SyncFailed { failed_in: "sync_range", .. } => {
                PipeErrorKind::WriteFailed { first: durable + 1, last }
            }
            // A sync failed before, so the file refused the write.
            FileErrorKind::SyncFailed { .. } => PipeErrorKind::SyncFailed { written: first - 1, durable },
            _ => PipeErrorKind::WriteFailed { first, last },
        };
        self.error("write", kind).with_source(source)
    }

    /// Hands everything up to `accepted` to the kernel.
    pub(crate) fn write_through(&self, accepted: u64) -> Result<()> {
        self.assert_outside("read");
        while self.written() < accepted {
            if let Some(error) = self.completion.failure() {
                return Err(error.clone());
            }
            // A failure stops the pipe, and then the next turn of the loop finds it.
            let _ = self.guarded("read", || self.write_batch(accepted, Next::Others));
        }
        Ok(())
    }

    /// Runs `body` while no write is under way.
    pub(crate) fn between_writes<R>(&self, body: impl FnOnce() -> R) -> R {
        let _writer = read(&self.writer);
        body()
    }

    /// The highest epoch handed to the kernel.
    pub(crate) fn written(&self) -> u64 {
        // Acquire: pairs with the Release in `write_batch`.
        self.written.load(Ordering::Acquire)
    }
}
