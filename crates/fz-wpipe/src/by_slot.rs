//! The order of some writes by slot, and what of them is written.
//!
//! If the slots lie close together, each between the first and the last has a cell that says which write comes last
//! there: the cells are the order, and show whether a slot is written twice. Else each write's slot and its place
//! among the writes are packed into one word, and the words are sorted. The memory is kept for the next time.

use std::collections::BinaryHeap;
use std::ops::Range;

/// How many cells there may be for each write, because to look at an empty one costs a fraction of a nanosecond, to
/// fill one not much more, and to sort a write some twenty; and how many in all, because a cell takes four bytes.
const CELLS_EACH_MAX: u64 = 16;
const CELLS_MAX: u64 = 1 << 22;

/// How many cells are looked at together, to see whether all are empty.
const BLOCK: usize = 32;

/// The most writes: a cell can tell so many apart.
pub(crate) const WRITES_MAX: u32 = u32::MAX - 1;

/// Some slots of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The write, by its place among the others.
    pub(crate) place: u32,
    /// Where it goes.
    pub(crate) slots: Range<u64>,
}

/// How some writes are to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they came: each begins where the one before it ends, or behind.
    #[default]
    Given,
    /// By slot, none of which is written twice: as the places say that were asked for with it.
    BySlot,
    /// For each slot that is written the last write.
    Segments(Vec<Segment>),
}

#[derive(Debug, Default)]
pub(crate) struct BySlot {
    /// For each slot one more than the place of the last write there. All 0 between two uses.
    cells: Vec<u32>,
    /// `slot << bits | place`, to be sorted.
    words: Vec<u64>,
}

/// A place, to index with.
#[inline]
pub(crate) fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl BySlot {
    /// Orders `count` writes, at most [`WRITES_MAX`], of which each writes the slots that `slots` tells of its place,
    /// at least one and none outside `within`. By slot, `places` are the writes'; else they mean nothing.
    pub(crate) fn order(
        &mut self,
        count: u32,
        slots: impl Fn(u32) -> Range<u64>,
        within: Range<u64>,
        places: &mut Vec<u32>,
    ) -> Order {
        let cells = within.end - within.start;
        if cells <= (u64::from(count) * CELLS_EACH_MAX).min(CELLS_MAX)
            && let Ok(cells) = usize::try_from(cells)
        {
            self.order_by_cells(count, slots, within.start, cells, places)
        } else {
            self.order_by_words(count, slots, within, places)
        }
    }

    fn order_by_cells(
        &mut self,
        count: u32,
        slots: impl Fn(u32) -> Range<u64>,
        first: u64,
        cells: usize,
        places: &mut Vec<u32>,
    ) -> Order {
        if self.cells.len() < cells {
            self.cells.reserve_exact(cells - self.cells.len());
            self.cells.resize(cells, 0);
        }
        let cells = &mut self.cells[..cells];
        // There is a cell for each slot, so that its number is a usize.
        let cell = |slot: u64| usize::try_from(slot - first).unwrap_or(usize::MAX);
        let mut written_before = 0;
        for place in 0..count {
            let slots = slots(place);
            for last in &mut cells[cell(slots.start)..cell(slots.end)] {
                written_before |= std::mem::replace(last, place + 1);
            }
        }
        if written_before != 0 {
            let segments = segments(cells, first);
            cells.fill(0);
            return Order::Segments(segments);
        }
        // One more, which is written to before it is known that there is no such place.
        places.resize(index(count) + 1, 0);
        let (mut known, mut before) = (0, 0);
        for block in cells.chunks_mut(BLOCK) {
            if block.iter().fold(0, |all, last| all | last) == 0 {
                continue;
            }
            for last in block {
                let last = std::mem::take(last);
                places[known] = last.wrapping_sub(1);
                // The cells of one write are neighbours.
                known += usize::from(last != 0 && last != before);
                before = last;
            }
        }
        places.truncate(known);
        Order::BySlot
    }

    fn order_by_words(
        &mut self,
        count: u32,
        slots: impl Fn(u32) -> Range<u64>,
        within: Range<u64>,
        places: &mut Vec<u32>,
    ) -> Order {
        places.clear();
        let place_bits = u32::BITS - count.leading_zeros();
        let slot_bits = u64::BITS - (within.end - within.start).leading_zeros();
        if place_bits + slot_bits > u64::BITS {
            // So far apart that slots and places don't fit into one word.
            let mut pairs: Vec<_> = (0..count).map(|place| (slots(place).start, place)).collect();
            pairs.sort_unstable();
            places.extend(pairs.iter().map(|&(_, place)| place));
        } else {
            let word = |place| (slots(place).start - within.start) << place_bits | u64::from(place);
            self.words.clear();
            self.words.extend((0..count).map(word));
            self.words.sort_unstable();
            let place = (1 << place_bits) - 1;
            places.extend(self.words.iter().filter_map(|word| u32::try_from(word & place).ok()));
        }
        if places.is_sorted_by(|&a, &b| slots(a).end <= slots(b).start) {
            Order::BySlot
        } else {
            Order::Segments(latest(places, slots))
        }
    }
}

