//! The cells behind the gate, which hold the values of claimed positions.
//!
//! The only module with `unsafe` in it. Its argument, which the blocks refer to by number:
//!
//! 1. *One claimant.* The claim word moves past a position once, and the [`Claim`] made then is
//!    not `Clone`; [`Ring::fill`] takes it by value.
//! 2. *One consumer.* [`Ring::new`] makes the one [`Outlet`], which is not `Clone` and needs
//!    `&mut self` to take anything, or to lend it; no value is read elsewhere but in `Ring::drop`.
//! 3. *Filled before taken.* The claimant stores the cell's sequence (Release) after the value;
//!    the outlet loads it (Acquire) before it takes the value.
//! 4. *Taken before refilled.* The outlet stores the head (Release) after the values below it are
//!    moved out. A claim of `p` was made with a head above `p - capacity`, so above
//!    `p - cells`, which was the cell's last position: a newcomer loaded that head (Acquire); a
//!    waiter had it from the thread that granted the room, by the lock of the line.

use std::mem::MaybeUninit;
use std::time::Instant;

use fz_process::foreign;

use crate::gate::Gate;
use crate::sender::to_usize;
use crate::sequencer::Claim;
use crate::sync::{Arc, AtomicU64, Ordering, Pause, SPINS_MAX, UnsafeCell, has_passed, spin_loop};

/// One place for a value.
///
/// Position `p` lies in cell `p & mask`. A cell's life, lap after lap: *free* while its last
/// position is below the head; *claimed* by the one pusher that moved the claim word past `p`;
/// *filled* once `sequence == p`; free again when the consumer has moved the head past `p`.
///
/// Aligned to a cache line, so that a value of up to 56 bytes costs one transfer from pusher to
/// consumer, and neighbours, which different pushers fill, share no line. Packed cells measured a
/// seventh slower on one thread, and up to several times slower with the consumer close behind.
#[repr(align(64))]
struct Cell<T> {
    /// The position whose value was last written here; 0, which is no position, before the first.
    sequence: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// How many values are looked for, and then taken, at a time.
const PORTION_MAX: u64 = 64;

pub(crate) struct Ring<T> {
    gate: Arc<Gate>,
    mask: u64,
    cells: Box<[Cell<T>]>,
    /// The second counter of the mutant `epoch_outside_queue_order`.
    #[cfg(fz_mutants)]
    early: AtomicU64,
}

// SAFETY: a shared ring hands values from pushers to the consumer, so `T: Send` is needed and
// enough: `&T` is never shared. By 1 to 4 each cell is accessed by one thread at a time.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring and its outlet, or `None` if there is no memory for it. The capacity of `gate` is
    /// between 1 and 2^31.
    pub(crate) fn new(gate: &Arc<Gate>) -> Option<(Arc<Self>, Outlet<T>)> {
        let size = Self::cells_for(usize::try_from(gate.sequencer.capacity()).ok()?);
        let mut cells = Vec::new();
        cells.try_reserve_exact(size).ok()?;
        cells.extend(
            (0..size).map(|_| Cell { sequence: AtomicU64::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) }),
        );
        let ring = Arc::new(Self {
            gate: Arc::clone(gate),
            mask: u64::try_from(size - 1).ok()?,
            cells: cells.into_boxed_slice(),
            #[cfg(fz_mutants)]
            early: AtomicU64::new(1),
        });
        let outlet = Outlet { ring: Arc::clone(&ring), next: 1 };
        Some((ring, outlet))
    }

    /// How many cells a ring of `capacity` has.
    pub(crate) fn cells_for(capacity: usize) -> usize {
        capacity.next_power_of_two()
    }

    /// The memory of one cell, in bytes.
    pub(crate) const CELL_BYTES: usize = size_of::<Cell<T>>();

    #[inline]
    fn cell(&self, position: u64) -> &Cell<T> {
        #[expect(clippy::cast_possible_truncation, reason = "masked below the number of cells, which is a usize")]
        let index = (position & self.mask) as usize;
        &self.cells[index]
    }

    /// Writes the value of a claimed position, shows it to the consumer, and says which position
    /// that was. Wait-free; cannot panic.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a claim is good for one fill")]
    pub(crate) fn fill(&self, claim: Claim, value: T) -> u64 {
        let position = claim.position;
        let cell = self.cell(position);
        cell.value.with_mut(|slot| {
            // SAFETY: the cell is this thread's alone, by 1, 3 and 4. `write` drops nothing: the
            // old value was moved out.
            unsafe { slot.write(MaybeUninit::new(value)) };
        });
        // Release: pairs with the Acquire in `is_filled`.
        cell.sequence.store(position, Ordering::Release);
        #[cfg(fz_mutants)]
        if fz_error::mutants::active("epoch_outside_queue_order") {
            return self.early.fetch_add(1, Ordering::Relaxed);
        }
        position
    }

    /// Whether the value of `position` is there. Only the consumer asks, and only for positions
    /// that it has not taken.
    #[inline]
    fn is_filled(&self, position: u64) -> bool {
        // Acquire: pairs with the Release in `fill`: the value was written whole.
        self.cell(position).sequence.load(Ordering::Acquire) == position
    }

    /// Waits until `position`, which must be claimed, is filled, or until `deadline`. Says whether it is filled.
    ///
    /// A claim is always followed by `fill`, with nothing between that blocks or panics, so a few microseconds of
    /// spinning nearly always suffice. A producer that lost its processor in between needs one: the consumer then
    /// sleeps, which also yields to a producer of lower priority. It is not woken, because a producer that had to look
    /// for a sleeping consumer after its fill would pay for a fence in each push.
    fn wait_filled(&self, position: u64, deadline: Option<Instant>) -> bool {
        for _ in 0..SPINS_MAX {
            if self.is_filled(position) {
                return true;
            }
            spin_loop();
        }
        let mut pause = Pause::after(0);
        loop {
            // Asked before the look: a value that came by the deadline is still seen.
            let overdue = has_passed(deadline);
            if self.is_filled(position) || overdue {
                return self.is_filled(position);
            }
            pause.sleep(deadline);
        }
    }

    /// Moves the value of `position` out of its cell.
    ///
    /// # Safety
    ///
    /// `is_filled(position)` was true for this thread, the head is not past `position`, and no
    /// other `take` of `position` was or will be made.
    #[inline]
    unsafe fn take(&self, position: u64) -> T {
        let value = self.cell(position).value.with_mut(|slot| {
            // SAFETY: the cell is the consumer's, by 2 and 3, until it stores the head, by 4.
            unsafe { slot.read() }
        });
        // SAFETY: `fill` wrote a value before `sequence` became `position`, and the caller takes
        // it only this once.
        unsafe { value.assume_init() }
    }
}

