//! Whether what is queued is better left to gather.
//!
//! A write whose neighbours in the file are not written with it takes a system call of its own, and a block of the
//! device. So as long as such writes come faster than they could be written one by one, the more are
//! written together, the less each costs: some become neighbours, some cover each other. To write them as they come
//! would also let the next ones wait for all those calls. This is a *flood*, and while it goes on, nobody waits, and
//! the queue has room, the flusher thread leaves it alone and looks again from time to time.
//!
//! It is over when there was a pause, so a flood costs a write no more delay than the calls would have taken, see
//! [`EACH`]. Who waits leads, or demands a round, and does not ask here. Where what is queued lies together nothing is
//! gained: the device had better begin.

use std::ops::Range;
use std::time::Duration;

use crate::core::nanos;

/// About how long it takes to write one record that is far from others. Of a flood that goes on for a time `t`,
/// more than `t / EACH` are queued.
const EACH: Duration = Duration::from_micros(1);

/// How many writes must be queued: for less, one does not look again.
const WRITES_MIN: u64 = 1024;

/// When to look again: after this part of the time that it would take to write what is queued, within limits. A
/// producer that loses its processor for a moment does not end a large flood; that a flood is over, or the queue
/// full, is soon found.
const PART: u32 = 8;
const LOOKS_AFTER_MIN: Duration = Duration::from_millis(1);
const LOOKS_AFTER_MAX: Duration = Duration::from_millis(8);

/// How many of the queued writes are looked at to tell how the whole of them lies.
pub(crate) const SAMPLE: usize = 256;

/// What the flusher thread saw before it went to sleep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// The last epoch that was accepted.
    pub(crate) last: u64,
    /// The age of the pipe.
    pub(crate) at: Duration,
    /// It found a flood, and the alarm is set for the next look.
    pub(crate) is_flood: bool,
}

impl Look {
    /// Whether more came since `before` than could have been written. All of them came within `period_max`.
    pub(crate) fn finds_flood(&self, before: &Self, period_max: Duration) -> bool {
        let came = self.last.saturating_sub(before.last);
        let period = self.at.saturating_sub(before.at).min(period_max);
        came > nanos(period) / nanos(EACH)
    }
}

/// After what time to look again, if so many queued writes to a file of so many `slots` may be a flood at all.
pub(crate) fn looks_again_after(queued: u64, slots: u64) -> Option<Duration> {
    // As many as there are slots lie together or cover each other, in whatever order they came.
    let writing = Duration::from_nanos(queued.saturating_mul(nanos(EACH)));
    (WRITES_MIN..slots).contains(&queued).then(|| (writing / PART).clamp(LOOKS_AFTER_MIN, LOOKS_AFTER_MAX))
}

