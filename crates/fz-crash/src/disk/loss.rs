//! Which of the writes that no flush covers survive: every part that a disk may keep, and no other.
//!
//! A disk loses any of them, whole or in part, but never a part of a sector: of what a write changes
//! each sector is old or new. Where two kept writes overlap, the later one wins.

use crate::disk::image::Image;
use crate::disk::log::Write;
use crate::random::Random;

/// What a disk, and the file system on it, take to be written whole or not at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medium {
    pub(crate) sector: usize,
    /// Ranges larger than a sector, from and to, that the file system trusts never to be torn: it puts one
    /// checksum over them and looks for no other copy.
    pub(crate) whole: &'static [(u64, u64)],
}

impl Medium {
    /// Where the unit ends in which `offset` lies.
    fn unit_end(self, offset: u64) -> u64 {
        let whole = self.whole.iter().find(|&&(from, to)| (from..to).contains(&offset));
        let sector = self.sector as u64;
        whole.map_or(offset - offset % sector + sector, |&(_, to)| to)
    }
}

/// What a disk keeps of the pending writes: for each write, what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    kept: Vec<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    All,
    Nothing,
    /// Which of its sectors.
    Sectors(Vec<bool>),
}

impl Loss {
    /// One of the legal losses, of a kind drawn at random: nothing kept, all kept, a prefix, all but
    /// one, one alone, or a random part; large writes now and then torn between sectors.
    pub(crate) fn draw(pending: &[Write], medium: Medium, random: &mut Random) -> Self {
        let count = pending.len();
        let flags: Vec<bool> = match random.below(8) {
            _ if count == 0 => Vec::new(),
            0 => vec![false; count],
            1 => vec![true; count],
            2 => {
                let prefix = random.index(count + 1);
                (0..count).map(|index| index < prefix).collect()
            }
            3 => {
                let omitted = random.index(count);
                (0..count).map(|index| index != omitted).collect()
            }
            4 => {
                let single = random.index(count);
                (0..count).map(|index| index == single).collect()
            }
            _ => {
                let share = random.pick(&[0.1, 0.5, 0.5, 0.9]);
                (0..count).map(|_| random.chance(share)).collect()
            }
        };
        let mut kept: Vec<Kept> = flags.iter().map(|&kept| if kept { Kept::All } else { Kept::Nothing }).collect();
        if random.chance(0.4) {
            tear(&mut kept, pending, medium, random);
        }
        Self { kept }
    }

    /// The disk afterwards.
    pub(crate) fn apply(&self, image: &mut Image, pending: &[Write], medium: Medium) {
        for (write, kept) in pending.iter().zip(&self.kept) {
            match kept {
                Kept::Nothing => {}
                Kept::All => image.write(write.offset, &write.bytes),
                Kept::Sectors(flags) => {
                    for ((offset, bytes), _) in sectors(write, medium).zip(flags).filter(|(_, kept)| **kept) {
                        image.write(offset, bytes);
                    }
                }
            }
        }
    }
}

/// Keeps a part of one large write, as often of several: a prefix, a random part, or all but one sector of each.
fn tear(kept: &mut [Kept], pending: &[Write], medium: Medium, random: &mut Random) {
    let is_large = |&index: &usize| sectors(&pending[index], medium).count() > 1;
    let mut large: Vec<usize> = (0..pending.len()).filter(is_large).collect();
    if large.is_empty() {
        return;
    }
    let tears = if random.chance(0.5) { 1 } else { 1 + random.index(large.len()) };
    for _ in 0..tears {
        let torn = large.swap_remove(random.index(large.len()));
        let count = sectors(&pending[torn], medium).count();
        let at = random.index(count);
        let kind = random.below(3);
        let flags = (0..count).map(|index| match kind {
            0 => index < at,
            1 => index != at,
            _ => random.chance(0.5),
        });
        kept[torn] = Kept::Sectors(flags.collect());
    }
}

