//! Chance, from one seed.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The one source of chance: a stream whose draws depend on its seed only, in every release.
#[derive(Clone, Debug)]
pub(crate) struct Random(Pcg64Mcg);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A stream of its own, so that one part of a run can draw more without changing the other parts.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.word())
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform in `low..=high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// Uniform in `0..bound`, which must not be 0.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}
