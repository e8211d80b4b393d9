//! The accepted and acknowledged writes, and whether a file that survived honours them.
//!
//! The rule, for each slot: let *d* be the highest epoch reported durable before the crash. The slot
//! holds the bytes of the latest write with an epoch ≤ *d* (or what it held before the run, if there is
//! none), and any part of them may have been replaced by writes with higher epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::subject::content::{self, Accepted, Tag, WORD};

/// Findings in one file that are written out; the rest is counted.
const FINDINGS_MAX: usize = 5;

/// All writes of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    slot_size: usize,
    /// For each slot the writes to it, in the order of epochs.
    by_slot: BTreeMap<u64, Vec<(u64, Tag)>>,
    /// Writes that may have been accepted, with an unknown epoch.
    in_doubt: BTreeSet<Tag>,
    /// The file before the run; zeros after its end.
    before: Vec<u8>,
    writes: Vec<Accepted>,
}

/// What was found in a file that honours everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Slots whose content an acknowledgement fixes.
    pub(crate) acknowledged: u64,
    /// Slots in which an unacknowledged write survived, at least in part.
    pub(crate) newer: u64,
    /// Those of them that hold parts of more than one write.
    pub(crate) torn: u64,
}

impl Checked {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.newer += other.newer;
        self.torn += other.torn;
    }
}

/// Checks that the epochs of all accepted writes are one order: each belongs to one write, those of one writer rise
/// with its writes, and of 1 to the highest no more than `gaps` are missing: of writes that a killed thread could not
/// report any more.
///
/// # Errors
///
/// What is wrong, in words.
pub(crate) fn check_order(writes: &[Accepted], gaps: u64) -> Result<(), String> {
    let tag = |write: &Accepted| Tag::from_word(write.tag).expect("only our writes are in a history");
    let mut ordered: Vec<(u64, Tag)> = writes.iter().map(|write| (write.epoch, tag(write))).collect();
    ordered.sort_unstable();
    if let Some((_, first)) = ordered.first().filter(|(epoch, _)| *epoch == 0) {
        return Err(format!("{first} has epoch 0; the first is 1"));
    }
    if let Some(same) = ordered.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("{} and {} have the same epoch {}", same[0].1, same[1].1, same[0].0));
    }
    let mut before = BTreeMap::new();
    for &(epoch, write) in &ordered {
        if let Some((earlier_epoch, earlier)) = before.insert(write.writer(), (epoch, write))
            && earlier >= write
        {
            return Err(format!("{earlier} has epoch {earlier_epoch}, and {write} epoch {epoch}: not in their order"));
        }
    }
    // None is 0 and none is there twice.
    let missing = ordered.last().map_or(0, |(highest, _)| highest - ordered.len() as u64);
    if missing > gaps {
        return Err(format!("{missing} epochs are no write's, of which {gaps} could be: {:?}", ordered.last()));
    }
    Ok(())
}

impl History {
    pub(crate) fn new(slot_size: usize, before: Vec<u8>) -> Self {
        Self { slot_size, before, ..Self::default() }
    }

    pub(crate) fn of(slot_size: usize, before: Vec<u8>, writes: impl IntoIterator<Item = Accepted>) -> Self {
        let mut history = Self::new(slot_size, before);
        history.writes = writes.into_iter().collect();
        for write in &history.writes {
            let tag = Tag::from_word(write.tag).expect("only our writes are in a history");
            for slot in write.slot..write.slot + write.count {
                history.by_slot.entry(slot).or_default().push((write.epoch, tag));
            }
        }
        for writes in history.by_slot.values_mut() {
            writes.sort_unstable();
        }
        history
    }

    /// Allows a write of an unknown epoch everywhere.
    pub(crate) fn doubt(&mut self, tag: Tag) {
        self.in_doubt.insert(tag);
    }

    pub(crate) fn writes(&self) -> &[Accepted] {
        &self.writes
    }

    /// The writes with epochs up to `durable`.
    pub(crate) fn writes_through(&self, durable: u64) -> u64 {
        self.writes.iter().filter(|write| write.epoch <= durable).count() as u64
    }

