//! The content of slots: bytes that name the write that left them.
//!
//! Each word of eight bytes is the write's [tag](Tag) mixed with the slot and the word's place, so
//! that every word on the disk names its write by itself, and is recognised as foreign when it
//! lies in another slot or at another place than it was written to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The bytes of one word. Slot sizes are multiples of it.
pub(crate) const WORD: usize = 8;

/// Distinguishes a tag from what decoding foreign bytes gives.
const CHECK: u64 = 0xA5;

/// Names a write: the run it belongs to, its writer, and its place among the writer's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(u64);

/// A write that the pipe accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) tag: u64,
    pub(crate) epoch: u64,
    pub(crate) slot: u64,
    pub(crate) count: u64,
}

impl Tag {
    pub(crate) fn new(round: u16, writer: u8, sequence: u32) -> Self {
        Self(u64::from(round) << 48 | u64::from(writer) << 40 | u64::from(sequence) << 8 | CHECK)
    }

    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word & 0xFF == CHECK).then_some(Self(word))
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn round(self) -> u64 {
        self.0 >> 48
    }

    pub(crate) fn writer(self) -> u64 {
        self.0 >> 40 & 0xFF
    }

    pub(crate) fn sequence(self) -> u64 {
        self.0 >> 8 & 0xFFFF_FFFF
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {} of writer {} in round {}", self.sequence(), self.writer(), self.round())
    }
}

/// Fills whole slots, from slot `slot` on.
pub(crate) fn fill(tag: Tag, slot: u64, slot_size: usize, bytes: &mut [u8]) {
    for (slot, bytes) in (slot..).zip(bytes.chunks_exact_mut(slot_size)) {
        for (place, word) in (0..).zip(bytes.chunks_exact_mut(WORD)) {
            word.copy_from_slice(&(tag.0 ^ mask(slot, place)).to_le_bytes());
        }
    }
}

/// The words of a slot as they are on the disk, each with the tag of the write that left it there,
/// if it is one of ours.
pub(crate) fn words(slot: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, Option<Tag>)> {
    (0..).zip(bytes.chunks_exact(WORD)).map(move |(place, word)| {
        let raw = u64::from_le_bytes(word.try_into().expect("chunks_exact gives whole words"));
        (raw, Tag::from_word(raw ^ mask(slot, place)))
    })
}

fn mask(slot: u64, place: u64) -> u64 {
    // SplitMix64: a bijection, so that no two places share a mask.
    let mut z = (slot << 20 | place).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_write() {
        let tag = Tag::new(3, 2, 77);
        let mut bytes = [0; 256];
        fill(tag, 9, 128, &mut bytes);
        assert!(words(9, &bytes[..128]).all(|(_, found)| found == Some(tag)));
        assert!(words(10, &bytes[128..]).all(|(_, found)| found == Some(tag)));
        assert_eq!((tag.round(), tag.writer(), tag.sequence()), (3, 2, 77));
    }

    #[test]
    fn a_word_in_a_foreign_slot_or_place_names_another_write_or_none() {
        let tag = Tag::new(3, 2, 77);
        let mut bytes = [0; 128];
        fill(tag, 9, 128, &mut bytes);
        assert!(words(8, &bytes).all(|(_, found)| found != Some(tag)));
        bytes.rotate_left(WORD);
        assert!(words(9, &bytes).all(|(_, found)| found != Some(tag)));
    }

    #[test]
    fn zeros_are_nobodys() {
        assert!(words(9, &[0; 64]).all(|(raw, found)| raw == 0 && found != Some(Tag::new(0, 0, 0))));
    }
}
