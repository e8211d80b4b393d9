//! The consumer's side of the queue: takes pieces out of it, in order, and orders each by slot.

use std::sync::Arc;
use std::time::Duration;

use fz_file::SlotFile;
use fz_mpsc::Receiver;

use crate::by_slot::{BySlot, WRITES_MAX};
use crate::piece::{self, Piece};
use crate::{WritePipeConfig, WriteRequest, flood};

/// What a batch has room for.
#[derive(Debug)]
pub(crate) struct Room {
    writes: u64,
    bytes: usize,
}

impl Room {
    pub(crate) fn of(config: &WritePipeConfig) -> Self {
        Self { writes: u64::try_from(config.batch_writes_max).unwrap_or(u64::MAX), bytes: config.batch_bytes_max }
    }

    fn is_empty(&self) -> bool {
        self.writes == 0 || self.bytes == 0
    }
}

/// Everything that needs the intake's lock.
#[derive(Debug)]
pub(crate) struct Intake {
    receiver: Receiver<WriteRequest>,
    /// To ask it for its size. `None` once the pipe is closed.
    file: Option<Arc<SlotFile>>,
    by_slot: BySlot,
    /// Of how many writes a large batch is written at a time, if they lie together: the device begins with the first
    /// while the next ones are sorted, and what is sorted is still in a cache when it is copied.
    piece_writes: u64,
    /// What was taken and not handed on. Empty but for a moment.
    pub(crate) piece: Piece,
}

impl Intake {
    pub(crate) fn new(receiver: Receiver<WriteRequest>, file: Arc<SlotFile>, config: &WritePipeConfig) -> Self {
        let piece_writes = u64::try_from(config.piece_writes).unwrap_or(u64::MAX).max(1);
        Self { receiver, file: Some(file), by_slot: BySlot::default(), piece_writes, piece: Piece::default() }
    }

    /// Whether so much is queued up to an epoch that it is worth while to sort a piece of it while another one is
    /// written. Less is better left to grow; and who waits for room has none before it can be written.
    pub(crate) fn has_much(&self, through: u64) -> bool {
        self.queued(through) >= self.piece_writes.div_ceil(2)
    }

    /// True if nothing is queued; then the next write calls.
    pub(crate) fn announce_sleep(&mut self) -> bool {
        self.receiver.announce_sleep().unwrap_or(false)
    }