    /// Checks a whole file that survived, when everything up to `durable` had been acknowledged.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check(&self, file: &[u8], durable: u64) -> Result<Checked, String> {
        let slots = (file.len() / self.slot_size) as u64;
        let is_gone = |write: &&Accepted| write.epoch <= durable && write.slot + write.count > slots;
        if let Some(gone) = self.writes.iter().find(is_gone) {
            return Err(format!("{gone:?} was acknowledged, and the file has only {slots} slots"));
        }
        let mut checked = Checked::default();
        let mut findings = String::new();
        let mut wrong = 0;
        for (slot, bytes) in (0..).zip(file.chunks_exact(self.slot_size)) {
            match self.check_slot(slot, bytes, durable) {
                Ok(found) => checked.add(found),
                Err(finding) => {
                    wrong += 1;
                    if wrong <= FINDINGS_MAX {
                        let _ = writeln!(findings, "slot {slot}: {finding}");
                    }
                }
            }
        }
        if wrong == 0 {
            return Ok(checked);
        }
        Err(format!("{wrong} slots are wrong, with epochs up to {durable} acknowledged:\n{findings}"))
    }

    fn check_slot(&self, slot: u64, bytes: &[u8], durable: u64) -> Result<Checked, String> {
        let writes = self.by_slot.get(&slot).map_or(&[][..], Vec::as_slice);
        let (settled, later) = writes.split_at(writes.partition_point(|&(epoch, _)| epoch <= durable));
        let floor = settled.last().copied();
        let mut newer = BTreeSet::new();
        let mut old = false;
        for (place, (raw, tag)) in content::words(slot, bytes).enumerate() {
            let is_floor = match floor {
                Some((_, floor)) => tag == Some(floor),
                None => raw == self.word_before(slot, place),
            };
            let survived = tag.filter(|tag| later.iter().any(|(_, t)| t == tag) || self.in_doubt.contains(tag));
            match survived {
                _ if is_floor => old = true,
                Some(tag) => {
                    newer.insert(tag);
                }
                None => return Err(explain(place, raw, tag, floor, settled)),
            }
        }
        Ok(Checked {
            acknowledged: u64::from(floor.is_some()),
            newer: u64::from(!newer.is_empty()),
            torn: u64::from(newer.len() + usize::from(old) > 1),
        })
    }

    fn word_before(&self, slot: u64, place: usize) -> u64 {
        let at = usize::try_from(slot).unwrap_or(usize::MAX).saturating_mul(self.slot_size) + place * WORD;
        let word = self.before.get(at..at + WORD);
        word.map_or(0, |word| u64::from_le_bytes(word.try_into().expect("a word has WORD bytes")))
    }
}

