//! The assignment of positions to pushes: the claim word and the head, without the values.
//!
//! All of the queue's ordering is in two words, so a loom model can hold it whole.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// No position will ever be claimed again.
const CLOSED: u64 = 1 << 0;
/// The consumer found nothing claimed and went to sleep; the push or close that clears the bit wakes it.
const ASLEEP: u64 = 1 << 1;
/// Pushers wait for room; a newcomer must queue behind them instead of claiming.
const CONTENDED: u64 = 1 << 2;
/// The bits below the position.
const FLAG_BITS: u32 = 3;

/// The right and the duty to fill one cell.
///
/// The consumer cannot pass the position until it is filled, so nothing that can panic or block
/// may stand between a claim and its [`Ring::fill`](crate::ring::Ring::fill).
#[derive(Debug)]
#[must_use = "an unfilled claim stops the consumer for ever"]
pub(crate) struct Claim {
    pub(crate) position: u64,
    pub(crate) consumer_was_asleep: bool,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No room.
    Full,
    /// Other pushes wait for room; there may be more than they need.
    Contended,
    /// Closed for good.
    Closed,
    /// The queue belongs to another process.
    ForkedCopy,
}

/// What [`Sequencer::close`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    /// This call closed the queue; an earlier one did not.
    pub(crate) was_open: bool,
    /// The consumer slept; this call must wake it.
    pub(crate) consumer_was_asleep: bool,
}

/// One reading of the claim word.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    #[inline]
    const fn next(self) -> u64 {
        self.0 >> FLAG_BITS
    }

    #[inline]
    const fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// The word after one more claim: the position moves, the sleeper is called, `CONTENDED`
    /// stays. (`CLOSED` was not set, or there would be no claim.)
    #[inline]
    const fn claimed(self) -> Self {
        Self((self.next() + 1) << FLAG_BITS | self.0 & CONTENDED)
    }

    /// The last word but for `CONTENDED`: the position stays, the sleeper is called.
    const fn closed(self) -> Self {
        Self((self.0 | CLOSED) & !ASLEEP)
    }
}

/// The words that pushers share: one cache line, which a claim owns anyway.
struct Entry {
    /// `next position << 3 | flags`: the only word that pushers compete for.
    ///
    /// Positions only grow and have 61 bits; flags come and go at one position. So a
    /// compare-exchange that meets an old value meets one since which nothing was claimed.
    tail: AtomicU64,
    /// The first position without room by a head that some pusher saw; never above that by the real head. Below it, a
    /// claim need not touch the consumer's line, which would cost both sides a cache miss a batch.
    room_end_seen: AtomicU64,
}

/// The words that the consumer writes: one cache line.
struct Exit {
    /// The next position that the consumer will take; below it, every cell is free again. Written
    /// by the consumer alone, once per batch.
    head: AtomicU64,
    /// Whether pushers wait for room: `CONTENDED` again, here so that a drain need not touch the
    /// pushers' line. Written by waiters, with the lock of the waiting list held.
    has_line: AtomicBool,
}

pub(crate) struct Sequencer {
    entry: CachePadded<Entry>,
    exit: CachePadded<Exit>,
    capacity: u64,
}

impl Sequencer {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            entry: CachePadded::new(Entry {
                tail: AtomicU64::new(1 << FLAG_BITS),
                room_end_seen: AtomicU64::new(1 + capacity),
            }),
            exit: CachePadded::new(Exit { head: AtomicU64::new(1), has_line: AtomicBool::new(false) }),
            capacity,
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    fn word(&self) -> Word {
        // Acquire: pairs with the AcqRel of every change of the word. A reader that sees position
        // p claimed therefore sees a head that made room for p, and what a closer did before.
        Word(self.entry.tail.load(Ordering::Acquire))
    }

    #[inline]
    fn head(&self) -> u64 {
        // Acquire: pairs with the Release in `publish_head`, so that the consumer's read of a cell
        // is over before the cell is filled again.
        self.exit.head.load(Ordering::Acquire)
    }

    /// A newcomer's claim: the path of nearly every push.
    #[inline]
    pub(crate) fn try_claim(&self) -> Result<Claim, Refusal> {
        let mut word = self.word();
        loop {
            if word.has(CLOSED | CONTENDED) {
                return Err(if word.has(CLOSED) { Refusal::Closed } else { Refusal::Contended });
            }
            if !self.has_room(word.next()) {
                return Err(Refusal::Full);
            }
            match self.exchange(word, word.claimed()) {
                Ok(()) => return Ok(Claim { position: word.next(), consumer_was_asleep: word.has(ASLEEP) }),
                Err(now) => word = now,
            }
        }
    }

    /// Whether `position`, which the claim word says is next, has a free cell.
    #[inline]
    fn has_room(&self, position: u64) -> bool {
        // Acquire: pairs with the Release below, which passes on what `head` acquired: the
        // consumer's read of the cell is over. The head may have run past an outdated word; then the claim's
        // exchange fails.
        position < self.entry.room_end_seen.load(Ordering::Acquire) || self.has_room_after_all(position)
    }

    /// Once in a lap: looks at the real head.
    #[cold]
    fn has_room_after_all(&self, position: u64) -> bool {
        // Loaded after the word: without room now, there was none at this moment, as the word can
        // only have moved up since.
        let room_end = self.head() + self.capacity;
        // Release: pairs with the Acquire above. May overwrite a higher one that another pusher
        // saw: that costs another look, no more.
        self.entry.room_end_seen.store(room_end, Ordering::Release);
        position < room_end
    }

