//! What reached a disk, in order, together with what was promised meanwhile.

use std::sync::Arc;

/// One entry of the log.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Write(Write),
    /// Everything written before is on the medium.
    Flush,
    /// A layer above the disk has made this promise by now.
    Promise(Promise),
}

/// Bytes that the disk took, into a cache that it may lose.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) offset: u64,
    pub(crate) bytes: Arc<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The slot file is there, and has this many slots.
    Slots(u64),
    /// All writes up to this epoch are durable.
    Durable(u64),
}

/// Everything that was promised up to some place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promised {
    /// The file's slots, if it is there.
    pub(crate) slots: Option<u64>,
    pub(crate) durable: u64,
}

impl Promised {
    fn hear(&mut self, promise: Promise) {
        match promise {
            Promise::Slots(slots) => self.slots = Some(self.slots.unwrap_or(0).max(slots)),
            Promise::Durable(epoch) => self.durable = self.durable.max(epoch),
        }
    }
}

/// The stretch of a log between two flushes: of its writes any part may be lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interval {
    pub(crate) pending: Vec<Write>,
    /// What was promised at its end. A cut earlier in the interval leaves a part of the same writes
    /// and less promised, so the end is where to look.
    pub(crate) promised: Promised,
}

/// Splits a log at its flushes. The writes of all intervals before one are on the medium.
pub(crate) fn intervals(events: &[Event]) -> Vec<Interval> {
    let mut intervals = vec![Interval::default()];
    for event in events {
        let last = intervals.last_mut().expect("it is never empty");
        match event {
            Event::Write(write) => last.pending.push(write.clone()),
            Event::Promise(promise) => last.promised.hear(*promise),
            Event::Flush => {
                let promised = last.promised;
                intervals.push(Interval { pending: Vec::new(), promised });
            }
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64) -> Event {
        Event::Write(Write { offset, bytes: Arc::from([1; 512]) })
    }

    #[test]
    fn a_write_is_pending_until_the_next_flush_and_a_promise_holds_for_good() {
        let events = [
            write(0),
            Event::Flush,
            write(1),
            Event::Promise(Promise::Durable(5)),
            write(2),
            Event::Flush,
            Event::Promise(Promise::Slots(7)),
            Event::Promise(Promise::Durable(4)),
        ];
        let intervals = intervals(&events);
        let offsets: Vec<Vec<u64>> =
            intervals.iter().map(|interval| interval.pending.iter().map(|write| write.offset).collect()).collect();
        assert_eq!(offsets, [vec![0], vec![1, 2], vec![]]);
        let promised: Vec<_> = intervals.iter().map(|interval| interval.promised).collect();
        assert_eq!(promised[0], Promised::default());
        assert_eq!(promised[1], Promised { slots: None, durable: 5 });
        assert_eq!(promised[2], Promised { slots: Some(7), durable: 5 });
    }
}