/// The parts of a write that the medium takes one by one, wherever the write begins.
fn sectors(write: &Write, medium: Medium) -> impl Iterator<Item = (u64, &[u8])> {
    let mut offset = write.offset;
    let mut rest = &*write.bytes;
    std::iter::from_fn(move || {
        let until_next = usize::try_from(medium.unit_end(offset) - offset).unwrap_or(usize::MAX);
        let (first, after) = rest.split_at(until_next.min(rest.len()));
        let at = offset;
        offset += first.len() as u64;
        rest = after;
        (!first.is_empty()).then_some((at, first))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::disk::image::{Base, PAGE};

    const SECTOR: usize = 512;
    const PLAIN: Medium = Medium { sector: SECTOR, whole: &[] };
    const SECTORS: usize = 16;

    fn disk() -> Image {
        Image::new(Arc::new(Base::empty((SECTORS * SECTOR) as u64)))
    }

    fn write(sector: usize, sectors: usize, byte: u8) -> Write {
        Write { offset: (sector * SECTOR) as u64, bytes: vec![byte; sectors * SECTOR].into() }
    }

    /// The first byte of each sector, after checking that the sector is whole.
    fn sectors_of(image: &Image) -> Vec<u8> {
        let mut bytes = vec![0; SECTORS * SECTOR];
        image.read(0, &mut bytes);
        bytes
            .chunks_exact(SECTOR)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
                sector[0]
            })
            .collect()
    }

    #[test]
    fn every_loss_keeps_only_what_was_written_and_only_in_whole_sectors() {
        let pending = [write(0, 1, 1), write(2, 6, 2), write(4, 2, 3), write(10, 1, 4)];
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let mut image = disk();
            Loss::draw(&pending, PLAIN, &mut random).apply(&mut image, &pending, PLAIN);
            for (sector, &byte) in sectors_of(&image).iter().enumerate() {
                let covers = |write: &Write| {
                    let at = (sector * SECTOR) as u64;
                    at >= write.offset && at < write.offset + write.bytes.len() as u64
                };
                let legal = byte == 0 || pending.iter().any(|write| covers(write) && write.bytes[0] == byte);
                assert!(legal, "sector {sector} holds {byte}");
            }
        }
    }

    #[test]
    fn what_was_flushed_is_never_lost() {
        let mut random = Random::new(2);
        let pending = [write(3, 2, 9)];
        for _ in 0..200 {
            let mut image = disk();
            image.write(0, &[5; SECTOR]);
            Loss::draw(&pending, PLAIN, &mut random).apply(&mut image, &pending, PLAIN);
            assert_eq!(sectors_of(&image)[0], 5);
        }
    }

    #[test]
    fn all_subsets_of_a_few_writes_are_drawn_and_tears_of_a_large_one() {
        let pending = [write(0, 1, 1), write(1, 1, 1), write(2, 1, 1)];
        let mut random = Random::new(3);
        let mut seen = BTreeSet::new();
        for _ in 0..1_000 {
            let mut image = disk();
            Loss::draw(&pending, PLAIN, &mut random).apply(&mut image, &pending, PLAIN);
            seen.insert(sectors_of(&image));
        }
        assert_eq!(seen.len(), 8);
        let large = [write(0, 8, 1)];
        seen.clear();
        for _ in 0..1_000 {
            let mut image = disk();
            Loss::draw(&large, PLAIN, &mut random).apply(&mut image, &large, PLAIN);
            seen.insert(sectors_of(&image));
        }
        assert!(seen.len() > 50, "{}", seen.len());
    }

    #[test]
    fn any_number_of_large_writes_is_torn_in_one_loss() {
        let pending = [write(0, 4, 1), write(4, 1, 2), write(5, 4, 3), write(9, 4, 4)];
        let mut random = Random::new(4);
        let mut seen = BTreeSet::new();
        for _ in 0..1_000 {
            let kept = Loss::draw(&pending, PLAIN, &mut random).kept;
            let torn: Vec<_> = kept.iter().map(|kept| matches!(kept, Kept::Sectors(_))).collect();
            assert!(!torn[1], "one sector cannot be torn");
            seen.insert(torn);
        }
        assert_eq!(seen.len(), 8, "each of three large writes torn or not");
    }

    #[test]
    fn of_two_kept_writes_the_later_one_wins() {
        let pending = [write(0, 1, 1), write(0, 1, 2)];
        let mut image = disk();
        Loss { kept: vec![Kept::All, Kept::All] }.apply(&mut image, &pending, PLAIN);
        assert_eq!(sectors_of(&image)[0], 2);
    }

    #[test]
    fn a_range_that_is_trusted_to_be_whole_is_not_torn() {
        let medium = Medium { sector: SECTOR, whole: &[(4096, 8192)] };
        let write = Write { offset: 3584, bytes: vec![1; PAGE + 2 * SECTOR].into() };
        let parts: Vec<_> = sectors(&write, medium).map(|(offset, bytes)| (offset, bytes.len())).collect();
        assert_eq!(parts, [(3584, 512), (4096, 4096), (8192, 512)]);
    }
}
