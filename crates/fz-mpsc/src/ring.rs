//! The cells behind the sequencer: where a claimed position's value lies.

use std::mem::MaybeUninit;

use crate::Receipt;
use crate::sequencer::{Claim, Sequencer};
use crate::sync::{AtomicU64, Ordering, SPINS_MAX, UnsafeCell, spin_loop, yield_now};

/// One place for a value.
///
/// Position `p` lies in cell `p & mask`. A cell's life, lap after lap: *free* while its last
/// position is below the head; *claimed* by the one pusher that moved the claim word past `p`;
/// *filled* once `sequence == p`; free again when the consumer has moved the head past `p`.
struct Cell<T> {
    /// The position whose value was last written here; 0, which is no position, before the first.
    sequence: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

pub(crate) struct Ring<T> {
    pub(crate) sequencer: Sequencer,
    mask: u64,
    cells: Box<[Cell<T>]>,
    /// The second counter of the mutant `epoch_outside_queue_order`.
    #[cfg(fz_mutants)]
    early: AtomicU64,
}

// SAFETY: a shared ring hands values from pushers to the consumer, so `T: Send` is needed and
// enough: `&T` is never shared. Each cell is accessed by one thread at a time: by the pusher that
// claimed its position until it stores `sequence`, then by the consumer until it stores the head.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring for `capacity` values, or `None` if there is no memory for it. `capacity` is between
    /// 1 and 2^31.
    pub(crate) fn new(capacity: usize) -> Option<Self> {
        let size = capacity.next_power_of_two();
        let mut cells = Vec::new();
        cells.try_reserve_exact(size).ok()?;
        cells.extend((0..size).map(|_| Cell {
            sequence: AtomicU64::new(0),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }));
        Some(Self {
            sequencer: Sequencer::new(u64::try_from(capacity).ok()?),
            mask: u64::try_from(size - 1).ok()?,
            cells: cells.into_boxed_slice(),
            #[cfg(fz_mutants)]
            early: AtomicU64::new(1),
        })
    }

    #[inline]
    fn cell(&self, position: u64) -> &Cell<T> {
        #[expect(clippy::cast_possible_truncation, reason = "masked below the number of cells, which is a usize")]
        let index = (position & self.mask) as usize;
        &self.cells[index]
    }

    /// Writes the value of a claimed position and shows it to the consumer. Wait-free; cannot
    /// panic.
    #[inline]
    pub(crate) fn fill(&self, claim: Claim, value: T) -> Receipt {
        let Claim { position, consumer_was_asleep } = claim;
        let cell = self.cell(position);
        cell.value.with_mut(|slot| {
            // SAFETY: the cell is this thread's alone. (1) The claim word moved past `position`
            // once, for this claim. (2) The cell's last position is `position - cells` or lower,
            // hence below the head that the claim saw (capacity <= cells), and the Acquire of
            // the head came after the consumer had read it. (3) The consumer does not touch it
            // before the store below. `write` drops nothing: the old value was moved out.
            unsafe { slot.write(MaybeUninit::new(value)) };
        });
        // Release: pairs with the Acquire in `is_filled`.
        cell.sequence.store(position, Ordering::Release);
        #[cfg(fz_mutants)]
        if fz_error::mutants::active("epoch_outside_queue_order") {
            return Receipt::new(self.early.fetch_add(1, Ordering::Relaxed), consumer_was_asleep);
        }
        Receipt::new(position, consumer_was_asleep)
    }

    /// Whether the value of `position` is there. Only the consumer asks, and only for positions
    /// that it has not taken.
    #[inline]
    pub(crate) fn is_filled(&self, position: u64) -> bool {
        // Acquire: pairs with the Release in `fill`: the value was written whole.
        self.cell(position).sequence.load(Ordering::Acquire) == position
    }

    /// Waits for the few instructions between the claim of `position` and its publication.
    ///
    /// Never call it for a position that is not claimed. The limit of the wait is the claimant's:
    /// a claim is always followed by `fill`, with nothing between that blocks or panics.
    pub(crate) fn wait_filled(&self, position: u64) {
        let mut spins = 0;
        while !self.is_filled(position) {
            if spins < SPINS_MAX {
                spins += 1;
                spin_loop();
            } else {
                yield_now();
            }
        }
    }

    /// Moves the value of `position` out of its cell.
    ///
    /// # Safety
    ///
    /// `is_filled(position)` was true for this thread, the head is not past `position`, and no
    /// other `take` of `position` was or will be made.
    #[inline]
    pub(crate) unsafe fn take(&self, position: u64) -> T {
        let value = self.cell(position).value.with_mut(|slot| {
            // SAFETY: the cell is the consumer's between the pusher's store of `sequence`, which
            // the caller has acquired, and the consumer's store of the head, which is to come.
            unsafe { slot.read() }
        });
        // SAFETY: `fill` wrote a value before `sequence` became `position`, and the caller takes
        // it only this once.
        unsafe { value.assume_init() }
    }
}

impl<T> Drop for Ring<T> {
    /// Drops what no receiver took: it was forgotten, or a value's own drop panicked in it.
    fn drop(&mut self) {
        let last = self.sequencer.last_position();
        let first = last + 1 - self.sequencer.len();
        for position in first..=last {
            if self.is_filled(position) {
                // SAFETY: filled, not below the head, and with `&mut self` nobody else is left.
                drop(unsafe { self.take(position) });
            }
        }
    }
}
