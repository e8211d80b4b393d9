//! The consumer's side of the queue: takes batches out of it and hands them to the kernel.

use std::sync::Arc;
use std::time::Duration;

use fz_file::{FileError, SlotFile};
use fz_mpsc::Receiver;

use crate::calls::WriteBack;
use crate::stats::Counters;
use crate::{WritePipeConfig, WriteRequest, batch, by_slot, flood};

/// Everything that needs the writer's lock. One batch at a time; readers of the file only between
/// two.
#[derive(Debug)]
pub(crate) struct Writer {
    receiver: Receiver<WriteRequest>,
    /// `None` once the pipe is closed.
    file: Option<Arc<SlotFile>>,
    /// The batch; empty between two.
    requests: Vec<WriteRequest>,
    scratch: batch::Scratch,
    /// A batch is under way, or one failed or panicked: nothing may be written after that, not even
    /// before the pipe is declared failed.
    is_broken: bool,
    /// The highest epoch handed to the kernel. Kept, not counted from the queue: what a batch that
    /// failed took out of the queue is not written, and somebody else may ask before the failure
    /// is declared.
    written: u64,
    /// For the mutant `older_batch_after_newer`: what the last batch wrote.
    #[cfg(fz_mutants)]
    older: Vec<(u64, Vec<u8>)>,
}

/// Of how many writes a large batch is written at a time, if they lie together: the device begins with the first while
/// the next ones are sorted, and what is sorted is still in a cache when it is copied.
const PIECE_WRITES: u64 = 131_072;

/// What a batch has room for.
struct Room {
    writes: u64,
    bytes: usize,
}

impl Room {
    fn of(config: &WritePipeConfig) -> Self {
        Self { writes: u64::try_from(config.batch_writes_max).unwrap_or(u64::MAX), bytes: config.batch_bytes_max }
    }
}

/// A batch that could not be written.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The lowest epoch of the batch.
    pub(crate) first: u64,
    /// The highest.
    pub(crate) last: u64,
    pub(crate) source: FileError,
}

impl Writer {
    pub(crate) fn new(receiver: Receiver<WriteRequest>, file: Arc<SlotFile>) -> Self {
        Self {
            receiver,
            file: Some(file),
            requests: Vec::new(),
            scratch: batch::Scratch::default(),
            is_broken: false,
            written: 0,
            #[cfg(fz_mutants)]
            older: Vec::new(),
        }
    }

    /// The highest epoch handed to the kernel.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// True if nothing is queued; then the next write calls.
    pub(crate) fn announce_sleep(&mut self) -> bool {
        self.receiver.announce_sleep()
    }

    /// Whether what is queued is enough for a flood, and scattered: after what time to look again.
    pub(crate) fn looks_again_after(&mut self) -> Option<Duration> {
        let slots = self.file.as_ref().map_or(0, |file| file.slots());
        let after = flood::looks_again_after(self.receiver.last_position() - self.written, slots)?;
        let newest = self.receiver.len().saturating_sub(flood::SAMPLE);
        (self.are_scattered(0) && self.are_scattered(newest)).then_some(after)
    }

    /// Whether the writes lie apart that are queued behind so many others.
    fn are_scattered(&mut self, first: usize) -> bool {
        // What is being pushed in this moment is left out.
        let writes = (first..first + flood::SAMPLE).filter_map(|ahead| self.receiver.peek(ahead).map(batch::slots));
        flood::are_scattered(writes.collect())
    }

    /// Writes one batch of what was accepted up to `through`. True if its limits left some of it.
    pub(crate) fn write_batch(
        &mut self,
        through: u64,
        config: &WritePipeConfig,
        counters: &Counters,
    ) -> Result<bool, Failed> {
        let Some(file) = self.file.clone() else { return Ok(false) };
        if self.is_broken {
            return Ok(false);
        }
        // What was accepted by now and finds no place in the batch is as old as the batch.
        let accepted = self.receiver.last_position().min(through);
        if self.written == accepted {
            return Ok(false);
        }
        let mut room = Room::of(config);
        let mut back = WriteBack::new(&file, config.write_back_bytes_asked());
        while self.written < accepted && room.writes > 0 && room.bytes > 0 {
            let piece = self.piece(accepted - self.written).min(room.writes);
            self.fill(self.written + piece, &mut room);
            self.write_piece(&file, &mut back, counters)?;
        }
        counters.batches.add(1);
        Ok(self.written < accepted)
    }

    /// How many of so many queued writes are written together.
    fn piece(&mut self, queued: u64) -> u64 {
        if queued > PIECE_WRITES && !self.are_scattered(0) {
            PIECE_WRITES
        } else {
            queued.min(u64::from(by_slot::WRITES_MAX))
        }
    }

    /// Moves what comes next from the queue to `requests`, up to `last` and for as long as there is room.
    fn fill(&mut self, last: u64, room: &mut Room) {
        debug_assert!(self.requests.is_empty(), "a piece is under way");
        // What is over the limits stays in the queue, whose capacity so bounds all that is not written.
        self.receiver.drain_until(last, &mut self.requests, |request| {
            room.writes -= 1;
            room.bytes = room.bytes.saturating_sub(request.allocation.len());
            room.bytes == 0
        });
    }

    /// Writes `requests`, the next ones of the queue.
    fn write_piece(&mut self, file: &SlotFile, back: &mut WriteBack, counters: &Counters) -> Result<(), Failed> {
        let (first, last) = (self.written + 1, self.receiver.next_position() - 1);
        self.is_broken = true;
        #[cfg(fz_mutants)]
        let newer = self.copy_of_batch();
        let written = batch::write(&mut self.requests, file, back, &mut self.scratch).map_err(|source| Failed {
            first,
            last,
            source,
        })?;
        #[cfg(fz_mutants)]
        for (slot_index, bytes) in std::mem::replace(&mut self.older, newer) {
            let _ = file.write(slot_index, &bytes);
        }
        self.is_broken = false;
        self.written = last;
        // Whatever is left there was left by a mutant.
        self.requests.clear();
        counters.writes.add(last + 1 - first);
        counters.bytes.add(written.slots * u64::try_from(file.slot_size()).unwrap_or(0));
        counters.ranges.add(written.ranges);
        counters.superseded_slots.add(written.superseded_slots);
        Ok(())
    }

    /// Gives the memory of everything queued back. Once the queue is closed.
    pub(crate) fn discard(&mut self) {
        debug_assert!(self.receiver.is_closed(), "more could come");
        self.is_broken = true;
        let last = self.receiver.last_position();
        self.requests.clear();
        self.receiver.drain_through(last, &mut self.requests);
        self.requests.clear();
    }

    /// For the mutant `clear_error_on_success`.
    #[cfg(fz_mutants)]
    pub(crate) fn forget_failure(&mut self) {
        self.requests.clear();
        self.is_broken = false;
    }

    /// Lets the file go.
    pub(crate) fn let_go(&mut self) {
        self.file = None;
    }

    #[cfg(fz_mutants)]
    fn copy_of_batch(&self) -> Vec<(u64, Vec<u8>)> {
        if !fz_error::mutants::active("older_batch_after_newer") {
            return Vec::new();
        }
        let copy = |request: &WriteRequest| (request.slot_index, request.allocation.as_slice().to_vec());
        self.requests.iter().map(copy).collect()
    }
}
