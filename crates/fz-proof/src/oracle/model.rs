//! The oracle: which bytes a file may hold.

use std::collections::BTreeSet;

use fz_sim::{SECTOR_BYTES, Tear};

use crate::oracle::content::{WriteId, byte, fill, matches};
use crate::oracle::ledger::Accepted;

/// The known content of a file at the beginning of a generation.
///
/// Each slot holds the bytes of `image`, or of one of the writes in `perhaps`, sector by sector:
/// writes that an earlier generation accepted and never declared durable.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    slot_size: usize,
    tear: Tear,
    /// A write that is not durable may be there up to any of its bytes: one was cut short, or the
    /// disk tears sectors.
    is_split: bool,
    image: Vec<u8>,
    perhaps: Vec<Vec<WriteId>>,
}

impl Model {
    /// A file of zeros.
    pub(crate) fn new(slot_size: usize, tear: Tear, slots_max: u64) -> Self {
        let slots = usize::try_from(slots_max).expect("files here are small");
        let is_split = tear == Tear::Prefix;
        Self { slot_size, tear, is_split, image: vec![0; slots * slot_size], perhaps: vec![Vec::new(); slots] }
    }

    /// From now on writes may be cut at any byte.
    pub(crate) fn split(&mut self) {
        self.is_split = true;
    }

    pub(crate) fn slots(&self) -> usize {
        self.perhaps.len()
    }

    /// After a power cut the content is known exactly: these bytes, then zeros.
    pub(crate) fn set(&mut self, bytes: &[u8]) {
        self.image.fill(0);
        self.image[..bytes.len()].copy_from_slice(bytes);
        self.perhaps.iter_mut().for_each(Vec::clear);
        self.is_split = self.tear == Tear::Prefix;
    }

    fn slot(&self, slot: usize) -> std::ops::Range<usize> {
        slot * self.slot_size..(slot + 1) * self.slot_size
    }

    fn apply(&mut self, write: &Accepted) {
        for slot in write.slot..write.slot + write.count {
            let index = usize::try_from(slot).expect("accepted slots are in the file");
            let range = self.slot(index);
            fill(&mut self.image[range], write.id, slot);
            self.perhaps[index].clear();
        }
    }

    /// The generation ended with these writes, of which those up to `durable` are durable.
    pub(crate) fn advance(&mut self, accepted: &[Accepted], durable: u64) {
        let (kept, unsure) = accepted.split_at(accepted.partition_point(|write| write.epoch <= durable));
        kept.iter().for_each(|write| self.apply(write));
        for write in unsure {
            for slot in write.slot..write.slot + write.count {
                self.perhaps[usize::try_from(slot).expect("accepted slots are in the file")].push(write.id);
            }
        }
    }
}

