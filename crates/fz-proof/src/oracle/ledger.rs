//! The writes that the pipe accepted, and that their epochs are dense and in order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use fz_bufpool::Allocation;

use crate::disk::watch::lock;
use crate::oracle::content::{WriteId, fill};

/// A write that the pipe accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) epoch: u64,
    pub(crate) id: WriteId,
    pub(crate) slot: u64,
    pub(crate) count: u64,
    /// The thread that submitted it, and the how-many-th of its submissions it was.
    pub(crate) writer: usize,
    pub(crate) sequence: u64,
}

impl Accepted {
    pub(crate) fn covers(&self, slot: u64) -> bool {
        (self.slot..self.slot + self.count).contains(&slot)
    }
}

/// Every write of one generation, as the producers report them.
#[derive(Debug)]
pub(crate) struct Ledger {
    next: AtomicU32,
    accepted: Mutex<Vec<Accepted>>,
}

impl Ledger {
    /// Numbers its writes from `first` on.
    pub(crate) fn new(first: WriteId) -> Self {
        Self { next: AtomicU32::new(first), accepted: Mutex::new(Vec::new()) }
    }

    /// A number for a write, and the bytes that go with it.
    pub(crate) fn prepare(&self, allocation: &mut Allocation, slot: u64) -> WriteId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        for (slot, buffer) in (slot..).zip(allocation.buffers_mut()) {
            fill(buffer, id, slot);
        }
        id
    }

    pub(crate) fn accept(&self, write: Accepted) {
        lock(&self.accepted).push(write);
    }

    /// The first number not used.
    pub(crate) fn next(&self) -> WriteId {
        self.next.load(Ordering::Relaxed)
    }

    /// All accepted writes in the order of their epochs.
    ///
    /// # Errors
    ///
    /// Promise B does not hold: the epochs are not 1, 2, 3, …, or two writes of one thread are not
    /// in its order.
    pub(crate) fn close(&self) -> Result<Vec<Accepted>, String> {
        let mut accepted = std::mem::take(&mut *lock(&self.accepted));
        accepted.sort_by_key(|write| write.epoch);
        for (expected, write) in (1..).zip(&accepted) {
            if write.epoch != expected {
                return Err(format!("B: epochs are dense, and after {} came {write:?}", expected - 1));
            }
        }
        let mut last = std::collections::BTreeMap::new();
        for write in &accepted {
            if let Some(before) = last.insert(write.writer, write.sequence)
                && before > write.sequence
            {
                return Err(format!("B: a thread's writes are in its order, and {before} came before {write:?}"));
            }
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(writes: &[(u64, usize, u64)]) -> Result<Vec<Accepted>, String> {
        let ledger = Ledger::new(1);
        for &(epoch, writer, sequence) in writes {
            ledger.accept(Accepted { epoch, id: 1, slot: 0, count: 1, writer, sequence });
        }
        ledger.close()
    }

    #[test]
    fn b_epochs_with_a_gap_or_twice_are_refused() {
        assert_eq!(closed(&[(2, 0, 2), (1, 0, 1), (3, 1, 1)]).map(|writes| writes.len()), Ok(3));
        assert!(closed(&[(1, 0, 1), (3, 0, 2)]).is_err());
        assert!(closed(&[(1, 0, 1), (1, 1, 1)]).is_err());
    }

    #[test]
    fn b_a_threads_writes_out_of_its_order_are_refused() {
        assert!(closed(&[(1, 0, 2), (2, 0, 1)]).is_err());
        assert!(closed(&[(1, 0, 2), (2, 1, 1)]).is_ok());
    }
}
