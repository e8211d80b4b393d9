//! The writes of a run: all of them follow from a seed.

use std::path::Path;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Create, Preallocation, SlotFileConfig};
use fz_wpipe::{SyncMode, WritePipeConfig};
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The module id of everything in a run: an error with another one is
/// [broken](crate::subject::workload::Failure::is_broken).
pub(crate) const MODULE_ID: u8 = 0x66;

/// A run of several writers on one slot file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Tells the writes of this run from those of earlier runs on the same file.
    pub(crate) round: u16,
    pub(crate) slot_size: usize,
    /// The file's slots when it is new.
    pub(crate) slots: u64,
    pub(crate) writers: u8,
    /// Each writer's first write: an earlier life of the same plan made those before it.
    #[serde(default)]
    pub(crate) first: u32,
    /// The end of each writer's writes.
    pub(crate) writes: u32,
    /// The most slots of one write.
    pub(crate) count_max: u64,
    /// Each writer waits for the ticket of one write in `wait_every`, on the average; 1: of each. Never of its last.
    pub(crate) wait_every: u64,
    /// The first writer grows the file once in `grow_every` of its writes; 0: never.
    pub(crate) grow_every: u32,
    /// No slot is written twice, so that a slot names its write.
    pub(crate) distinct: bool,
    pub(crate) preallocation: u8,
    pub(crate) queue_capacity: usize,
    pub(crate) interval_micros: u64,
    pub(crate) full_sync: bool,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) slot: u64,
    pub(crate) count: u64,
    pub(crate) wait: Wait,
}

/// What the writer does with the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Drops it.
    No,
    /// Blocks, and may flush itself.
    Block,
    /// Waits for the flusher.
    Limited,
}

impl Plan {
    /// A run that is small, varied, and overlaps itself a lot.
    pub(crate) fn small(random: &mut Random, round: u16) -> Self {
        let slot_size = random.pick(&[64, 128, 512, 512, 1024, 4096]);
        Self {
            seed: random.word(),
            round,
            slot_size,
            slots: random.pick(&[16, 48, 100]),
            writers: random.pick(&[1, 2, 3, 4]),
            first: 0,
            writes: 40,
            count_max: random.pick(&[1, 3, 6]),
            wait_every: random.pick(&[1, 2, 3, 8]),
            grow_every: random.pick(&[0, 0, 15]),
            distinct: false,
            preallocation: random.pick(&[0, 1, 2, 2]),
            queue_capacity: random.pick(&[2, 16, 1024]),
            interval_micros: random.pick(&[0, 200, 1000]),
            full_sync: random.chance(0.2),
        }
    }

    /// The slots by which the file grows each time.
    pub(crate) fn slots_added(&self) -> u64 {
        self.slots / 4 + 1
    }

    /// The slots that the file may have: when new, and after each growth.
    pub(crate) fn may_have(&self, slots: u64) -> bool {
        slots == self.slots
            || self.grow_every > 0 && slots > self.slots && (slots - self.slots).is_multiple_of(self.slots_added())
    }

    /// Whether the file grows before write `sequence` of `writer`.
    pub(crate) fn grows_before(&self, writer: u8, sequence: u32) -> bool {
        writer == 0 && self.grow_every > 0 && sequence % self.grow_every == self.grow_every - 1
    }

    /// Write number `sequence` of `writer` on a file of `slots` slots.
    pub(crate) fn operation(&self, writer: u8, sequence: u32, slots: u64) -> Operation {
        let mut random = Random::part(self.seed, u64::from(writer) << 32 | u64::from(sequence));
        let count = 1 + random.below(self.count_max.min(slots));
        let place = u64::from(writer) * u64::from(self.writes) + u64::from(sequence);
        let slot = if self.distinct { place * self.count_max } else { random.below(slots - count + 1) };
        let wait = match random.below(self.wait_every) {
            // So that closing has something to make durable.
            _ if sequence + 1 == self.writes => Wait::No,
            0 if random.chance(0.7) => Wait::Block,
            0 => Wait::Limited,
            _ => Wait::No,
        };
        Operation { slot, count, wait }
    }

    pub(crate) fn file(&self, path: &Path) -> SlotFileConfig {
        SlotFileConfig::new(path, self.slot_size)
            .module_id(MODULE_ID)
            .initial_slots(self.slots)
            .preallocation(match self.preallocation {
                0 => Preallocation::Sparse,
                1 => Preallocation::Allocated,
                _ => Preallocation::Zeroed,
            })
            .create(Create::IfMissing)
    }

    pub(crate) fn pipe(&self) -> WritePipeConfig {
        WritePipeConfig::new()
            .module_id(MODULE_ID)
            .queue_capacity(self.queue_capacity)
            .flush_interval(Duration::from_micros(self.interval_micros))
            .sync_mode(if self.full_sync { SyncMode::Full } else { SyncMode::Data })
    }

    pub(crate) fn pool(&self) -> fz_bufpool::Result<BufPool> {
        let size = BufferSize::try_from(self.slot_size)?;
        BufPool::new(BufPoolConfig::new(size, 256 * self.slot_size).module_id(MODULE_ID))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same() {
        let plan = || Plan::small(&mut Random::new(5), 1);
        assert_eq!(plan(), plan());
        assert_eq!(plan().operation(1, 9, 50), plan().operation(1, 9, 50));
    }

    /// With every fourth seed a pipe that closed without its last writes passed: they had been waited for.
    #[test]
    fn the_last_writes_are_left_to_the_closing() {
        for seed in 0..20 {
            let plan = Plan { wait_every: 1, ..Plan::small(&mut Random::new(seed), 1) };
            let waits = |sequence| plan.operation(0, sequence, plan.slots).wait;
            assert_eq!(waits(plan.writes - 1), Wait::No);
            assert_ne!(waits(plan.writes - 2), Wait::No);
        }
    }

    #[test]
    fn every_operation_lies_in_the_file() {
        let mut random = Random::new(1);
        for round in 0..200 {
            let plan = Plan::small(&mut random, round);
            for sequence in 0..plan.writes {
                let operation = plan.operation(0, sequence, plan.slots);
                assert!(operation.slot + operation.count <= plan.slots, "{plan:?} {operation:?}");
            }
        }
    }

    #[test]
    fn distinct_operations_share_no_slot() {
        let plan = Plan { distinct: true, slots: 10_000, writers: 3, ..Plan::small(&mut Random::new(2), 1) };
        let mut taken = std::collections::BTreeSet::new();
        for writer in 0..plan.writers {
            for sequence in 0..plan.writes {
                let operation = plan.operation(writer, sequence, plan.slots);
                assert!((operation.slot..operation.slot + operation.count).all(|slot| taken.insert(slot)));
            }
        }
    }
}