fn explain(place: usize, raw: u64, tag: Option<Tag>, floor: Option<(u64, Tag)>, settled: &[(u64, Tag)]) -> String {
    let found = match (raw, tag) {
        (0, _) => "zeros".to_owned(),
        (_, Some(tag)) => match settled.iter().find(|(_, settled)| *settled == tag) {
            Some((epoch, tag)) => format!("the older epoch {epoch} ({tag})"),
            None => format!("{tag}, which belongs elsewhere"),
        },
        (raw, None) => format!("the foreign bytes {raw:#018x}"),
    };
    match floor {
        Some((epoch, tag)) => format!("word {place} holds {found}; acknowledged is epoch {epoch} ({tag})"),
        None => format!("word {place} holds {found}; it held something else before, and nothing was written there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT_SIZE: usize = 64;

    fn tag(sequence: u32) -> Tag {
        Tag::new(1, 0, sequence)
    }

    /// The epochs that writers' writes were given, each writer's in its order.
    fn order(epochs: &[&[u64]], gaps: u64) -> Result<(), String> {
        let of_writer = |(writer, epochs): (u8, &&[u64])| {
            let write = move |(sequence, &epoch): (u32, &u64)| Accepted {
                tag: Tag::new(1, writer, sequence).word(),
                epoch,
                slot: 0,
                count: 1,
            };
            (0..).zip(*epochs).map(write).collect::<Vec<_>>()
        };
        check_order(&(0..).zip(epochs).flat_map(of_writer).collect::<Vec<_>>(), gaps)
    }

    #[test]
    fn epochs_are_dense_and_each_is_one_writes_and_a_writers_rise() {
        assert_eq!(order(&[], 0), Ok(()));
        assert_eq!(order(&[&[1, 2, 5], &[3, 4]], 0), Ok(()));
        for (wrong, why) in [
            (&[&[1_u64, 2, 4][..], &[3, 4]], "the same epoch 4"),
            (&[&[1, 2, 5, 4], &[3]], "not in their order"),
            (&[&[0, 1], &[2]], "epoch 0"),
            (&[&[1, 2, 5], &[3]], "1 epochs are no write's"),
        ] {
            let error = order(wrong, 0).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn no_more_epochs_are_missing_than_writes_may_be() {
        assert_eq!(order(&[&[2, 5], &[3]], 2), Ok(()), "1 and 4");
        order(&[&[2, 5], &[3]], 1).unwrap_err();
        order(&[&[3, 2]], 9).unwrap_err();
        order(&[&[3], &[3]], 9).unwrap_err();
    }

    /// Epochs 1, 2, 3 to slot 0; epoch 2 also to slot 1.
    fn history() -> History {
        let writes = [(1, 0, 1), (2, 0, 2), (3, 0, 1)];
        let writes = writes.map(|(epoch, slot, count)| Accepted {
            tag: tag(u32::try_from(epoch).unwrap()).word(),
            epoch,
            slot,
            count,
        });
        History::of(SLOT_SIZE, Vec::new(), writes)
    }

    fn file(tags: [Option<Tag>; 2]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * SLOT_SIZE];
        for (slot, tag) in (0..).zip(tags) {
            let at = usize::try_from(slot).unwrap() * SLOT_SIZE;
            if let Some(tag) = tag {
                content::fill(tag, slot, SLOT_SIZE, &mut bytes[at..at + SLOT_SIZE]);
            }
        }
        bytes
    }

    #[test]
    fn the_latest_acknowledged_write_or_a_later_one_is_right() {
        let two = [Some(tag(2)), Some(tag(2))];
        assert_eq!(history().check(&file(two), 2), Ok(Checked { acknowledged: 2, newer: 0, torn: 0 }));
        let three = [Some(tag(3)), Some(tag(2))];
        assert_eq!(history().check(&file(three), 2), Ok(Checked { acknowledged: 2, newer: 1, torn: 0 }));
        assert_eq!(history().check(&file([None, None]), 0), Ok(Checked::default()));
    }

    #[test]
    fn an_acknowledged_write_that_is_missing_is_wrong() {
        for missing in [[None, Some(tag(2))], [Some(tag(2)), None]] {
            assert!(history().check(&file(missing), 2).is_err());
        }
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_with_its_slot_is_wrong() {
        let one_slot = &file([Some(tag(3)), None])[..SLOT_SIZE];
        assert!(history().check(one_slot, 1).is_ok(), "no acknowledgement told of slot 1");
        assert!(history().check(one_slot, 2).is_err());
    }

    #[test]
    fn an_older_write_in_the_place_of_an_acknowledged_one_is_wrong() {
        let error = history().check(&file([Some(tag(1)), Some(tag(2))]), 2).unwrap_err();
        assert!(error.contains("the older epoch 1"), "{error}");
    }

    #[test]
    fn bytes_of_another_slot_are_wrong() {
        let mut bytes = file([Some(tag(2)), Some(tag(2))]);
        bytes.copy_within(..SLOT_SIZE, SLOT_SIZE);
        assert!(history().check(&bytes, 2).is_err());
    }

    #[test]
    fn a_part_of_a_later_write_is_right_and_a_part_of_an_older_one_is_wrong() {
        let mut torn = file([Some(tag(2)), Some(tag(2))]);
        torn[..WORD].copy_from_slice(&file([Some(tag(3)), None])[..WORD]);
        assert_eq!(history().check(&torn, 2).unwrap().torn, 1);
        torn[..WORD].copy_from_slice(&file([Some(tag(1)), None])[..WORD]);
        assert!(history().check(&torn, 2).is_err());
    }

    #[test]
    fn what_was_there_before_stays_until_it_is_overwritten() {
        let before = file([Some(tag(9)), Some(tag(9))]);
        let history = History::of(SLOT_SIZE, before.clone(), history().writes().to_vec());
        assert!(history.check(&before, 0).is_ok());
        assert!(history.check(&before, 1).is_err());
        assert!(history.check(&file([Some(tag(9)), None]), 0).is_err());
    }

    #[test]
    fn a_write_in_doubt_may_be_anywhere_it_was_written() {
        let mut history = history();
        let bytes = file([Some(tag(2)), Some(tag(4))]);
        assert!(history.check(&bytes, 2).is_err());
        history.doubt(tag(4));
        assert!(history.check(&bytes, 2).is_ok());
    }
}
