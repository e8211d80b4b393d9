//! The consumer's side of the queue: takes batches out of it and hands them to the kernel.

use std::sync::Arc;
use std::time::Duration;

use fz_file::{FileError, SlotFile};
use fz_mpsc::Receiver;

use crate::stats::Counters;
use crate::{WritePipeConfig, WriteRequest, batch, flood};

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
        // What is being pushed in this moment is left out.
        let mut are_scattered = |first| {
            let writes = (first..first + flood::SAMPLE).filter_map(|ahead| self.receiver.peek(ahead).map(batch::slots));
            flood::are_scattered(writes.collect())
        };
        (are_scattered(0) && are_scattered(newest)).then_some(after)
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
        let first = self.written() + 1;
        // What was accepted by now and finds no place in the batch is as old as the batch.
        let accepted = self.receiver.last_position().min(through);
        let bytes = self.fill_batch(accepted, config);
        if self.requests.is_empty() {
            return Ok(false);
        }
        let writes = u64::try_from(self.requests.len()).unwrap_or(u64::MAX);
        self.is_broken = true;
        #[cfg(fz_mutants)]
        let newer = self.copy_of_batch();
        let written = batch::write(&mut self.requests, &file, config.write_back_bytes_asked(), &mut self.scratch)
            .map_err(|source| Failed { first, last: first + writes - 1, source })?;
        #[cfg(fz_mutants)]
        for (slot_index, bytes) in std::mem::replace(&mut self.older, newer) {
            let _ = file.write(slot_index, &bytes);
        }
        self.is_broken = false;
        self.written = self.receiver.next_position() - 1;
        // Whatever is left there was left by a mutant.
        self.requests.clear();
        counters.batches.add(1);
        counters.writes.add(writes);
        counters.bytes.add(bytes - written.superseded_slots * u64::try_from(file.slot_size()).unwrap_or(0));
        counters.ranges.add(written.ranges);
        counters.superseded_slots.add(written.superseded_slots);
        Ok(self.written < accepted)
    }

    /// Moves the next batch from the queue to `requests`. Returns its bytes.
    fn fill_batch(&mut self, through: u64, config: &WritePipeConfig) -> u64 {
        debug_assert!(self.requests.is_empty(), "a batch is under way");
        let writes_max = u64::try_from(config.batch_writes_max).unwrap_or(u64::MAX);
        let last = self.receiver.next_position().saturating_add(writes_max - 1);
        let mut bytes = 0;
        // What is over the limits stays in the queue, whose capacity so bounds all that is not written.
        self.receiver.drain_until(last.min(through), &mut self.requests, |request| {
            bytes += request.allocation.len();
            bytes >= config.batch_bytes_max
        });
        u64::try_from(bytes).unwrap_or(u64::MAX)
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