/// The model at rising durable epochs of one generation.
#[derive(Debug)]
pub(crate) struct View<'a> {
    model: Model,
    accepted: &'a [Accepted],
    /// How many of `accepted` are durable, and applied.
    durable: usize,
    /// The slots up to the end of the last of them.
    slots_written: u64,
    /// For each slot, the places in `accepted` of the writes that cover it.
    covering: Vec<Vec<usize>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(model: &Model, accepted: &'a [Accepted]) -> Self {
        let mut covering = vec![Vec::new(); model.slots()];
        for (place, write) in accepted.iter().enumerate() {
            for slot in write.slot..write.slot + write.count {
                covering[usize::try_from(slot).expect("accepted slots are in the file")].push(place);
            }
        }
        Self { model: model.clone(), accepted, durable: 0, slots_written: 0, covering }
    }

    /// Everything up to `epoch` is durable. Only forwards.
    pub(crate) fn advance(&mut self, epoch: u64) {
        while let Some(write) = self.accepted.get(self.durable).filter(|write| write.epoch <= epoch) {
            self.model.apply(write);
            self.slots_written = self.slots_written.max(write.slot + write.count);
            self.durable += 1;
        }
    }

    /// The writes, durable or not, that `slot` may show besides the bytes in the image.
    fn candidates(&self, slot: usize) -> impl Iterator<Item = WriteId> + '_ {
        let covering = &self.covering[slot];
        let pending = &covering[covering.partition_point(|place| *place < self.durable)..];
        let pending = pending.iter().map(|place| self.accepted[*place].id);
        self.model.perhaps[slot].iter().copied().chain(pending)
    }

    fn is_settled(&self, slot: usize) -> bool {
        self.candidates(slot).next().is_none()
    }

    /// Checks the bytes of a file after a power cut, promises A and B.
    ///
    /// The first `promised` slots are known to exist. The other slots hold zeros, but not on a disk
    /// that damages sectors in mid-write: a growth is under way there.
    ///
    /// # Errors
    ///
    /// The first slot with bytes that it must not hold.
    pub(crate) fn check(&self, bytes: &[u8], promised: u64) -> Result<(), String> {
        let slots = (bytes.len() / self.model.slot_size) as u64;
        if slots < self.slots_written {
            let written = self.slots_written;
            return Err(format!("A: durable writes reach to {written} slots, but after a power cut there are {slots}"));
        }
        let promised = usize::try_from(promised).expect("files here are small") * self.model.slot_size;
        let bytes = if self.model.tear == Tear::Damage { &bytes[..bytes.len().min(promised)] } else { bytes };
        if bytes == &self.model.image[..bytes.len()] {
            return Ok(());
        }
        let size = self.model.slot_size;
        for (slot, held) in bytes.chunks_exact(size).enumerate() {
            let expected = &self.model.image[self.model.slot(slot)];
            if held == expected {
                continue;
            }
            let piece = size.min(SECTOR_BYTES);
            for (at, held) in (0..).step_by(piece).zip(held.chunks(piece)) {
                if !self.is_legal(slot, at, held, &expected[at..at + held.len()]) {
                    return Err(self.describe(slot, at, held));
                }
            }
        }
        Ok(())
    }

    /// Whether the piece `held` from byte `at` of `slot` on, which lies in one sector, is legal.
    fn is_legal(&self, slot: usize, at: usize, held: &[u8], expected: &[u8]) -> bool {
        let number = slot as u64;
        if held == expected || self.candidates(slot).any(|id| matches(held, id, number, at)) {
            return true;
        }
        // Any mixture of the versions, byte by byte. A disk tears a sector once, between two of them, but
        // the torn write may itself have been cut short.
        let mixed = || {
            held.iter().zip(expected).zip(at..).all(|((held, expected), at)| {
                held == expected || self.candidates(slot).any(|id| byte(id, number, at) == *held)
            })
        };
        // Anything, if the sector was being written at all.
        let damaged = || {
            let first = (slot * self.model.slot_size + at) / SECTOR_BYTES * SECTOR_BYTES;
            let slots = first / self.model.slot_size..=(first + SECTOR_BYTES - 1) / self.model.slot_size;
            slots.filter(|slot| *slot < self.model.slots()).any(|slot| !self.is_settled(slot))
        };
        (self.model.is_split && mixed()) || (self.model.tear == Tear::Damage && damaged())
    }

    fn describe(&self, slot: usize, at: usize, held: &[u8]) -> String {
        let known = |write: &&Accepted| matches(held, write.id, slot as u64, at);
        let held = match self.accepted.iter().find(known) {
            Some(write) => format!("the bytes of epoch {} (write {})", write.epoch, write.id),
            None if held.iter().all(|byte| *byte == 0) => "zeros".to_owned(),
            None => format!("bytes that no write of this generation put there: {:02x?}…", &held[..held.len().min(16)]),
        };
        let last = self.covering[slot].iter().rfind(|place| **place < self.durable);
        let durable = match last {
            Some(place) => format!("epoch {}", self.accepted[*place].epoch),
            None => "what it held before".to_owned(),
        };
        let pending: BTreeSet<u64> = self.covering[slot]
            .iter()
            .filter(|place| **place >= self.durable)
            .map(|place| self.accepted[*place].epoch)
            .collect();
        format!(
            "A: everything up to epoch {} is durable, but after a power cut slot {slot} holds from its byte {at} on \
             {held}; durable there is {durable}, not yet durable are the epochs {pending:?}",
            self.durable
        )
    }
}
