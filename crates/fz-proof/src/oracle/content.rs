//! The bytes that a write puts into a slot, and no other write puts there.

/// The number of a write among all of one run; 0 is none.
pub(crate) type WriteId = u32;

/// Eight bytes of `slot` as write `id` leaves it. Slots are a multiple of eight bytes long.
fn word(id: WriteId, slot: u64, position: u64) -> [u8; 8] {
    // The finisher of SplitMix64: one changed bit of the input changes half of the output.
    let mut word = (u64::from(id) << 40 ^ slot << 16 ^ position).wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (word ^ word >> 31).to_le_bytes()
}

/// Fills `bytes`, which is the whole of `slot`.
pub(crate) fn fill(bytes: &mut [u8], id: WriteId, slot: u64) {
    for (position, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&word(id, slot, position));
    }
}

/// Whether `bytes`, which begin at byte `from` of `slot`, are what write `id` put there.
pub(crate) fn matches(bytes: &[u8], id: WriteId, slot: u64, from: usize) -> bool {
    let mut chunks = (from as u64 / 8..).zip(bytes.chunks_exact(8));
    chunks.all(|(position, chunk)| chunk == word(id, slot, position))
}

/// One byte of `slot` as write `id` leaves it.
pub(crate) fn byte(id: WriteId, slot: u64, at: usize) -> u8 {
    word(id, slot, at as u64 / 8)[at % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_slot_and_write_apart() {
        let mut bytes = [0; 64];
        fill(&mut bytes, 7, 3);
        assert!(matches(&bytes, 7, 3, 0) && matches(&bytes[16..24], 7, 3, 16));
        assert!(!matches(&bytes, 8, 3, 0) && !matches(&bytes, 7, 4, 0) && !matches(&bytes[16..24], 7, 3, 8));
        assert_eq!(byte(7, 3, 21), bytes[21]);
    }
}
