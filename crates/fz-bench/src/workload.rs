//! What is measured: one row group of a table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::disk::Delay;

/// One thing to do, the same for all contestants. Travels to the child process as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) shape: Shape,
    /// Bytes a record.
    pub(crate) bytes: usize,
    /// Slots of the file, which are also the records of one pass where a suite does passes.
    pub(crate) slots: u64,
    /// How long it runs, in milliseconds, where a suite runs for a time.
    pub(crate) millis: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Fire and forget, then wait once.
    Submit { threads: usize, order: Order },
    /// Write and wait, each.
    Commit { writers: usize, by: By },
    /// Large records, durable at the end.
    Bandwidth,
    /// The cost of one operation while `what` has the value `x`.
    Scaling { what: Dimension, x: u64 },
    /// Four writers, one write in twenty awaited, and maybe a reader.
    Mixed { reader: bool },
    /// Writes that arrive on a clock, whether or not those before them are durable.
    Open { writers: usize, percent: u64, ceiling: Ceiling },
    /// Many pipes in one process.
    Pipes { pipes: usize, load: Load },
    /// Write and wait, each, on a device whose sync takes longer by `delay_us` microseconds.
    Slow { writers: usize, delay_us: u64 },
    /// Fire and forget with 64 KiB of memory for records.
    ShortPool { threads: usize },
}

/// What `writers` records by one pwrite and one sync, one after the other, reach: the parent measures it before the
/// first round, so that all contestants are offered the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ceiling {
    pub(crate) commits_per_s: u64,
    /// Of one pwrite and sync, the median.
    pub(crate) sync_ns: u64,
}

/// What happens to many pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Each has a thread that writes and waits.
    Writers,
    /// Nothing.
    Idle,
    /// Each is written to ten times a second, fire and forget.
    Trickle,
}

/// The memory of a short pool, in bytes.
const SHORT_POOL_BYTES: usize = 64 << 10;

/// Which slot comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    Slots,
    Random,
}

impl Order {
    /// The slot of record `number` of `slots`, a power of two: a bijection either way.
    #[inline]
    pub(crate) fn slot(self, number: u64, slots: u64) -> u64 {
        match self {
            Self::Slots => number & (slots - 1),
            Self::Random => {
                // A multiplication by an odd number and a shifted xor both permute `0..slots`.
                let bits = slots.ilog2().max(2);
                let mut mixed = number & (slots - 1);
                for _ in 0..2 {
                    mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) & (slots - 1);
                    mixed ^= mixed >> (bits / 2);
                }
                mixed
            }
        }
    }
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    /// A blocked thread for each writer.
    Threads,
    /// All writers are tasks of one executor thread.
    Tasks,
}

/// What grows in the scaling suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Dimension {
    /// Slots in the file.
    Slots,
    /// Writes that stand in the queue already.
    Depth,
    /// The most writes in a batch.
    Batch,
    /// Buffers of the pool that are taken.
    Occupancy,
    /// Tickets of undecided writes that tasks wait for.
    Waiters,
    /// Threads that allocate and drop.
    Allocate,
    /// Producers that push while one consumer drains.
    Push,
    /// Buffers of a pool that hands each released one to a waiter.
    PoolHandOff,
    /// Buffers of a pool that refuses a request.
    PoolRefusal,
    /// Buffers of a pool that has one free buffer.
    PoolLastFree,
}

