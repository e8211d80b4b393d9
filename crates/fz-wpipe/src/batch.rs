//! From a batch of writes, in the order in which they were accepted, to the fewest system calls
//! that leave the file as if each had been made in that order.
//!
//! 1. The writes are sorted by slot, unless they came sorted.
//! 2. If no slot is written twice, neighbours in the file are merged, and those that are neighbours
//!    in memory too become one allocation: one `iovec`, and one release instead of many. Of a large batch
//!    the memory is given back as the writing goes on.
//! 3. Else a sweep over the slots keeps, for each, the write with the highest epoch; what a later
//!    write covers is not written at all.
//!
//! Sorting is `O(n log n)` or less, see [`BySlot`], the sweep `O(n log n)`; slots already in order cost `O(n)`.

use std::collections::BinaryHeap;
use std::ops::Range;

use fz_bufpool::Allocation;
use fz_file::{FileError, SlotFile};

use crate::WriteRequest;
use crate::by_slot::{BySlot, Sorted};
use crate::calls::Calls;

/// What writing a batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Slots handed to the kernel.
    pub(crate) slots: u64,
    /// Slots that a later write of the batch covered.
    pub(crate) superseded_slots: u64,
    /// Ranges of consecutive slots, one write call each, or more if a range is long.
    pub(crate) ranges: u64,
}

/// Some slots of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    /// The write, by its place in the batch.
    index: usize,
    /// Where it goes.
    slots: Range<u64>,
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

/// How many writes of a sorted batch are looked up at a time.
const GROUP: usize = 64;
/// From how many places on between the first and the last of them the processor does not guess where the next one is.
const APART_MIN: u64 = 1024;

/// What batches are prepared in. It keeps its memory: a large batch would fault megabytes of it in each time.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    by_slot: BySlot,
    /// What is written next, neighbours in memory as one. Empty between two batches.
    merged: Vec<WriteRequest>,
}

/// What one look at all writes of a batch says.
#[derive(Debug)]
struct Shape {
    /// Each begins where the one before it ends, or behind.
    is_ordered: bool,
    /// The lowest and the highest slot that one begins with.
    first: u64,
    last: u64,
    /// The most slots of one.
    largest: u64,
}

impl Shape {
    fn of(requests: &[WriteRequest]) -> Self {
        let mut shape = Self { is_ordered: true, first: u64::MAX, last: 0, largest: 0 };
        let mut end = 0;
        for request in requests {
            let slots = slots(request);
            shape.is_ordered &= end <= slots.start;
            shape.first = shape.first.min(slots.start);
            shape.last = shape.last.max(slots.start);
            shape.largest = shape.largest.max(slots.end - slots.start);
            end = slots.end;
        }
        shape
    }
}

/// Writes all of `requests` to `file` and gives their memory back. In epoch order on the way in;
/// empty on the way out if it succeeded, in no particular state if not.
///
/// The device is told to begin after each `write_back_bytes`, see [`Calls`].
pub(crate) fn write(
    requests: &mut Vec<WriteRequest>,
    file: &SlotFile,
    write_back_bytes: usize,
    scratch: &mut Scratch,
) -> Result<Written, FileError> {
    let calls = Calls::new(file, write_back_bytes);
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
    let Scratch { by_slot, merged } = scratch;
    let shape = Shape::of(requests);
    if shape.is_ordered {
        return write_disjoint(requests.drain(..), merged, calls);
    }
    let Sorted { places, gap_min } =
        by_slot.sort(requests.iter().map(|request| request.slot_index), shape.first, shape.last);
    let at = |place: &u64| usize::try_from(*place).unwrap_or(usize::MAX);
    let are_disjoint = gap_min >= shape.largest
        || places.is_sorted_by(|a, b| slots(&requests[at(a)]).end <= requests[at(b)].slot_index);
    if !are_disjoint {
        return write_overlapping(requests, places, calls, file.slot_size());
    }
    let mut taken: Vec<Option<WriteRequest>> = std::mem::take(requests).into_iter().map(Some).collect();
    let by_slot = (0..places.len()).filter_map(|nth| {
        if nth % GROUP == 0 {
            touch(&places[nth..places.len().min(nth + GROUP)], &taken);
        }
        taken[at(&places[nth])].take()
    });
    let written = write_disjoint(by_slot, merged, calls)?;
    // Its memory, for the next batch: what is collected in place stays where it is.
    taken.clear();
    *requests = taken.into_iter().map_while(|request| request).collect();
    Ok(written)
}