/// Whether more than half of some writes lie apart from the others, by the slots that each of them has.
pub(crate) fn are_scattered(mut writes: Vec<Range<u64>>) -> bool {
    writes.sort_unstable_by_key(|slots| slots.start);
    let apart = writes.windows(2).filter(|pair| pair[0].end < pair[1].start).count();
    apart > writes.len() / 2
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::sync::Arc;

    use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    use fz_file::{SlotFile, SlotFileConfig};

    use super::*;
    use crate::watchdog::{finishes, until};
    use crate::{WritePipe, WritePipeConfig, WriteRequest};

    const MILLI: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const WRITES: u64 = 2048;
    /// A look at an empty queue, since which no time has passed.
    const NOW: Look = Look { last: 0, at: Duration::MAX, is_flood: false };

    #[test]
    fn a_flood_goes_on_while_more_come_than_could_be_written() {
        let is_flood = |came: u64, millis, period_max| {
            let before = Look { last: 7, at: MILLI * 3, is_flood: false };
            Look { last: 7 + came, at: before.at + MILLI * millis, ..before }.finds_flood(&before, period_max)
        };
        assert!(is_flood(1001, 1, MILLI));
        assert!(!is_flood(1000, 1, MILLI), "as many as could be written");
        assert!(is_flood(2001, 2, MILLI * 9));
        assert!(!is_flood(2000, 2, MILLI * 9));
        assert!(!is_flood(0, 0, MILLI), "nothing came");
        assert!(is_flood(1001, 5000, MILLI), "they came within the last millisecond");
    }

    #[test]
    fn the_more_is_queued_the_later_one_looks_again() {
        let after = |queued| looks_again_after(queued, 1 << 20).map(|after| after.as_micros());
        let queued = [1023, 1024, 16_000, 1_000_000, 1 << 20];
        assert_eq!(queued.map(after), [None, Some(1000), Some(2000), Some(8000), None]);
        assert_eq!(looks_again_after(1024, 1024), None, "a small file");
    }

    #[test]
    fn what_lies_together_is_not_scattered() {
        let each = |slot: u64| slot..slot + 1;
        assert!(are_scattered((0..100).map(|i| each(i * 7919 % 1000)).collect()));
        assert!(!are_scattered((0..100).map(each).collect()));
        assert!(!are_scattered((0..100).map(|i| each((i % 4) * 1000 + i / 4)).collect()), "four writers in slot order");
        assert!(!are_scattered((0..100).map(|i| each(i % 4 * 1000)).collect()), "the same few again and again");
        assert!(!are_scattered((0..100).map(|i| i * 4..i * 4 + 4).collect()), "large ones, end to end");
        assert!(!are_scattered(vec![each(7)]));
        assert!(!are_scattered(Vec::new()));
    }

    fn pipe_with(config: WritePipeConfig) -> WritePipe {
        let directory = tempfile::tempdir().unwrap();
        let slots = SlotFileConfig::new(directory.path().join("x"), 64).initial_slots(WRITES * 8);
        WritePipe::new(config, Arc::new(SlotFile::open(slots).unwrap())).unwrap()
    }

    /// Writes so many slots apart, in whatever time.
    fn write_each(pipe: &WritePipe, distance: u64) {
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 2048 * 64)).unwrap();
        for slot in 0..WRITES {
            let request = WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index: slot * distance };
            drop(pipe.write(request).unwrap());
        }
    }

    /// Its flusher thread sleeps on.
    fn lazy_pipe_with_writes_each(distance: u64) -> WritePipe {
        let pipe = pipe_with(lazy());
        write_each(&pipe, distance);
        pipe
    }

    fn lazy() -> WritePipeConfig {
        WritePipeConfig::new().flush_interval(HOUR)
    }

    #[test]
    fn a_flood_is_left_to_gather_until_nothing_comes() {
        finishes(|| {
            let pipe = lazy_pipe_with_writes_each(2);
            let seen = pipe.core.serve_filling(NOW);
            assert!(seen.is_flood);
            assert_eq!(seen.last, WRITES);
            // Not the deadline, which is an hour away.
            until(|| pipe.stats().wakeups > 0);
            let seen = pipe.core.serve_filling(seen);
            assert!(seen.is_flood, "it has yet to go on");
            assert_eq!(pipe.durable_epoch(), 0);
            let seen = pipe.core.serve_deadline(seen);
            assert!(!seen.is_flood);
            assert_eq!(pipe.durable_epoch(), WRITES);
        });
    }

    #[test]
    fn a_flood_that_a_deadline_finds_is_looked_at_again() {
        finishes(|| {
            let pipe = lazy_pipe_with_writes_each(2);
            // It came before, and more came since.
            let seen = pipe.core.serve_deadline(Look { is_flood: true, ..NOW });
            assert!(seen.is_flood);
            assert_eq!(pipe.durable_epoch(), 0);
            until(|| pipe.stats().wakeups > 0);
        });
    }

    #[test]
    fn what_lies_together_is_written_however_fast_it_comes() {
        finishes(|| {
            let pipe = lazy_pipe_with_writes_each(1);
            assert!(!pipe.core.serve_filling(NOW).is_flood);
            assert_eq!(pipe.durable_epoch(), WRITES);
        });
    }

    /// With the lead held by this thread, so that nobody writes.
    fn is_left(config: WritePipeConfig, before: Look) -> bool {
        finishes(move || {
            let pipe = pipe_with(config);
            assert!(pipe.core.completion.lead.try_acquire());
            write_each(&pipe, 2);
            let seen = pipe.core.serve_filling(before);
            let _ = pipe.core.completion.lead.release();
            pipe.close().unwrap();
            seen.is_flood
        })
    }

    #[test]
    fn a_full_queue_ends_it() {
        for before in [NOW, Look { is_flood: true, ..NOW }] {
            assert!(is_left(lazy(), before));
            assert!(is_left(lazy().queue_capacity(2049), before));
            assert!(!is_left(lazy().queue_capacity(2048), before), "others wait for room");
        }
    }

    #[test]
    fn who_wants_it_as_soon_as_possible_is_not_made_to_wait() {
        assert!(!is_left(lazy().flush_interval(Duration::ZERO), NOW));
    }
}
