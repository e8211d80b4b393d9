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

/// How many of the oldest of the queued writes, and of the newest, are looked at to tell how the whole of them lies.
pub(crate) const SAMPLE: usize = 128;

/// In what state the flusher thread left the queue when it went to sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Left {
    /// Empty, and the next write sets the alarm.
    #[default]
    Empty,
    /// Something is in it, or nobody looked.
    Filling,
    /// A flood was found, and the alarm is set for the next look.
    Flood,
}

/// What the flusher thread saw before it went to sleep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// The last epoch that was accepted.
    pub(crate) last: u64,
    /// The age of the pipe.
    pub(crate) at: Duration,
    pub(crate) left: Left,
}

impl Look {
    /// Whether more came since `before` than could have been written. If the queue was empty then, all came within the
    /// `patience` after which the alarm rings.
    pub(crate) fn finds_flood(&self, before: &Self, patience: Duration) -> bool {
        let came = self.last.saturating_sub(before.last);
        let since = self.at.saturating_sub(before.at);
        let period = if before.left == Left::Empty { since.min(patience) } else { since };
        // The first look may follow at once, and few writes tell nothing.
        let came_min = if before.left == Left::Flood { 1 } else { WRITES_MIN };
        came >= came_min && came > nanos(period) / nanos(EACH)
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
    use crate::alarm::Cause;
    use crate::watchdog::{finishes, until};
    use crate::{WritePipe, WritePipeConfig, WriteRequest};

    const MILLI: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const WRITES: u64 = 2048;
    /// A look at an empty queue, since which no time has passed.
    const NOW: Look = Look { last: 0, at: Duration::MAX, left: Left::Empty };
    const FLOOD_NOW: Look = Look { left: Left::Flood, ..NOW };

    #[test]
    fn a_flood_goes_on_while_more_come_than_could_be_written() {
        let is_flood = |left, came: u64, millis, patience| {
            let before = Look { last: 7, at: MILLI * 3, left };
            Look { last: 7 + came, at: before.at + MILLI * millis, ..before }.finds_flood(&before, patience)
        };
        for left in [Left::Empty, Left::Filling, Left::Flood] {
            assert!(is_flood(left, 2001, 2, MILLI * 9));
            assert!(!is_flood(left, 2000, 2, MILLI * 9), "as many as could be written");
            assert!(!is_flood(left, 0, 0, MILLI), "nothing came");
        }
        assert!(is_flood(Left::Empty, 1024, 5000, MILLI), "they came within the last millisecond");
        assert!(!is_flood(Left::Filling, 1024, 5000, MILLI), "they came in five seconds");
        assert!(!is_flood(Left::Flood, 1024, 8, MILLI), "they came since the last look, eight milliseconds ago");
        assert!(!is_flood(Left::Filling, 1023, 0, MILLI), "few at once");
        assert!(is_flood(Left::Flood, 1, 0, MILLI));
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

    /// Makes so many writes, in whatever time.
    fn write_to(pipe: &WritePipe, slots: impl Iterator<Item = u64>) {
        let pool = pool(2048);
        for slot_index in slots {
            drop(pipe.write(WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index }).unwrap());
        }
    }

    fn scattered() -> impl Iterator<Item = u64> {
        (0..WRITES).map(|number| number * 2)
    }

    /// Its flusher thread sleeps on.
    fn lazy_pipe_with(slots: impl Iterator<Item = u64>) -> WritePipe {
        let pipe = pipe_with(lazy());
        write_to(&pipe, slots);
        pipe
    }

    fn lazy() -> WritePipeConfig {
        WritePipeConfig::new().flush_interval(HOUR).queue_capacity(1 << 16)
    }

    #[test]
    fn a_flood_is_left_to_gather_until_nothing_comes() {
        finishes(|| {
            let pipe = lazy_pipe_with(scattered());
            let seen = pipe.core.serve_filling(NOW);
            assert_eq!((seen.left, seen.last), (Left::Flood, WRITES));
            // Not the deadline, which is an hour away.
            until(|| pipe.stats().wakeups > 0);
            let seen = pipe.core.serve_filling(seen);
            assert_eq!(seen.left, Left::Flood, "it has yet to go on");
            assert_eq!(pipe.durable_epoch(), 0);
            let seen = pipe.core.serve_deadline(seen);
            assert_eq!((seen.left, pipe.durable_epoch()), (Left::Empty, WRITES));
        });
    }

    #[test]
    fn a_flood_that_a_deadline_finds_is_looked_at_again() {
        finishes(|| {
            let pipe = lazy_pipe_with(scattered());
            // It came before, and more came since.
            let seen = pipe.core.serve_deadline(FLOOD_NOW);
            assert_eq!((seen.left, pipe.durable_epoch()), (Left::Flood, 0));
            until(|| pipe.stats().wakeups > 0);
        });
    }

    #[test]
    fn what_lies_together_is_written_however_fast_it_comes() {
        finishes(|| {
            let slots_of =
                [|_| 1, |number| if number < 128 { 1 } else { 2 }, |number| if number < 1920 { 2 } else { 1 }];
            for distance in slots_of {
                let pipe = lazy_pipe_with((0..WRITES).map(|number: u64| number * distance(number)));
                assert_ne!(pipe.core.serve_filling(NOW).left, Left::Flood);
                assert_eq!(pipe.durable_epoch(), WRITES);
            }
        });
    }

    #[test]
    fn what_a_reader_had_written_is_not_left_without_a_sync() {
        finishes(|| {
            let pipe = lazy_pipe_with(scattered());
            pipe.read(0, &mut [0; 64]).unwrap();
            write_to(&pipe, scattered());
            assert_ne!(pipe.core.serve_filling(NOW).left, Left::Flood);
            assert_eq!(pipe.durable_epoch(), 2 * WRITES);
        });
    }

    /// With the lead held by this thread, so that nobody writes.
    fn is_left(config: WritePipeConfig, before: Look) -> bool {
        finishes(move || {
            let pipe = pipe_with(config);
            assert!(pipe.core.completion.lead.try_acquire());
            write_to(&pipe, scattered());
            let seen = pipe.core.serve_filling(before);
            let _ = pipe.core.completion.lead.release();
            pipe.close().unwrap();
            seen.left == Left::Flood
        })
    }

    #[test]
    fn a_full_queue_ends_it() {
        for before in [NOW, FLOOD_NOW] {
            assert!(is_left(lazy(), before));
            assert!(is_left(lazy().queue_capacity(2049), before));
            assert!(!is_left(lazy().queue_capacity(2048), before), "others wait for room");
        }
    }

    /// What `act` asks the flusher thread for, which has heard of all that came before, and is held in a round.
    fn asks(
        config: WritePipeConfig,
        [buffers, writes]: [usize; 2],
        act: impl Fn(&WritePipe, &BufPool) + Send + Sync + 'static,
    ) -> Cause {
        let attempt = move || {
            let (pipe, pool) = (pipe_with(config.clone()), pool(buffers));
            let (lead, alarm) = (&pipe.core.completion.lead, &pipe.core.bell.alarm);
            assert!(lead.try_acquire());
            for slot_index in (0..WRITES).take(writes) {
                drop(pipe.write(WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index }).unwrap());
            }
            until(|| alarm.asked().is_none());
            std::thread::scope(|scope| {
                // Nobody takes anything from the queue.
                let _at_rest = pipe.core.at_rest();
                let _ = lead.release();
                alarm.demand();
                until(|| !lead.is_free());
                // Else it was still at what came before, and the demand is yet to be heard.
                alarm.asked().is_none().then(|| {
                    scope.spawn(|| act(&pipe, &pool));
                    until(|| alarm.asked().is_some());
                    alarm.asked()
                })?
            })
        };
        finishes(move || std::iter::repeat_with(attempt).find_map(|asked| asked).expect("it goes on for ever"))
    }