impl Work {
    /// The name of the suite.
    pub(crate) fn suite(&self) -> &'static str {
        match self.shape {
            Shape::Submit { .. } => "submit",
            Shape::Commit { .. } => "commit",
            Shape::Bandwidth => "bandwidth",
            Shape::Scaling { .. } => "scaling",
            Shape::Mixed { .. } => "mixed",
            Shape::Open { .. } => "open-loop",
            Shape::Pipes { .. } => "pipes",
            Shape::Slow { .. } => "slow-disk",
            Shape::ShortPool { .. } => "short-pool",
        }
    }

    /// What works with the same name and another [`x`](Self::x) have in common: one plot.
    pub(crate) fn group(&self) -> String {
        let bytes = self.bytes;
        match self.shape {
            Shape::Submit { order: Order::Slots, .. } => format!("{bytes} B, slot order"),
            Shape::Submit { order: Order::Random, .. } => format!("{bytes} B, random order"),
            Shape::Commit { by: By::Threads, .. } => format!("{bytes} B, blocking threads"),
            Shape::Commit { by: By::Tasks, .. } => format!("{bytes} B, tasks on one thread"),
            Shape::Bandwidth => format!("{} MiB in {bytes} B records", (self.slots * bytes as u64) >> 20),
            Shape::Scaling { what, .. } => match what {
                Dimension::Slots => "slots in the file".to_owned(),
                Dimension::Depth => "writes in the queue".to_owned(),
                Dimension::Batch => "writes a batch".to_owned(),
                Dimension::Occupancy => "buffers taken".to_owned(),
                Dimension::Waiters => "waiting tickets".to_owned(),
                Dimension::Allocate => "allocate and drop, threads".to_owned(),
                Dimension::Push => "push and drain, producers (0: one thread does both)".to_owned(),
                Dimension::PoolHandOff => "hand-off to a waiter, buffers of the pool".to_owned(),
                Dimension::PoolRefusal => "refusal of two neighbours where every other is free, buffers".to_owned(),
                Dimension::PoolLastFree => "allocation of the last free one, buffers of the pool".to_owned(),
            },
            Shape::Mixed { reader: false } => format!("{bytes} B, 4 writers, 1 in 20 awaited"),
            Shape::Mixed { reader: true } => format!("{bytes} B, 4 writers, 1 in 20 awaited, 1 reader"),
            Shape::Open { writers, .. } => format!("{bytes} B, % of the ceiling of {writers} records a sync"),
            Shape::Pipes { load: Load::Writers, .. } => format!("{bytes} B, pipes with a writer each"),
            Shape::Pipes { load: Load::Idle, .. } => "idle pipes".to_owned(),
            Shape::Pipes { load: Load::Trickle, .. } => format!("{bytes} B, pipes with 10 writes a second each"),
            Shape::Slow { delay_us, .. } => format!("{bytes} B, threads, a sync takes {delay_us} µs longer"),
            Shape::ShortPool { .. } => format!("{bytes} B, threads, 64 KiB for records"),
        }
    }

    /// Where it stands on the horizontal axis of its group, if the group has one.
    pub(crate) fn x(&self) -> Option<u64> {
        match self.shape {
            Shape::Submit { threads, .. } | Shape::ShortPool { threads } => Some(threads as u64),
            Shape::Commit { writers, .. } | Shape::Slow { writers, .. } => Some(writers as u64),
            Shape::Open { percent, .. } => Some(percent),
            Shape::Pipes { pipes, .. } => Some(pipes as u64),
            Shape::Scaling { x, .. } => Some(x),
            Shape::Bandwidth | Shape::Mixed { .. } => None,
        }
    }

    /// Its name: the title of its table rows.
    pub(crate) fn name(&self) -> String {
        match self.x() {
            Some(x) => format!("{}: {x}", self.group()),
            None => self.group(),
        }
    }

    /// How many records are on their way at a time at most, so that a contestant can size its memory.
    pub(crate) fn in_flight(&self) -> usize {
        match self.shape {
            Shape::Submit { .. } | Shape::ShortPool { .. } => usize::try_from(self.slots).unwrap_or(usize::MAX),
            Shape::Commit { writers, .. } | Shape::Slow { writers, .. } => writers,
            Shape::Open { .. } => 1024,
            Shape::Pipes { .. } => 64,
            Shape::Bandwidth => 256,
            Shape::Scaling { .. } | Shape::Mixed { .. } => 8192,
        }
    }

    /// How many bytes of records may wait in memory, where the suite bounds that: the bandwidth of a file
    /// larger than memory is what one of this size stands for.
    pub(crate) fn waiting_bytes_max(&self) -> Option<usize> {
        match self.shape {
            Shape::Bandwidth => Some(self.in_flight() * self.bytes),
            Shape::ShortPool { .. } => Some(SHORT_POOL_BYTES),
            _ => None,
        }
    }

    /// How much longer each sync takes than the device's own.
    pub(crate) fn sync_delay(&self) -> Delay {
        match self.shape {
            Shape::Slow { delay_us, .. } => Delay(Duration::from_micros(delay_us)),
            _ => Delay(Duration::ZERO),
        }
    }
}

/// Writers of the mixed suite.
pub(crate) const MIXED_WRITERS: usize = 4;

/// One write in this many is awaited in the mixed suite.
pub(crate) const MIXED_AWAITED: usize = 20;

/// What a round trip of all writers makes durable there: as many records the ceiling writes at a time.
pub(crate) const MIXED_RECORDS: usize = MIXED_WRITERS * MIXED_AWAITED;

/// Bytes that no compression makes smaller.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    // Knuth's linear congruential generator (MMIX); its high byte.
    let mut state: u64 = 0x5EED;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_visit_each_slot_once() {
        for order in [Order::Slots, Order::Random] {
            for slots in [1, 2, 64, 1 << 12] {
                let mut seen: Vec<_> = (0..slots).map(|number| order.slot(number, slots)).collect();
                seen.sort_unstable();
                assert!(seen.iter().copied().eq(0..slots), "{order:?} of {slots}");
            }
        }
    }

    #[test]
    fn a_work_survives_its_way_to_the_child() {
        let shape = Shape::Commit { writers: 4, by: By::Tasks };
        let work = Work { shape, bytes: 128, slots: 64, millis: 10 };
        assert_eq!(serde_json::from_str::<Work>(&serde_json::to_string(&work).unwrap()).unwrap(), work);
    }
}
