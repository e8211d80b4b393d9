//! Promise K: the bytes that reads through the pipe may show.

use crate::oracle::content::matches;
use crate::oracle::ledger::Accepted;

/// The result of one [`WritePipe::read`](fz_wpipe::WritePipe::read) call.
#[derive(Clone, Debug)]
pub(crate) struct ReadBack {
    pub(crate) slot: u64,
    pub(crate) bytes: Vec<u8>,
    /// Every write up to this epoch had been accepted before the call.
    pub(crate) floor: u64,
    /// It was over before anything could have failed.
    pub(crate) is_before_failures: bool,
}

/// Checks every read of a generation whose file held `live` before the first write.
///
/// A read shows the file as it was after some epoch, which is not before the last one that had been
/// accepted when it began.
///
/// # Errors
///
/// The first read that shows something else.
pub(crate) fn check(live: &[u8], accepted: &[Accepted], reads: &[ReadBack], slot_size: usize) -> Result<(), String> {
    for read in reads {
        // The highest epoch that shows is in the file; so is everything before it.
        let mut cut = read.floor;
        for (slot, bytes) in (read.slot..).zip(read.bytes.chunks_exact(slot_size)) {
            let shown = accepted.iter().rfind(|write| write.covers(slot) && matches(bytes, write.id, slot, 0));
            cut = cut.max(shown.map_or(0, |write| write.epoch));
        }
        let until = &accepted[..accepted.partition_point(|write| write.epoch <= cut)];
        for (slot, bytes) in (read.slot..).zip(read.bytes.chunks_exact(slot_size)) {
            let holds = match until.iter().rfind(|write| write.covers(slot)) {
                Some(write) => matches(bytes, write.id, slot, 0),
                None => {
                    let start = usize::try_from(slot).expect("slots here are few") * slot_size;
                    // Slots that were added since hold zeros.
                    let before = live.get(start..start + slot_size);
                    before.map_or_else(|| bytes.iter().all(|byte| *byte == 0), |before| before == bytes)
                }
            };
            if !holds {
                return Err(format!(
                    "K: up to epoch {} all was accepted before a read of {} slots at {}, and slot {slot} shows \
                     something else than epoch {cut} left",
                    read.floor,
                    read.bytes.len() / slot_size,
                    read.slot
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::content::fill;

    fn write(epoch: u64, slot: u64, count: u64) -> Accepted {
        Accepted { epoch, id: u32::try_from(epoch).unwrap(), slot, count, writer: 0, sequence: epoch }
    }

    /// A read of slots 0 and 1, which show these epochs.
    fn read(floor: u64, shows: [u64; 2]) -> ReadBack {
        let mut bytes = vec![0; 16];
        for (slot, epoch) in (0..).zip(shows).filter(|(_, epoch)| *epoch > 0) {
            let start = usize::try_from(slot).unwrap() * 8;
            fill(&mut bytes[start..start + 8], u32::try_from(epoch).unwrap(), slot);
        }
        ReadBack { slot: 0, bytes, floor, is_before_failures: true }
    }

    fn holds(floor: u64, shows: [u64; 2]) -> bool {
        let accepted = [write(1, 0, 2), write(2, 1, 1), write(3, 0, 2)];
        check(&[0; 16], &accepted, &[read(floor, shows)], 8).is_ok()
    }

    #[test]
    fn k_a_read_shows_a_moment_not_before_its_call() {
        assert!(holds(0, [0, 0]) && holds(0, [1, 1]) && holds(1, [1, 2]) && holds(2, [3, 3]));
        assert!(!holds(1, [0, 0]) && !holds(2, [1, 1]) && !holds(3, [1, 2]));
    }

    #[test]
    fn k_a_read_never_shows_a_part_of_a_write() {
        assert!(!holds(0, [1, 0]) && !holds(0, [0, 1]) && !holds(0, [3, 2]) && !holds(0, [1, 3]));
    }
}