impl<T> Drop for Ring<T> {
    /// Drops the values whose pushes were still under way when the receiver was dropped.
    fn drop(&mut self) {
        let last = self.gate.sequencer.last_position();
        let first = last + 1 - self.gate.sequencer.len();
        for position in first..=last {
            if self.is_filled(position) {
                // SAFETY: filled, not below the head, and `&mut self` is the only way left to the ring.
                // `Outlet::discard` marked the cells above the head that it took.
                foreign::discard(unsafe { self.take(position) });
            }
        }
    }
}

/// The consumer's end of a ring: the only place that values leave by.
pub(crate) struct Outlet<T> {
    ring: Arc<Ring<T>>,
    /// The lowest position not taken yet. The head, but that the head is stored once a batch.
    next: u64,
}

impl<T> Outlet<T> {
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the next value is there, without a wait.
    pub(crate) fn is_ready(&self) -> bool {
        self.ring.is_filled(self.next)
    }

    /// Waits for the next value, whose position must be claimed; see [`Ring::wait_filled`].
    pub(crate) fn wait_ready(&self, deadline: Option<Instant>) -> bool {
        self.ring.wait_filled(self.next, deadline)
    }

    /// The value `ahead` places behind the next, if it is filled.
    pub(crate) fn peek(&mut self, ahead: usize) -> Option<&T> {
        let position = self.next.checked_add(u64::try_from(ahead).ok()?)?;
        if !self.ring.is_filled(position) {
            return None;
        }
        Some(self.ring.cell(position).value.with(|slot| {
            // SAFETY: filled, and not below `next`, so the value was not taken, which takes this outlet (2); the head,
            // stored only after such a take, is not past it, so no push refills the cell (4). Both for as long as
            // this outlet is borrowed.
            let value = unsafe { &*slot };
            // SAFETY: `fill` wrote a value before `sequence` became `position`.
            unsafe { value.assume_init_ref() }
        }))
    }