    /// The claim of a waiter that was granted room, which `CONTENDED` keeps for it.
    ///
    /// Only with the lock of the waiting list held.
    pub(crate) fn claim_granted(&self) -> Result<Claim, Refusal> {
        let mut word = self.word();
        loop {
            if word.has(CLOSED) {
                return Err(Refusal::Closed);
            }
            // Our bugs, but ones that would overwrite a value: checked in release builds too.
            assert!(word.has(CONTENDED), "room was granted while newcomers could take it");
            assert!(word.next() - self.head() < self.capacity, "more room was granted than there is");
            match self.exchange(word, word.claimed()) {
                Ok(()) => return Ok(Claim { position: word.next(), consumer_was_asleep: word.has(ASLEEP) }),
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        // Release: pairs with the Acquire in `word`. A thread that reads that a position was claimed sees the
        // head that made room for it, so `len` is never above the capacity. Acquire: pairs with
        // the Release of `announce_sleep`, so that the thread that clears ASLEEP, and then wakes, sees
        // the consumer's writes before it slept.
        self.entry.tail.compare_exchange_weak(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(Word)
    }

    /// The highest position ever claimed, 0 before the first.
    pub(crate) fn last_position(&self) -> u64 {
        self.word().next() - 1
    }

    /// The highest position ever claimed and whether it is final, in one reading.
    pub(crate) fn last_position_and_closed(&self) -> (u64, bool) {
        let word = self.word();
        (word.next() - 1, word.has(CLOSED))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word().has(CLOSED)
    }

    /// Claimed and not yet released by the consumer, at one moment; never more than the capacity.
    pub(crate) fn len(&self) -> u64 {
        let mut next = self.word().next();
        loop {
            let head = self.head();
            let next_still = self.word().next();
            // Nothing was claimed in between, so both held when the head was read. Else another
            // thread has claimed a position: the loop is lock-free, not wait-free.
            if next_still == next {
                return next - head;
            }
            next = next_still;
        }
    }

    /// Refuses every later claim. Atomic with the claims: the position in the word is final.
    pub(crate) fn close(&self) -> Closing {
        let mut word = self.word();
        while !word.has(CLOSED) {
            // Clears ASLEEP as a claim does: the call that clears the bit owes the wake-up, and
            // `cancel_sleep` must not call a sleep undisturbed that this call ends.
            match self.exchange(word, word.closed()) {
                Ok(()) => return Closing { was_open: true, consumer_was_asleep: word.has(ASLEEP) },
                Err(now) => word = now,
            }
        }
        Closing { was_open: false, consumer_was_asleep: false }
    }

    /// Sets `ASLEEP` if nothing at or above `next` is claimed and the queue is open.
    ///
    /// Only the consumer calls it. Check and set are one exchange: a push either comes before, and
    /// then this fails, or after, and then it finds the bit.
    pub(crate) fn announce_sleep(&self, next: u64) -> bool {
        let mut word = self.word();
        if fz_error::mutants::active("lose_wakeup_between_check_and_sleep") {
            let idle = word.next() == next && !word.has(CLOSED);
            // Broken on purpose: a claim between the check and the set goes unseen. The
            // yield widens the gap, so that tests on real threads fall into it.
            crate::sync::yield_now();
            self.entry.tail.fetch_or(if idle { ASLEEP } else { 0 }, Ordering::AcqRel);
            return idle;
        }
        while word.next() == next && !word.has(CLOSED) {
            match self.exchange(word, Word(word.0 | ASLEEP)) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes `ASLEEP` back. False if a pusher was faster and owes the consumer a wake-up.
    pub(crate) fn cancel_sleep(&self) -> bool {
        Word(self.entry.tail.fetch_and(!ASLEEP, Ordering::AcqRel)).has(ASLEEP)
    }

    /// Releases every cell below `next` to the pushers. Only the consumer calls it. True if
    /// pushers wait: the caller must then grant them the room.
    pub(crate) fn publish_head(&self, next: u64) -> bool {
        // Release: pairs with the Acquire in `head`: the cells were read before they are refilled.
        self.exit.head.store(next, Ordering::Release);
        // SeqCst: pairs with the fence in `contend`. Of the consumer (stores the head, loads the
        // flag) and the waiter (stores the flag, loads the head), one sees the other's store.
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it, and the lock that a true leads to does the rest.
        self.exit.has_line.load(Ordering::Relaxed)
    }

    /// Turns newcomers away. Only with the lock of the waiting list held, before the room is
    /// measured.
    pub(crate) fn contend(&self) {
        // AcqRel: as a claim.
        self.entry.tail.fetch_or(CONTENDED, Ordering::AcqRel);
        // Relaxed: the fence orders it.
        self.exit.has_line.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `publish_head`.
        fence(Ordering::SeqCst);
    }

    /// Lets newcomers claim again. Only with the lock of the waiting list held, when it is empty.
    pub(crate) fn uncontend(&self) {
        // Relaxed: a consumer that still sees it set looks into an empty line.
        self.exit.has_line.store(false, Ordering::Relaxed);
        // AcqRel: as a claim.
        self.entry.tail.fetch_and(!CONTENDED, Ordering::AcqRel);
    }

    /// Positions that could be claimed now. Exact from below while `CONTENDED` is set and the lock
    /// of the waiting list is held: then only this thread claims, and the consumer only adds room.
    pub(crate) fn room(&self) -> u64 {
        self.capacity - (self.word().next() - self.head())
    }
}