/// Has these places' requests loaded, if they lie far apart: one after the other would each wait for its memory, and
/// these loads wait together.
fn touch(places: &[u64], taken: &[Option<WriteRequest>]) {
    if let [first, .., last] = places
        && first.abs_diff(*last) > APART_MIN
    {
        let slot =
            |place: &u64| usize::try_from(*place).ok().and_then(|place| taken[place].as_ref()).map(|r| r.slot_index);
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

/// Writes some of a batch and gives their memory back.
fn write_portion(merged: &mut Vec<WriteRequest>, calls: &mut Calls<'_>) -> Result<(), FileError> {
    calls.write(merged.iter().map(|request| (request.slot_index, request.allocation.as_slice())))?;
    merged.clear();
    Ok(())
}

/// Writes requests of which some share slots; `places` are theirs in the batch, by slot.
fn write_overlapping(
    requests: &mut Vec<WriteRequest>,
    places: &[u64],
    mut calls: Calls<'_>,
    slot_size: usize,
) -> Result<Written, FileError> {
    let ranges: Vec<Range<u64>> = requests.iter().map(slots).collect();
    let at = |place: &u64| usize::try_from(*place).unwrap_or(usize::MAX);
    let order: Vec<(u64, usize)> = places.iter().map(|place| (ranges[at(place)].start, at(place))).collect();
    let segments = latest(&ranges, &order);
    let bytes_of = |segment: &Segment| {
        // Both differences are within one allocation, whose length in bytes is a usize.
        let within = |slot: u64| usize::try_from(slot - ranges[segment.index].start).unwrap_or(0) * slot_size;
        &requests[segment.index].allocation.as_slice()[within(segment.slots.start)..within(segment.slots.end)]
    };
    calls.write(segments.iter().map(|segment| (segment.slots.start, bytes_of(segment))))?;
    let mut written = calls.written();
    written.superseded_slots = ranges.iter().map(|range| range.end - range.start).sum::<u64>() - written.slots;
    requests.clear();
    Ok(written)
}

/// For each slot of `ranges` the one with the highest index, as segments in slot order.
fn latest(ranges: &[Range<u64>], order: &[(u64, usize)]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::with_capacity(ranges.len());
    // The ranges that have begun, the latest write on top.
    let mut begun: BinaryHeap<usize> = BinaryHeap::new();
    let mut coming = order.iter().copied().peekable();
    let mut at = 0;
    loop {
        while let Some((_, index)) = coming.next_if(|&(start, _)| start <= at) {
            begun.push(index);
        }
        while begun.peek().is_some_and(|&index| ranges[index].end <= at) {
            begun.pop();
        }
        let next_start = coming.peek().map(|&(start, _)| start);
        let Some(&index) = begun.peek() else {
            match next_start {
                Some(start) => at = start,
                None => return segments,
            }
            continue;
        };
        let end = ranges[index].end.min(next_start.unwrap_or(u64::MAX));
        match segments.last_mut() {
            Some(last) if last.index == index && last.slots.end == at => last.slots.end = end,
            _ => segments.push(Segment { index, slots: at..end }),
        }
        at = end;
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain way: each write in turn, slot by slot.
    fn model(ranges: &[Range<u64>]) -> Vec<Option<usize>> {
        let mut file = vec![None; 64];
        for (index, range) in ranges.iter().enumerate() {
            for slot in range.clone() {
                file[usize::try_from(slot).unwrap()] = Some(index);
            }
        }
        file
    }

    proptest! {
        #[test]
        fn the_sweep_keeps_the_latest_write_of_each_slot(
            writes in prop::collection::vec((0_u64..56, 1_u64..8), 0..40)
        ) {
            let ranges: Vec<_> = writes.iter().map(|&(start, count)| start..start + count).collect();
            let mut order: Vec<_> = ranges.iter().enumerate().map(|(index, range)| (range.start, index)).collect();
            order.sort_unstable();
            let segments = latest(&ranges, &order);

            let mut file = vec![None; 64];
            for segment in &segments {
                for slot in segment.slots.clone() {
                    let place = &mut file[usize::try_from(slot).unwrap()];
                    prop_assert_eq!(*place, None, "slot {} is written twice", slot);
                    *place = Some(segment.index);
                }
            }
            prop_assert_eq!(file, model(&ranges));
            prop_assert!(segments.is_sorted_by(|a, b| a.slots.end <= b.slots.start));
            prop_assert!(
                segments.windows(2).all(|pair| pair[0].index != pair[1].index
                    || pair[0].slots.end != pair[1].slots.start),
                "two segments that are one: {:?}", segments
            );
        }
    }
}