    /// Moves values up to position `last` out in order: up to the first that is not filled, and none after the first
    /// of which `is_last` is true. Never waits.
    pub(crate) fn drain(&mut self, into: &mut Vec<T>, last: u64, mut is_last: impl FnMut(&T) -> bool) -> usize {
        let taking = Taking::new(self);
        let outlet = &mut *taking.outlet;
        if fz_error::mutants::active("a_drain_waits_for_a_stopped_push") {
            let claimed = outlet.ring.gate.sequencer.last_position().min(last);
            let _ = (outlet.next..=claimed).all(|position| outlet.ring.wait_filled(position, None));
        }
        while outlet.next <= last {
            // Counted first, so that the reserve, which may panic, comes before anything is taken. By portions, so
            // that the counted cells are still in the nearest cache when they are taken.
            let portion = (last - outlet.next + 1).min(PORTION_MAX);
            let unfilled = (0..portion).find(|ahead| !outlet.ring.is_filled(outlet.next + ahead));
            if outlet.take_filled(into, unfilled.unwrap_or(portion), &mut is_last) || unfilled.is_some() {
                break;
            }
        }
        taking.count()
    }

    /// Drops every value of a closed queue that is filled, without waiting for the others: those that are filled later
    /// are dropped with the ring. For the receiver's drop, after which nothing drains.
    pub(crate) fn discard(&mut self) {
        let last = self.ring.gate.sequencer.last_position();
        let mut has_gap = false;
        for position in self.next..=last {
            if !self.ring.is_filled(position) {
                has_gap = true;
                continue;
            }
            // SAFETY: filled, and not below the head. Nothing takes it again: `next` moves past it or, behind a gap,
            // the cell is marked as empty.
            let value = unsafe { self.ring.take(position) };
            if has_gap {
                // Relaxed: read again by `Ring::drop` only, which comes after everything.
                self.ring.cell(position).sequence.store(0, Ordering::Relaxed);
            } else {
                self.next = position + 1;
            }
            foreign::discard(value);
        }
        self.ring.gate.release(self.next);
    }

    /// Keeps the ring, with its values, for ever. For a forked copy, which frees nothing.
    pub(crate) fn abandon(&self) {
        std::mem::forget(Arc::clone(&self.ring));
    }

    /// Takes the next `count` values, each of which `is_filled` has seen filled;
    /// or fewer: none after the one of which `is_last` is true. Says whether there was such a one.
    #[inline]
    fn take_filled(&mut self, into: &mut Vec<T>, count: u64, is_last: &mut impl FnMut(&T) -> bool) -> bool {
        into.reserve(to_usize(count));
        #[cfg(fz_mutants)]
        let lost = self.lost_to_mutant();
        for _ in 0..count {
            // SAFETY: filled, and not below the head, which is stored after this. `next` moves
            // past it before anything else can take it again, and there is one outlet (2).
            let value = unsafe { self.ring.take(self.next) };
            self.next += 1;
            #[cfg(fz_mutants)]
            if self.next - 1 == lost {
                drop(value);
                continue;
            }
            into.push(value);
            // Asked when the value has its new owner: the question is foreign code and may panic.
            if into.last().is_some_and(&mut *is_last) {
                return true;
            }
        }
        false
    }

    /// The position that the mutant `close_drops_tail` loses.
    #[cfg(fz_mutants)]
    fn lost_to_mutant(&self) -> u64 {
        let (last, closed) = self.ring.gate.sequencer.last_position_and_closed();
        if closed && fz_error::mutants::active("close_drops_tail") { last } else { 0 }
    }
}

/// A drain under way: frees the cells that it took when it goes, however it ends. A head that
/// stayed behind would have the ring drop those values once more.
struct Taking<'a, T> {
    outlet: &'a mut Outlet<T>,
    first: u64,
}

impl<'a, T> Taking<'a, T> {
    fn new(outlet: &'a mut Outlet<T>) -> Self {
        let first = outlet.next;
        Self { outlet, first }
    }

    /// How many values were taken.
    fn count(&self) -> usize {
        to_usize(self.outlet.next - self.first)
    }
}

impl<T> Drop for Taking<'_, T> {
    fn drop(&mut self) {
        if self.outlet.next > self.first {
            self.outlet.ring.gate.release(self.outlet.next);
        }
    }
}
