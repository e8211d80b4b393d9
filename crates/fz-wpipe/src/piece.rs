//! From a piece of the queue, in the order in which its writes were accepted, to the fewest system calls
//! that leave the file as if each had been made in that order.
//!
//! 1. The writes are ordered by slot, unless they came so. That needs no file, and happens while another piece is
//!    written.
//! 2. If no slot is written twice, neighbours in the file are merged, and those that are neighbours
//!    in memory too become one allocation: one `iovec`, and one release instead of many. Of a large piece
//!    the memory is given back as the writing goes on.
//! 3. Else of each slot only the write with the highest epoch is written: what a later one covers is left out.
//!
//! That costs `O(n log n)` or less, see [`BySlot`]; slots already in order cost `O(n)`.

use std::ops::Range;

use fz_bufpool::Allocation;
use fz_file::FileError;

use crate::WriteRequest;
use crate::by_slot::{BySlot, Order, Segment, index};
use crate::calls::Calls;

/// What writing a piece took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Slots handed to the kernel.
    pub(crate) slots: u64,
    /// Slots that a later write of the piece covered.
    pub(crate) superseded_slots: u64,
    /// Ranges of consecutive slots, one write call each, or more if a range is long.
    pub(crate) ranges: u64,
}

fn count(allocation: &Allocation) -> u64 {
    u64::try_from(allocation.count()).unwrap_or(u64::MAX)
}

/// The slots that it writes.
pub(crate) fn slots(request: &WriteRequest) -> Range<u64> {
    // Cannot overflow: the request was checked against the file's slots.
    request.slot_index..request.slot_index + count(&request.allocation)
}

/// How many allocations are written before their memory is given back.
const PORTION: usize = 65_536;

/// How many writes of a sorted piece are looked up at a time.
const GROUP: usize = 64;
/// From how many places on between the first and the last of them the processor does not guess where the next one is.
const APART_MIN: u32 = 1024;

/// What one look at all writes of a piece says.
#[derive(Debug)]
struct Shape {
    /// Each begins where the one before it ends, or behind.
    is_ordered: bool,
    /// The first slot that is written, and the end of the last.
    first: u64,
    end: u64,
    /// Slots, those twice that are written twice.
    slots: u64,
}

impl Shape {
    fn of(requests: &[WriteRequest]) -> Self {
        let mut shape = Self { is_ordered: true, first: u64::MAX, end: 0, slots: 0 };
        let mut before = 0;
        for request in requests {
            let slots = slots(request);
            shape.is_ordered &= before <= slots.start;
            shape.first = shape.first.min(slots.start);
            shape.end = shape.end.max(slots.end);
            shape.slots += slots.end - slots.start;
            before = slots.end;
        }
        shape
    }
}

/// Some writes that follow each other. It keeps its memory: a large one would fault megabytes of it in each time.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// As they were accepted. Whoever fills it orders it then.
    pub(crate) requests: Vec<WriteRequest>,
    order: Order,
    places: Vec<u32>,
    /// Slots, those twice that are written twice.
    slots: u64,
}

impl Piece {
    /// Finds out how to write it: at most [`WRITES_MAX`](crate::by_slot::WRITES_MAX) writes.
    pub(crate) fn order(&mut self, by_slot: &mut BySlot) {
        let Self { requests, order, places, slots: slots_written } = self;
        if fz_error::mutants::active("release_before_write") {
            // What a new owner of memory that was released too early would do to it.
            for request in requests.iter_mut() {
                request.allocation.as_mut_slice().fill(0xEE);
            }
        }
        if fz_error::mutants::active("drop_one_write") && requests.len() > 1 {
            requests.remove(requests.len() / 2);
        }
        if fz_error::mutants::active("reverse_batch") {
            requests.reverse();
        }
        let shape = Shape::of(requests);
        *slots_written = shape.slots;
        *order = if shape.is_ordered {
            Order::Given
        } else {
            let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
            let slots = |place| slots(&requests[index(place)]);
            by_slot.order(count, slots, shape.first..shape.end, places)
        };
    }