/// What the `cells` say, of which the first is that of the slot `first`.
fn segments(cells: &[u32], first: u64) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (slot, last) in (first..).zip(cells) {
        let Some(place) = last.checked_sub(1) else { continue };
        match segments.last_mut() {
            // A write's slots are consecutive, so it is not the last one again behind a gap.
            Some(segment) if segment.place == place => segment.slots.end = slot + 1,
            _ => segments.push(Segment { place, slots: slot..slot + 1 }),
        }
    }
    segments
}

/// For each slot the write with the highest place, of writes whose `places` are given by first slot.
fn latest(places: &[u32], slots: impl Fn(u32) -> Range<u64>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::with_capacity(places.len());
    // The writes whose slots have begun, the last one on top.
    let mut begun: BinaryHeap<u32> = BinaryHeap::new();
    let mut coming = places.iter().copied().peekable();
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
            // As in `segments`.
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
        (count, bits, longest, 0_u64..1 << 62).prop_flat_map(|(count, bits, longest, first)| {
            let range = (0..1_u64 << bits, 1..=longest).prop_map(move |(start, slots)| {
                let start = first + start;
                start..start + slots
            });
            prop::collection::vec(range, count)
        })
    }

    /// What `order` says, and what it would say by words alone.
    fn orders([by_cells, by_words]: &mut [BySlot; 2], ranges: &[Range<u64>]) -> [(Order, Vec<u32>); 2] {
        let first = ranges.iter().map(|range| range.start).min().unwrap();
        let end = ranges.iter().map(|range| range.end).max().unwrap();
        let (count, slots) = (place(ranges.len()), |place| ranges[index(place)].clone());
        // Some of what was there before.
        let mut places = [vec![7; 1500], vec![7; 1500]];
        let order = by_cells.order(count, slots, first..end, &mut places[0]);
        let other = by_words.order_by_words(count, slots, first..end, &mut places[1]);
        let [of_order, of_other] = places;
        [(order, of_order), (other, of_other)]
    }

    /// A cell for each of a million slots costs milliseconds.
    #[test]
    fn few_writes_of_many_slots_have_no_cells() {
        let mut by_slot = BySlot::default();
        let slots = |place: u32| u64::from(2 - place) << 20..u64::from(3 - place) << 20;
        let mut places = Vec::new();
        assert_eq!(by_slot.order(3, slots, 0..3 << 20, &mut places), Order::BySlot);
        assert_eq!((places, by_slot.cells.len()), (vec![2, 1, 0], 0));
    }

    proptest! {
        #[test]
        fn b_the_last_write_of_each_slot_is_kept(batches in prop::collection::vec(ranges(), 1..4)) {
            // One after the other in the same memory.
            let mut memory = Default::default();
            for ranges in batches {
                let model = model(&ranges);
                let written: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                for (order, places) in orders(&mut memory, &ranges) {
                    match order {
                        Order::Given => prop_assert!(false, "nobody asked"),
                        Order::BySlot => {
                            prop_assert_eq!(written, model.len() as u64, "a slot is written twice");
                            let mut expected: Vec<_> = (0..place(ranges.len())).collect();
                            expected.sort_by_key(|&place| ranges[index(place)].start);
                            prop_assert_eq!(places, expected);
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
}