    /// The highest epoch that was accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.receiver.last_position()
    }

    /// Whether what is queued is enough for a flood, and scattered: after what time to look again.
    pub(crate) fn looks_again_after(&mut self) -> Option<Duration> {
        let slots = self.file.as_ref().map_or(0, |file| file.slots());
        let after = flood::looks_again_after(self.queued(self.accepted()), slots)?;
        let newest = self.receiver.len().saturating_sub(flood::SAMPLE);
        (self.are_scattered(0) && self.are_scattered(newest)).then_some(after)
    }

    /// How much is queued up to an epoch.
    fn queued(&self, through: u64) -> u64 {
        (through.min(self.accepted()) + 1).saturating_sub(self.receiver.next_position())
    }

    /// Whether the writes lie apart that are queued behind so many others.
    fn are_scattered(&mut self, first: usize) -> bool {
        // What is being pushed in this moment is left out.
        let writes = (first..first + flood::SAMPLE).filter_map(|ahead| self.receiver.peek(ahead).map(piece::slots));
        flood::are_scattered(writes.collect())
    }

    /// Takes what comes next, up to the epoch `through`, and for as long as there is room. Says whether this was all,
    /// or all that there is room for.
    pub(crate) fn take(&mut self, through: u64, room: &mut Room) -> bool {
        debug_assert!(self.piece.requests.is_empty(), "it was not handed on");
        let queued = self.queued(through).min(room.writes);
        let piece = self.piece_writes;
        let writes = if queued > piece && !self.are_scattered(0) { piece } else { queued }.min(u64::from(WRITES_MAX));
        // What is over the limits stays in the queue, whose capacity so bounds all that is not written.
        let last = self.receiver.next_position() + writes - 1;
        let _ = self.receiver.wait_ready();
        let taken = self.receiver.drain_until(last, &mut self.piece.requests, |request| {
            room.writes -= 1;
            room.bytes = room.bytes.saturating_sub(request.allocation.len());
            room.bytes == 0
        });
        self.piece.order(&mut self.by_slot);
        // A push that is under way holds up its own write and later ones. They are left for the next batch.
        let is_held_up = (taken as u64) < writes && !room.is_empty();
        is_held_up || self.queued(through) == 0 || room.is_empty()
    }

    /// The highest epoch that was taken.
    pub(crate) fn taken(&self) -> u64 {
        self.receiver.next_position() - 1
    }

    /// Gives the memory of everything queued back. Once the queue is closed.
    pub(crate) fn discard(&mut self) {
        debug_assert!(self.receiver.is_closed(), "more could come");
        let requests = &mut self.piece.requests;
        while self.receiver.wait_ready().unwrap_or(false) {
            self.receiver.drain_through(self.receiver.last_position(), requests);
        }
        requests.clear();
    }

    /// Lets the file go.
    pub(crate) fn let_go(&mut self) {
        self.file = None;
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    use fz_file::SlotFileConfig;
    use fz_mpsc::{QueueConfig, channel};

    use super::*;

    /// How many writes each piece has of a batch of writes to these slots, up to the epoch `through`.
    fn pieces(slots: impl Iterator<Item = u64>, through: u64, config: &WritePipeConfig) -> Vec<usize> {
        let slots: Vec<u64> = slots.collect();
        let directory = tempfile::tempdir().unwrap();
        let config_of_file = SlotFileConfig::new(directory.path().join("x"), 8);
        let file = Arc::new(SlotFile::open(config_of_file.initial_slots(1)).unwrap());
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, slots.len() * 8)).unwrap();
        let (sender, receiver) = channel(QueueConfig::new(slots.len())).unwrap();
        for slot_index in slots {
            sender.try_push(WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index }).unwrap();
        }
        let mut intake = Intake::new(receiver, file, config);
        let mut room = Room::of(config);
        let mut pieces = Vec::new();
        loop {
            let (queued, much) = (intake.queued(through), intake.has_much(through));
            assert_eq!(much, queued >= PIECE as u64 / 2);
            let is_all = intake.take(through, &mut room);
            pieces.push(intake.piece.requests.len());
            intake.piece.requests.clear();
            assert_eq!(intake.taken(), pieces.iter().sum::<usize>() as u64);
            if is_all {
                return pieces;
            }
        }
    }

    const PIECE: usize = 131_072;

    #[test]
    fn what_lies_together_is_taken_in_pieces() {
        let config = WritePipeConfig::new();
        for queued in [1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5] {
            let mut expected = vec![PIECE; queued / PIECE];
            expected.extend((queued % PIECE > 0).then_some(queued % PIECE));
            let queued = queued as u64;
            assert_eq!(pieces(0..queued, queued, &config), expected);
            assert_eq!(pieces((0..queued).map(|i| i % 4), queued, &config), expected, "the same few again and again");
        }
    }

    #[test]
    fn what_is_scattered_is_taken_at_once() {
        let queued = 2 * PIECE as u64 + 5;
        let scattered = (0..queued).map(|number| number * 7919 % queued);
        assert_eq!(pieces(scattered, queued, &WritePipeConfig::new()), [2 * PIECE + 5]);
    }

    #[test]
    fn there_is_no_more_in_all_pieces_than_there_is_room_for() {
        let queued = 2 * PIECE as u64;
        let writes = WritePipeConfig::new().batch_writes_max(PIECE + 3);
        assert_eq!(pieces(0..queued, queued, &writes), [PIECE, 3]);
        let bytes = WritePipeConfig::new().batch_bytes_max((PIECE + 3) * 8 - 1);
        assert_eq!(pieces(0..queued, queued, &bytes), [PIECE, 3], "the write that reaches it is the last");
        let bytes = WritePipeConfig::new().batch_bytes_max(PIECE * 8);
        assert_eq!(pieces(0..queued, queued, &bytes), [PIECE]);
    }

    #[test]
    fn what_was_accepted_later_is_left() {
        assert_eq!(pieces(0..100, 60, &WritePipeConfig::new()), [60]);
        assert_eq!(pieces(0..100, 0, &WritePipeConfig::new()), [0]);
    }
}
