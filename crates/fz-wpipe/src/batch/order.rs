//! In which order the writes of a batch go to the file, and which slots of them.
//!
//! Writes that are in slot order already, the common case, cost one look at each. Others are sorted by slot: `O(n log
//! n)`. If slots are written twice, of each slot only the write with the highest epoch is written: what a later write
//! overwrites is left out.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::WriteRequest;

/// The most writes of a batch: their places are 32-bit numbers.
pub(super) const WRITES_MAX: u32 = u32::MAX - 1;

/// Some slots of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The write, by its place in the batch.
    pub(super) place: u32,
    /// Where it goes.
    pub(super) slots: Range<u64>,
}

/// How a batch is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As its writes came: each begins where the one before it ends, or behind.
    Given,
    /// Sorted by slot, none of which is written twice: see [`SlotOrder::sort`].
    Sorted,
    /// For each slot the last write, in slot order.
    Segments(Vec<Segment>),
}

/// Orders batches, and keeps the memory for the next one.
#[derive(Debug, Default)]
pub(super) struct SlotOrder {
    /// The first slot of each write and its place, sorted.
    by_slot: Vec<(u64, u32)>,
}

/// A place, to index with.
#[inline]
pub(super) fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The slots that a request writes.
pub(super) fn slots(request: &WriteRequest) -> Range<u64> {
    // Cannot overflow: the request was checked against the file's slots.
    request.slot_index..request.slot_index + u64::try_from(request.allocation.count()).unwrap_or(u64::MAX)
}

impl SlotOrder {
    /// How to write `requests`, at most [`WRITES_MAX`], and the bounds of the slots that they write.
    pub(super) fn order(&mut self, requests: &[WriteRequest]) -> (Order, Range<u64>) {
        self.order_slots(requests.len(), |place| slots(&requests[index(place)]))
    }

    fn order_slots(&mut self, count: usize, slots: impl Fn(u32) -> Range<u64>) -> (Order, Range<u64>) {
        let places = 0..u32::try_from(count).unwrap_or(WRITES_MAX);
        let (mut is_given, mut first, mut end, mut end_before) = (true, u64::MAX, 0, 0);
        for place in places.clone() {
            let slots = slots(place);
            is_given &= end_before <= slots.start;
            first = first.min(slots.start);
            end = end.max(slots.end);
            end_before = slots.end;
        }
        let bounds = first..end;
        if is_given {
            return (Order::Given, bounds);
        }
        self.by_slot.clear();
        self.by_slot.extend(places.map(|place| (slots(place).start, place)));
        self.by_slot.sort_unstable();
        let places = || self.by_slot.iter().map(|&(_, place)| place);
        let is_disjoint = places().zip(places().skip(1)).all(|(a, b)| slots(a).end <= slots(b).start);
        let order = if is_disjoint { Order::Sorted } else { Order::Segments(latest(places(), slots)) };
        (order, bounds)
    }

    /// Puts the requests into the order that [`order`](Self::order) found last.
    pub(super) fn sort(&mut self, requests: &mut [WriteRequest]) {
        permute(&mut self.by_slot, |a, b| requests.swap(a, b));
    }
}

/// Brings what is at `order[i].1` to `i`, for all `i`, by swaps: along each cycle of the permutation.
fn permute(order: &mut [(u64, u32)], mut swap: impl FnMut(usize, usize)) {
    for first in 0..order.len() {
        let mut at = first;
        loop {
            let from = index(order[at].1);
            order[at].1 = u32::try_from(at).unwrap_or(WRITES_MAX);
            if from == first {
                break;
            }
            swap(at, from);
            at = from;
        }
    }
}

