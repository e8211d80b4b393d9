//! Counts of the cases covered.

use std::collections::BTreeMap;

use fz_sim::SimStats;

use crate::disk::phase::Phase;

/// Named counts, in a stable order.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// The cases covered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) exact_runs: u64,
    pub(crate) generations: u64,
    pub(crate) accepted: u64,
    /// Crash images that were opened and checked.
    pub(crate) states: u64,
    /// Instants at which images were taken, and the images, by phase.
    pub(crate) instants_by_phase: [u64; Phase::ALL.len()],
    pub(crate) states_by_phase: [u64; Phase::ALL.len()],
    pub(crate) tickets: Counts,
    pub(crate) writes: Counts,
    pub(crate) reads: Counts,
    pub(crate) ends: Counts,
    pub(crate) page_fates: Counts,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) disk: SimStats,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.exact_runs += other.exact_runs;
        self.generations += other.generations;
        self.accepted += other.accepted;
        self.states += other.states;
        let sum = |to: &mut [u64], from: &[u64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        sum(&mut self.instants_by_phase, &other.instants_by_phase);
        sum(&mut self.states_by_phase, &other.states_by_phase);
        add_counts(&mut self.tickets, &other.tickets);
        add_counts(&mut self.writes, &other.writes);
        add_counts(&mut self.reads, &other.reads);
        add_counts(&mut self.ends, &other.ends);
        add_counts(&mut self.page_fates, &other.page_fates);
        for (name, count) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += count;
        }
        self.disk.add(&other.disk);
    }
}

pub(crate) fn count(counts: &mut Counts, name: &'static str) {
    *counts.entry(name).or_default() += 1;
}

pub(crate) fn add_counts(to: &mut Counts, from: &Counts) {
    for (name, count) in from {
        *to.entry(name).or_default() += count;
    }
}
