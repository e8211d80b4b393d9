use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// Ids of the pools with which this pipe has registered its memory alarm, so that most writes skip the registration.
///
/// Direct-mapped by `id % 8`. Ids are sequential, so up to eight pools do not evict one another. Padded: producers read
/// the neighbouring fields.
#[derive(Debug)]
pub(super) struct RegisteredPools(CachePadded<[AtomicU64; Self::PLACES]>);

impl RegisteredPools {
    const PLACES: usize = 8;

    pub(super) fn new() -> Self {
        Self(CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }

    #[inline]
    fn place(&self, id: u64) -> &AtomicU64 {
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits count")]
        let place = id as usize % Self::PLACES;
        &self.0[place]
    }

    /// Whether this pool was the last one registered at its place. Relaxed: after a stale value the alarm is registered
    /// once more, which does nothing.
    #[inline]
    pub(super) fn contain(&self, id: u64) -> bool {
        self.place(id).load(Ordering::Relaxed) == id
    }

    pub(super) fn insert(&self, id: u64) {
        self.place(id).store(id, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn pools_used_in_turn_are_registered_once_each() {
        let registered = RegisteredPools::new();
        assert!(!registered.contain(1));
        (1..=8).for_each(|id| registered.insert(id));
        assert!((1..=8).all(|id| registered.contain(id)));
        registered.insert(9);
        assert!(registered.contain(9) && !registered.contain(1), "a newcomer evicts one");
        assert!((2..=8).all(|id| registered.contain(id)));
    }
}