/// For each slot the write with the highest place, of writes whose `places` come in the order of their first slots.
fn latest(places: impl ExactSizeIterator<Item = u32>, slots: impl Fn(u32) -> Range<u64>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::with_capacity(places.len());
    // The writes whose slots have begun, the last one on top.
    let mut begun: BinaryHeap<u32> = BinaryHeap::new();
    let mut coming = places.peekable();
    let mut at = 0;
    loop {
        while let Some(place) = coming.next_if(|&place| slots(place).start <= at) {
            begun.push(place);
        }
        while begun.peek().is_some_and(|&place| slots(place).end <= at) {
            begun.pop();
        }
        let next_start = coming.peek().map(|&place| slots(place).start);
        let Some(&place) = begun.peek() else {
            match next_start {
                Some(start) => at = start,
                None => return segments,
            }
            continue;
        };
        let end = slots(place).end.min(next_start.unwrap_or(u64::MAX));
        match segments.last_mut() {
            // A write's slots are consecutive, so it is not the last one again behind a gap.
            Some(last) if last.place == place => last.slots.end = end,
            _ => segments.push(Segment { place, slots: at..end }),
        }
        at = end;
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn place(index: usize) -> u32 {
        u32::try_from(index).unwrap()
    }

    /// The plain way: each write in turn, slot by slot.
    fn model(ranges: &[Range<u64>]) -> BTreeMap<u64, u32> {
        let writes = ranges.iter().enumerate();
        writes.flat_map(|(index, slots)| slots.clone().map(move |slot| (slot, place(index)))).collect()
    }

    /// Few writes or many, of one slot or some, that lie close together, or apart, or as far as slots can.
    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        let count = prop_oneof![3 => 1_usize..40, 1 => 1000_usize..3000];
        let bits = prop_oneof![3 => 2_u32..14, 1 => 20_u32..36, 1 => 48_u32..=62];
        let longest = prop_oneof![Just(1_u64), Just(8)];
        (count, bits, longest, 0_u64..1 << 62, any::<bool>()).prop_flat_map(
            |(count, bits, longest, first, is_sorted)| {
                let range = (0..1_u64 << bits, 1..=longest).prop_map(move |(start, slots)| {
                    let start = first + start;
                    start..start + slots
                });
                prop::collection::vec(range, count).prop_map(move |mut ranges| {
                    if is_sorted {
                        ranges.sort_by_key(|range| range.start);
                    }
                    ranges
                })
            },
        )
    }

    proptest! {
        #[test]
        fn b_the_last_write_of_each_slot_is_kept(batches in prop::collection::vec(ranges(), 1..4)) {
            // One after the other in the same memory.
            let mut slot_order = SlotOrder::default();
            for ranges in batches {
                let model = model(&ranges);
                let written: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                let (order, bounds) = slot_order.order_slots(ranges.len(), |place| ranges[index(place)].clone());
                prop_assert_eq!(Some(bounds.start), ranges.iter().map(|range| range.start).min());
                prop_assert_eq!(Some(bounds.end), ranges.iter().map(|range| range.end).max());
                let is_in_order = ranges.is_sorted_by(|a, b| a.end <= b.start);
                prop_assert_eq!(order == Order::Given, is_in_order);
                match order {
                    Order::Given => {}
                    Order::Sorted => {
                        prop_assert_eq!(written, model.len() as u64, "a slot is written twice");
                        let mut sorted = ranges.clone();
                        permute(&mut slot_order.by_slot, |a, b| sorted.swap(a, b));
                        prop_assert!(sorted.is_sorted_by(|a, b| a.end <= b.start), "{:?}", sorted);
                        let mut expected = ranges.clone();
                        expected.sort_by_key(|range| range.start);
                        prop_assert_eq!(sorted, expected);
                    }
                    Order::Segments(segments) => {
                        prop_assert!(written > model.len() as u64, "no slot is written twice");
                        let of = |segment: &Segment| {
                            let place = segment.place;
                            segment.slots.clone().map(move |slot| (slot, place))
                        };
                        prop_assert!(segments.is_sorted_by(|a, b| a.slots.end <= b.slots.start));
                        prop_assert_eq!(&segments.iter().flat_map(of).collect::<BTreeMap<_, _>>(), &model);
                        prop_assert!(
                            segments.is_sorted_by(|a, b| a.place != b.place || a.slots.end != b.slots.start),
                            "two segments that are one: {:?}", segments
                        );
                    }
                }
            }
        }
    }
}
