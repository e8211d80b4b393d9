//! From writes in slot order to the fewest system calls: each run of consecutive slots by one vectored write, a long
//! run by several, so that the device begins with the first while the rest is being copied.
//!
//! A write into the page cache is a copy by the processor, and the device does nothing meanwhile
//! unless it is told to: a sync that comes after all of a large batch costs the sum of copy and
//! transfer. So each time that [`write_back_bytes`](crate::WritePipeConfig::write_back_bytes) are
//! behind, the kernel is asked to begin with them ([`SlotFile::sync_range`]). That makes nothing durable
//! and waits for nothing; the sync that ends the batch does what it always did, and finds most of
//! it done. Where less was written since the last sync there is no such call.
//!
//! Both end at multiples of that size in the file: the page cache writes back whole folios, so
//! one that is begun and then written to again would go to the device twice. Only where the next write is far away
//! the device begins with whatever there is, if that is more than a quarter of the size. Writes that lie far
//! apart are left to the sync.
//!
//! Many small slices are joined first: to the kernel each slice of a vectored write is a copy of its own.

use std::io::IoSlice;
use std::ops::Range;

use fz_file::{FileError, SlotFile};

use super::order::{Segment, index, slots};
use crate::WriteRequest;

/// From how many slices a call on, and up to which mean size in bytes, slices are staged.
const STAGED_SLICES_MIN: usize = 32;
const STAGED_SLICE_BYTES_MAX: usize = 512;
/// How much is staged for one call, so that it stays in the processor's cache.
const STAGE_BYTES: usize = 64 << 10;

/// What writing a batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Slots handed to the kernel.
    pub(crate) slots: u64,
    /// Slots that a later write of the batch overwrites, and that were left out.
    pub(crate) superseded_slots: u64,
    /// Ranges of consecutive slots, one write call each, or more if a range is long.
    pub(crate) ranges: u64,
}

/// What was written, and the device was not told to begin with.
#[derive(Debug)]
pub(super) struct WriteBack {
    /// After how many slots it is told; a power of two.
    stretch: u64,
    /// From the first such slot to the end of the last.
    idle: Range<u64>,
    /// How many slots of these were written.
    written: u64,
    /// How many were since the last sync began.
    since_sync: u64,
}

impl WriteBack {
    pub(super) fn new(file: &SlotFile, bytes: usize) -> Self {
        let stretch = (bytes >> slot_bits(file)).max(1);
        Self { stretch: 1 << stretch.ilog2(), idle: 0..0, written: 0, since_sync: 0 }
    }

    /// A sync begins, that writes all of it.
    pub(super) fn begin_sync(&mut self) {
        self.forget();
        self.since_sync = 0;
    }

    fn forget(&mut self) {
        (self.idle, self.written) = (0..0, 0);
    }

    fn add(&mut self, slots: Range<u64>) {
        if self.idle.is_empty() {
            self.idle.start = slots.start;
        }
        self.idle.end = slots.end;
        self.written += slots.end - slots.start;
        self.since_sync += slots.end - slots.start;
    }

    /// Before something is written at `next`: if there is enough, tells the device, up to the multiple of the stretch
    /// that is behind. Only now is it known that something comes after it, and so that the sync does not follow at
    /// once.
    fn go_on(&mut self, file: &SlotFile, next: u64) -> Result<(), FileError> {
        if self.written < self.stretch {
            return Ok(());
        }
        // Behind the first of them: what was written is a stretch or more, and `next` behind it.
        let through = next & !(self.stretch - 1);
        self.begin(file, through)?;
        // What is left is less than a stretch, and is taken for written as a whole.
        self.written = self.idle.end.saturating_sub(through);
        self.idle = if self.written == 0 { 0..0 } else { through..self.idle.end };
        Ok(())
    }

    /// Before the next range begins at `next`: if that is far away, nothing will be added to what there is.
    fn leave(&mut self, file: &SlotFile, next: u64) -> Result<(), FileError> {
        if self.idle.is_empty() || self.idle.end <= next && next - self.idle.end <= self.stretch {
            return Ok(());
        }
        if self.written > self.stretch / 4 && self.since_sync >= self.stretch {
            self.begin(file, self.idle.end)?;
        }
        self.forget();
        Ok(())
    }

    /// Tells the device, if at least half of the range was written; else it would hold little, at many places.
    fn begin(&self, file: &SlotFile, through: u64) -> Result<(), FileError> {
        let slots = through - self.idle.start;
        if slots > 2 * self.written { Ok(()) } else { file.sync_range(self.idle.start, slots) }
    }
}

/// The logarithm of the slot size: it is needed once a write, and a division costs as much as the rest.
fn slot_bits(file: &SlotFile) -> u32 {
    // The pipe was refused otherwise.
    debug_assert!(file.slot_size().is_power_of_two(), "slots of {} bytes", file.slot_size());
    file.slot_size().trailing_zeros()
}

