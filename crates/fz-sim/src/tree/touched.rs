//! Which bytes of a sector a write touched.

use std::ops::Range;

use crate::tree::content::SECTOR_BYTES;

/// Bytes of one sector, a bit for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched([u64; SECTOR_BYTES / 64]);

impl Touched {
    pub(crate) const ALL: Self = Self([u64::MAX; SECTOR_BYTES / 64]);

    pub(crate) fn of(range: Range<usize>) -> Self {
        let below = |end: usize| u64::MAX.checked_shr(64 - u32::try_from(end).expect("at most 64")).unwrap_or(0);
        Self(std::array::from_fn(|word| {
            let within = |position: usize| position.saturating_sub(word * 64).min(64);
            below(within(range.end)) & !below(within(range.start))
        }))
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(own, other)| own & other != 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_touches_its_own_bytes_and_no_other() {
        for range in [0..0, 0..1, 6..12, 63..64, 63..65, 64..128, 100..300, 511..512, 512..512, 0..512] {
            let touched = Touched::of(range.clone());
            for byte in 0..SECTOR_BYTES {
                assert_eq!(touched.meets(&Touched::of(byte..byte + 1)), range.contains(&byte), "{byte} of {range:?}");
            }
        }
    }

    #[test]
    fn what_is_added_is_touched_too() {
        let mut touched = Touched::of(0..6);
        touched.add(&Touched::of(100..101));
        assert!(touched.meets(&Touched::of(5..7)) && touched.meets(&Touched::of(90..110)));
        assert!(!touched.meets(&Touched::of(6..100)) && !touched.meets(&Touched::of(101..512)));
        assert!(touched.meets(&Touched::ALL));
    }
}
