//! From pieces in slot order to system calls: each run of consecutive slots by one vectored write, a
//! long run by several, so that the device begins with the first while the rest is being copied.
//!
//! A write into the page cache is a copy by the processor, and the device does nothing meanwhile
//! unless it is told to: a sync that comes after all of a large batch costs the sum of copy and
//! transfer. So each time that [`write_back_bytes`](crate::WritePipeConfig::write_back_bytes) are
//! behind, the kernel is asked to begin with them ([`SlotFile::sync_range`]). That makes nothing durable
//! and waits for nothing; the sync that ends the batch does what it always did, and finds most of
//! it done. A smaller batch makes no such call.
//!
//! Both end at multiples of that size in the file: the page cache writes back whole folios, so
//! one that is begun and then written to again would go to the device twice. Writes that lie far
//! apart are left to the sync.
//!
//! Many small slices are copied together first: to the kernel each slice of a vectored write is a
//! copy of its own, that waits for memory which no cache holds; copied here, many such waits
//! overlap, see [`touched`].

use std::io::IoSlice;

use fz_file::{FileError, SlotFile};

use crate::batch::Written;

/// From how many slices a call on, and up to which mean size in bytes, slices are staged.
const STAGED_SLICES_MIN: usize = 32;
const STAGED_SLICE_BYTES_MAX: usize = 512;
/// How much is staged for one call, so that it stays in the processor's cache.
const STAGE_BYTES: usize = 64 << 10;

/// How many slices' memory is asked for at a time.
const TOUCHED_SLICES: usize = 32;

/// The slices, when their memory is in a cache. A copy does too much for the processor to come to the next ones'
/// memory while it waits for this one's; these loads all wait together.
fn touched<'s, 'a>(slices: &'s [IoSlice<'a>]) -> &'s [IoSlice<'a>] {
    let ends = |slice: &IoSlice<'_>| slice.first().zip(slice.last()).map_or(0, |(first, last)| first ^ last);
    std::hint::black_box(slices.iter().fold(0, |all, slice| all ^ ends(slice)));
    slices
}

#[derive(Debug)]
pub(crate) struct Calls<'f> {
    file: &'f SlotFile,
    /// The logarithm of the slot size: this runs once a write, and a division costs as much as the rest.
    slot_bits: u32,
    /// After how many slots the device is told to begin; a power of two.
    stretch: u64,
    written: Written,
    /// Where many small slices are joined. Empty between two calls.
    stage: Vec<u8>,
    /// The slots that the next call writes.
    start: u64,
    end: u64,
    /// The first slot that was written and that the device was not told of, and how many such.
    idle_from: Option<u64>,
    idle: u64,
}

impl<'f> Calls<'f> {
    pub(crate) fn new(file: &'f SlotFile, write_back_bytes: usize) -> Self {
        // The pipe's buffers have the slots' size, and buffer sizes are powers of two.
        debug_assert!(file.slot_size().is_power_of_two(), "slots of {} bytes", file.slot_size());
        let slot_bits = file.slot_size().trailing_zeros();
        let stretch = (write_back_bytes >> slot_bits).max(1);
        Self {
            file,
            slot_bits,
            stretch: 1 << stretch.ilog2(),
            written: Written::default(),
            stage: Vec::new(),
            start: 0,
            end: 0,
            idle_from: None,
            idle: 0,
        }
    }

    /// Writes pieces of whole slots, in slot order and behind all that came before.
    pub(crate) fn write<'a>(&mut self, pieces: impl Iterator<Item = (u64, &'a [u8])>) -> Result<(), FileError> {
        let mut slices = Vec::new();
        for (slot_index, bytes) in pieces {
            self.add(slot_index, bytes, &mut slices)?;
        }
        self.call(&mut slices)
    }

    /// Adds `bytes` to the slices of the next call.
    fn add<'a>(
        &mut self,
        slot_index: u64,
        mut bytes: &'a [u8],
        slices: &mut Vec<IoSlice<'a>>,
    ) -> Result<(), FileError> {
        if slot_index != self.end || self.written.ranges == 0 {
            self.call(slices)?;
            self.written.ranges += 1;
            self.start = slot_index;
            self.end = slot_index;
        }
        loop {
            let slots = u64::try_from(bytes.len() >> self.slot_bits).unwrap_or(u64::MAX);
            let room = self.stretch - (self.end & (self.stretch - 1));
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

    /// Writes the slices. Tells the device of what was written before: only then is it known
    /// that something comes after it, and so that the sync does not follow at once.
    fn call(&mut self, slices: &mut Vec<IoSlice<'_>>) -> Result<(), FileError> {
        if slices.is_empty() {
            return Ok(());
        }
        if self.idle >= self.stretch {
            self.begin()?;
        }
        if self.is_staged(slices) {
            self.write_staged(slices)?;
        } else {
            self.file.write_vectored(self.start, slices)?;
        }
        slices.clear();
        self.written.slots += self.end - self.start;
        self.idle_from.get_or_insert(self.start);
        self.idle += self.end - self.start;
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
        for slice in slices.chunks(TOUCHED_SLICES).flat_map(touched) {
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

    /// Tells the device of what was written, up to the multiple of the stretch that is behind.
    fn begin(&mut self) -> Result<(), FileError> {
        let through = self.start & !(self.stretch - 1);
        if let Some(from) = self.idle_from
            && from < through
        {
            // At least half of the range is new; else it would hold little, at many places.
            if through - from <= 2 * self.idle {
                self.file.sync_range(from, through - from)?;
            }
            self.idle_from = (through < self.start).then_some(through);
            self.idle = 0;
        }
        Ok(())
    }

    pub(crate) fn written(&self) -> Written {
        self.written
    }
}