    fn pool(buffers: usize) -> BufPool {
        BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
    }

    fn calls_when_full(write: impl Fn(&WritePipe, WriteRequest) + Send + Sync + 'static) {
        // No multiple of what calls anyway.
        let asked = asks(lazy().queue_capacity(2000), [2048, 2000], move |pipe, pool| {
            write(pipe, WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index: 0 });
        });
        assert_eq!(asked, Cause::Filling);
    }

    /// It is not told that the queue fills, which a flood lets it ignore.
    #[test]
    fn f_who_waits_for_memory_demands_it() {
        let waits = asks(lazy(), [64, 64], |_, pool| drop(pool.allocate(1).unwrap()));
        assert_eq!(waits, Cause::Demand);
        // Who waits already, for memory that only now comes to the pipe.
        let waited_for = asks(lazy(), [1, 0], |pipe, pool| {
            let allocation = pool.allocate(1).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| pool.allocate(1).unwrap());
                until(|| pool.stats().waiters == 1);
                drop(pipe.write(WriteRequest { allocation, slot_index: 0 }).unwrap());
            });
        });
        assert_eq!(waited_for, Cause::Demand);
    }

    #[test]
    fn f_whoever_finds_the_queue_full_calls_the_flusher_thread() {
        calls_when_full(|pipe, request| drop(pipe.write(request).unwrap()));
        calls_when_full(|pipe, request| drop(pipe.write_timeout(request, HOUR).unwrap()));
        calls_when_full(|pipe, request| drop(pipe.try_write(request)));
        calls_when_full(|pipe, request| drop(futures_executor::block_on(pipe.write_async(request)).unwrap()));
        calls_when_full(|pipe, request| {
            futures_executor::block_on(futures_util::SinkExt::feed(&mut pipe.sink(), request)).unwrap();
        });
    }

    #[test]
    fn who_wants_it_as_soon_as_possible_is_not_made_to_wait() {
        assert!(!is_left(lazy().flush_interval(Duration::ZERO), NOW));
    }
}
