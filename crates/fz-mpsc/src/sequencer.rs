//! Who gets which position: the claim word and the head, without the values.
//!
//! All of the queue's ordering is in two words, so a loom model can hold it whole.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering, fence};

/// No position will ever be claimed again.
const CLOSED: u64 = 1 << 0;
/// The consumer found nothing claimed and went to sleep; whoever clears the bit wakes it.
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
    /// Others wait for room; there may be more than they need.
    Contended,
    /// Closed for good.
    Closed,
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

pub(crate) struct Sequencer {
    /// `next position << 3 | flags`: the only word that pushers share.
    ///
    /// Positions only grow and have 61 bits, so a compare-exchange cannot meet an old value again.
    tail: CachePadded<AtomicU64>,
    /// The next position that the consumer will take; below it, every cell is free again. Written
    /// by the consumer alone, once per batch.
    head: CachePadded<AtomicU64>,
    capacity: u64,
}

impl Sequencer {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            tail: CachePadded::new(AtomicU64::new(1 << FLAG_BITS)),
            head: CachePadded::new(AtomicU64::new(1)),
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
        Word(self.tail.load(Ordering::Acquire))
    }

    #[inline]
    fn head(&self) -> u64 {
        // Acquire: pairs with the Release in `publish_head`, so that the consumer's read of a cell
        // is over before the cell is filled again.
        self.head.load(Ordering::Acquire)
    }

    /// A newcomer's claim: the path of nearly every push.
    #[inline]
    pub(crate) fn try_claim(&self) -> Result<Claim, Refusal> {
        let mut word = self.word();
        loop {
            if word.has(CLOSED | CONTENDED) {
                return Err(if word.has(CLOSED) { Refusal::Closed } else { Refusal::Contended });
            }
            // The head is loaded after the word. Full at this point means full at that moment: the
            // word can only have moved up since. The head may have run past an outdated word,
            // hence the saturation; then the exchange fails.
            if word.next().saturating_sub(self.head()) >= self.capacity {
                return Err(Refusal::Full);
            }
            match self.exchange(word, word.claimed()) {
                Ok(()) => return Ok(Claim { position: word.next(), consumer_was_asleep: word.has(ASLEEP) }),
                Err(now) => word = now,
            }
        }
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
        // Release: the next claimant, who acquires this word, must see the head that this one saw
        // (see `word`). Acquire: pairs with the Release of `announce_sleep`, so that whoever
        // clears ASLEEP sees the alarm set before it.
        self.tail.compare_exchange_weak(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(Word)
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

    /// Claimed and not yet released by the consumer; never more than the capacity.
    pub(crate) fn len(&self) -> u64 {
        let next = self.word().next();
        next.saturating_sub(self.head())
    }

    /// Refuses every later claim. Atomic with the claims: the position in the word is final.
    pub(crate) fn close(&self) -> Closing {
        let mut word = self.word();
        while !word.has(CLOSED) {
            // Clears ASLEEP as a claim does: whoever clears the bit owes the wake-up, and
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
            // Broken on purpose: what was claimed between the check and here goes unseen.
            self.tail.fetch_or(if idle { ASLEEP } else { 0 }, Ordering::AcqRel);
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
        Word(self.tail.fetch_and(!ASLEEP, Ordering::AcqRel)).has(ASLEEP)
    }

    /// Gives every cell below `next` back to the pushers. Only the consumer calls it. True if
    /// pushers wait, who must then be granted the room.
    pub(crate) fn publish_head(&self, next: u64) -> bool {
        // Release: pairs with the Acquire in `head`: the cells were read before they are refilled.
        self.head.store(next, Ordering::Release);
        // SeqCst: pairs with the fence in `contend`. Of the consumer (stores the head, loads the
        // flag) and the waiter (sets the flag, loads the head), one sees the other's store.
        fence(Ordering::SeqCst);
        Word(self.tail.load(Ordering::Relaxed)).has(CONTENDED)
    }

    /// Turns newcomers away. Only with the lock of the waiting list held, before the room is
    /// measured.
    pub(crate) fn contend(&self) {
        self.tail.fetch_or(CONTENDED, Ordering::AcqRel);
        // SeqCst: pairs with the fence in `publish_head`.
        fence(Ordering::SeqCst);
    }

    /// Lets newcomers claim again. Only with the lock of the waiting list held, when it is empty.
    pub(crate) fn uncontend(&self) {
        self.tail.fetch_and(!CONTENDED, Ordering::AcqRel);
    }

    /// Positions that could be claimed now. Exact from below while `CONTENDED` is set and the lock
    /// of the waiting list is held: then nobody else claims, and the consumer only adds room.
    pub(crate) fn room(&self) -> u64 {
        self.capacity - (self.word().next() - self.head())
    }
}