/// Writes one batch.
#[derive(Debug)]
pub(super) struct FileWriter<'a> {
    file: &'a SlotFile,
    slot_bits: u32,
    write_back: &'a mut WriteBack,
    written: Written,
    /// Where many small slices are joined. Empty between two calls.
    stage: Vec<u8>,
    /// The slots that the next call writes.
    start: u64,
    end: u64,
}

impl<'a> FileWriter<'a> {
    pub(super) fn new(file: &'a SlotFile, write_back: &'a mut WriteBack) -> Self {
        let slot_bits = slot_bits(file);
        Self { file, slot_bits, write_back, written: Written::default(), stage: Vec::new(), start: 0, end: 0 }
    }

    /// Writes requests that are sorted by slot and share none.
    pub(super) fn write_all(&mut self, requests: &[WriteRequest]) -> Result<Written, FileError> {
        self.write(requests.iter().map(|request| (request.slot_index, request.allocation.as_slice())))?;
        Ok(self.written)
    }

    /// Writes those slots of requests of which some share slots.
    pub(super) fn write_segments(
        &mut self,
        requests: &[WriteRequest],
        segments: &[Segment],
    ) -> Result<Written, FileError> {
        let bytes_of = |segment: &Segment| {
            let request = &requests[index(segment.place)];
            let buffer = request.allocation.buffer_size().bytes();
            // Both differences are within one allocation, whose length in bytes is a usize.
            let within = |slot: u64| usize::try_from(slot - request.slot_index).unwrap_or(0) * buffer;
            &request.allocation.as_slice()[within(segment.slots.start)..within(segment.slots.end)]
        };
        self.write(segments.iter().map(|segment| (segment.slots.start, bytes_of(segment))))?;
        let asked: u64 = requests.iter().map(slots).map(|slots| slots.end - slots.start).sum();
        self.written.superseded_slots = asked - self.written.slots;
        Ok(self.written)
    }

    /// Writes slices of whole slots, in slot order.
    fn write<'s>(&mut self, slices_by_slot: impl Iterator<Item = (u64, &'s [u8])>) -> Result<(), FileError> {
        let mut slices = Vec::new();
        for (slot_index, bytes) in slices_by_slot {
            self.add(slot_index, bytes, &mut slices)?;
        }
        self.call(&mut slices)
    }

    /// Adds `bytes` to the slices of the next call.
    fn add<'s>(
        &mut self,
        slot_index: u64,
        mut bytes: &'s [u8],
        slices: &mut Vec<IoSlice<'s>>,
    ) -> Result<(), FileError> {
        if slot_index != self.end || self.written.ranges == 0 {
            self.call(slices)?;
            self.write_back.leave(self.file, slot_index)?;
            self.written.ranges += 1;
            self.start = slot_index;
            self.end = slot_index;
        }
        loop {
            let slots = u64::try_from(bytes.len() >> self.slot_bits).unwrap_or(u64::MAX);
            let room = self.write_back.stretch - (self.end & (self.write_back.stretch - 1));
            if slots < room {
                if slots > 0 {
                    slices.push(IoSlice::new(bytes));
                    self.end += slots;
                }
                return Ok(());
            }
            // No more than `bytes` has, so it fits.
            let (now, later) = bytes.split_at(usize::try_from(room).unwrap_or(0) << self.slot_bits);
            slices.push(IoSlice::new(now));
            self.end += room;
            self.call(slices)?;
            bytes = later;
        }
    }

    /// Writes the slices.
    fn call(&mut self, slices: &mut Vec<IoSlice<'_>>) -> Result<(), FileError> {
        if slices.is_empty() {
            return Ok(());
        }
        self.write_back.go_on(self.file, self.start)?;
        if self.is_staged(slices) {
            self.write_staged(slices)?;
        } else {
            self.file.write_vectored(self.start, slices)?;
        }
        slices.clear();
        self.written.slots += self.end - self.start;
        self.write_back.add(self.start..self.end);
        self.start = self.end;
        Ok(())
    }

    fn is_staged(&self, slices: &[IoSlice<'_>]) -> bool {
        let bytes = usize::try_from(self.end - self.start).unwrap_or(usize::MAX) << self.slot_bits;
        slices.len() >= STAGED_SLICES_MIN && bytes / slices.len() <= STAGED_SLICE_BYTES_MAX
    }

    /// Writes the slices by way of the stage.
    fn write_staged(&mut self, slices: &[IoSlice<'_>]) -> Result<(), FileError> {
        let mut at = self.start;
        for slice in slices {
            self.stage.extend_from_slice(slice);
            if self.stage.len() >= STAGE_BYTES {
                self.file.write(at, &self.stage)?;
                at += u64::try_from(self.stage.len() >> self.slot_bits).unwrap_or(u64::MAX);
                self.stage.clear();
            }
        }
        if !self.stage.is_empty() && !fz_error::mutants::active("joined_tail_is_lost") {
            self.file.write(at, &self.stage)?;
            self.stage.clear();
        }
        Ok(())
    }
}
