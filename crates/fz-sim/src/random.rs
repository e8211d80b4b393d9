//! The one source of chance. PCG XSL 128/64 (MCG) keeps its stream across releases, so that a seed
//! in a bug report stays worth something.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A stream of draws.
#[derive(Debug)]
pub(crate) struct Random(Pcg64Mcg);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A stream of its own for call number `call` under `key`: its draws depend neither on
    /// those of other calls nor on when they came.
    pub(crate) fn of_call(key: u64, call: u64) -> Self {
        Self::new(Self::new(key).word().wrapping_add(call))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform in `0..bound`; `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.0.random()
    }

    pub(crate) fn nonzero(&mut self) -> u8 {
        self.0.random_range(1..=u8::MAX)
    }

    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        values.shuffle(&mut self.0);
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