    /// Writes it and gives its memory back. It is empty then if that succeeded, and in no particular state if not.
    ///
    /// `merged` is empty before and after, and keeps its memory too.
    pub(crate) fn write(&mut self, merged: &mut Vec<WriteRequest>, mut calls: Calls<'_>) -> Result<Written, FileError> {
        let Self { requests, places, .. } = self;
        match std::mem::take(&mut self.order) {
            Order::Given => write_disjoint(requests.drain(..), merged, calls),
            Order::Segments(segments) => {
                write_segments(requests, &segments, &mut calls)?;
                requests.clear();
                let written = calls.written();
                Ok(Written { superseded_slots: self.slots - written.slots, ..written })
            }
            Order::BySlot => {
                let mut taken: Vec<Option<WriteRequest>> = std::mem::take(requests).into_iter().map(Some).collect();
                let by_slot = (0..places.len()).filter_map(|nth| {
                    if nth % GROUP == 0 {
                        touch(&places[nth..places.len().min(nth + GROUP)], &taken);
                    }
                    taken[index(places[nth])].take()
                });
                let written = write_disjoint(by_slot, merged, calls)?;
                // Its memory, for the next time: what is collected in place stays where it is.
                taken.clear();
                *requests = taken.into_iter().map_while(|request| request).collect();
                Ok(written)
            }
        }
    }
}

/// Has these places' requests loaded, if they lie far apart: one after the other would each wait for its memory, and
/// these loads wait together.
fn touch(places: &[u32], taken: &[Option<WriteRequest>]) {
    if let [first, .., last] = places
        && first.abs_diff(*last) > APART_MIN
    {
        let slot = |place: &u32| taken[index(*place)].as_ref().map(|request| request.slot_index);
        std::hint::black_box(places.iter().filter_map(slot).fold(0, |all, slot| all ^ slot));
    }
}

/// Writes requests that are sorted by slot and share none. `memory` is empty before and after.
fn write_disjoint(
    requests: impl Iterator<Item = WriteRequest>,
    memory: &mut Vec<WriteRequest>,
    mut calls: Calls<'_>,
) -> Result<Written, FileError> {
    // Taken out of it, so that whatever fails or panics drops them.
    let mut merged = std::mem::take(memory);
    let mut end = None;
    for WriteRequest { mut allocation, slot_index } in requests {
        let new_end = slot_index + count(&allocation);
        if end == Some(slot_index)
            && let Some(last) = merged.last_mut()
        {
            match last.allocation.try_append(allocation) {
                Ok(()) => {
                    end = Some(new_end);
                    continue;
                }
                Err(back) => allocation = back,
            }
        }
        if merged.len() == PORTION {
            write_portion(&mut merged, &mut calls)?;
        }
        merged.push(WriteRequest { allocation, slot_index });
        end = Some(new_end);
    }
    write_portion(&mut merged, &mut calls)?;
    *memory = merged;
    Ok(calls.written())
}

/// Writes some of a piece and gives their memory back.
fn write_portion(merged: &mut Vec<WriteRequest>, calls: &mut Calls<'_>) -> Result<(), FileError> {
    calls.write(merged.iter().map(|request| (request.slot_index, request.allocation.as_slice())))?;
    merged.clear();
    Ok(())
}

/// Writes those slots of requests of which some share slots.
fn write_segments(requests: &[WriteRequest], segments: &[Segment], calls: &mut Calls<'_>) -> Result<(), FileError> {
    let bytes_of = |segment: &Segment| {
        let request = &requests[index(segment.place)];
        let buffer = request.allocation.buffer_size().bytes();
        // Both differences are within one allocation, whose length in bytes is a usize.
        let within = |slot: u64| usize::try_from(slot - request.slot_index).unwrap_or(0) * buffer;
        &request.allocation.as_slice()[within(segment.slots.start)..within(segment.slots.end)]
    };
    calls.write(segments.iter().map(|segment| (segment.slots.start, bytes_of(segment))))
}
