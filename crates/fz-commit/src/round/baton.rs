//! Which thread leads the next round, and whether a round is wanted: one word.
//!
//! A round (write, sync, publish) has one *leader*. The baton is in one of three states:
//!
//! | state | meaning | an arriving waiter |
//! |---|---|---|
//! | free | no round runs and none is wanted | a thread takes the baton and leads; a task hands it to the flusher thread |
//! | led | a thread runs a round | marks the round after it as wanted |
//! | handed | the flusher thread leads the next round, when enough waiters are gathered | is counted; the one that completes the gather rings, or leads if it [may](MayLead::Gathered) |
//!
//! # No waiter is forgotten
//!
//! An arrival is one read-modify-write of the word, made after the waiter's work was accepted.
//!
//! - In the state *free* it leaves that state, so a round begins after it.
//! - In the state *handed* a round begins after it: the flusher thread leaves the state only by beginning one, or by
//!   [`relinquish`](Baton::relinquish), which fails if anything arrived.
//! - In the state *led* it sets `WANTED`. Either the leader's [`begin`](Baton::begin) follows, clears the mark and
//!   acquires what the waiter accepted, so that this round covers it; or the leader's [`end`](Baton::end) finds the
//!   mark and hands the baton to the flusher thread, so that the round after it does.
//!
//! The same word counts the arrivals, so that a waiter changes one word, and the arrival that completes a gather is the
//! one whose count equals the plan's.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering};

/// A thread runs a round.
const LED: u64 = 1 << 0;
/// The flusher thread leads the next round.
const HANDED: u64 = 1 << 1;
/// Beside `LED`: an arrival came that this round may not cover.
const WANTED: u64 = 1 << 2;
/// Beside `LED` or `HANDED`: a round was demanded, which begins without a gather. It stands until one begins.
const DEMANDED: u64 = 1 << 3;
const STATE: u64 = LED | HANDED;
const MARKS: u64 = WANTED | DEMANDED;
/// One arrival; the bits from here on count them.
const ARRIVAL: u64 = 1 << 4;

/// What the arriving caller does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an arrival that neither leads nor rings when it must is a lost wake-up"]
pub(crate) enum Arrival {
    /// It holds the baton: it leads a round.
    Lead,
    /// It rings the flusher thread, then waits.
    Ring,
    /// It waits.
    Wait,
}

/// When an arriving caller leads a round itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayLead {
    /// A task, a wait with a time limit, or a thread that was told not to.
    Never,
    /// When no round is wanted: a lone writer.
    Alone,
    /// Also when it completes a gather.
    Gathered,
}

/// What the flusher thread finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PickUp {
    /// It holds the baton: it leads a round.
    Lead,
    /// The gather goes on.
    Gathering,
    /// Another thread leads.
    Led,
    /// No round is wanted.
    Free,
}

/// `arrivals << 4 | marks | state`.
#[derive(Debug)]
pub(crate) struct Baton(AtomicU64);

impl Baton {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Changes the word to what `next` returns for it; returns the old word, or `None` if `next` did.
    #[inline]
    fn change(&self, next: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        // Release: a thread that reads this value sees what the caller did before: what an arrival accepted, what a
        // leader wrote and planned. Acquire: pairs with that Release of every earlier change, which each later one
        // passes on, being a read-modify-write; of a failed attempt too, since `next` looks at the plan.
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()
    }

    /// A caller begins to wait for work that was accepted before, and may lead as `lead` says. `complete_at` is asked
    /// for the count that completes the gather of the last plan.
    pub(crate) fn arrive(&self, lead: MayLead, complete_at: impl Fn() -> u64) -> Arrival {
        // What the last attempt decided, which is the one that changed the word.
        let decided = Cell::new(Arrival::Wait);
        let _ = self.change(|now| {
            // Equal: one arrival of a gather completes it.
            let is_complete = || now / ARRIVAL + 1 == complete_at();
            let (entered, arrival) = match now & STATE {
                0 if lead != MayLead::Never => (now | LED, Arrival::Lead),
                0 => (now | HANDED, Arrival::Ring),
                LED => (now | WANTED, Arrival::Wait),
                _ if !is_complete() => (now, Arrival::Wait),
                _ if lead == MayLead::Gathered => ((now & !(STATE | MARKS)) | LED, Arrival::Lead),
                _ => (now, Arrival::Ring),
            };
            decided.set(arrival);
            Some(entered + ARRIVAL)
        });
        decided.get()
    }

    /// Asks for a round that covers all that was accepted before, without waiting for it and without a gather. True if
    /// the caller must ring the flusher thread.
    #[must_use]
    pub(crate) fn demand(&self) -> bool {
        let before = self.change(|now| Some(if now & STATE == 0 { now | HANDED | DEMANDED } else { now | DEMANDED }));
        // Beside `DEMANDED` it was rung already; beside `LED` the leader hands the baton over.
        before.unwrap_or_default() & (LED | DEMANDED) == 0
    }

    /// Whether a round was demanded and has not begun.
    pub(crate) fn is_demanded(&self) -> bool {
        // Relaxed: asked by the thread that has just changed the word.
        self.0.load(Ordering::Relaxed) & DEMANDED != 0
    }

    /// Takes the baton if it is free: for the flusher thread, when unawaited work is due.
    pub(crate) fn try_lead(&self) -> bool {
        self.change(|now| (now & STATE == 0).then_some(now | LED)).is_some()
    }

    /// The flusher thread takes a baton that was handed to it, if the gather is complete, ended by a demand, or over
    /// because its time `is_over`.
    pub(crate) fn pick_up(&self, is_over: bool, complete_at: impl Fn() -> u64) -> PickUp {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            match now & STATE {
                0 => return PickUp::Free,
                LED => return PickUp::Led,
                _ if !is_over && now & DEMANDED == 0 && now / ARRIVAL < complete_at() => return PickUp::Gathering,
                _ => {}
            }
            let led = (now & !(HANDED | MARKS)) | LED;
            // As in `change`.
            match self.0.compare_exchange_weak(now, led, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return PickUp::Lead,
                Err(other) => now = other,
            }
        }
    }

    /// The flusher thread lets a gather end without a round, if no caller has arrived but those `taken` by the last
    /// one, and none was demanded. Then the baton is free.
    pub(crate) fn relinquish(&self, taken: u64) -> bool {
        self.change(|now| (now & (STATE | MARKS) == HANDED && now / ARRIVAL == taken).then_some(now & !HANDED))
            .is_some()
    }

    /// The leader, before it takes the accepted work: forgets what was wanted, since this round covers it. Returns how
    /// many callers have arrived.
    pub(crate) fn begin(&self) -> u64 {
        self.change(|now| Some(now & !MARKS)).unwrap_or_default() / ARRIVAL
    }

    /// The leader ends its round: hands the baton to the flusher thread if another round is wanted, or if `is_handed`;
    /// else the baton is free. Returns whether it was handed, and how many callers have arrived.
    pub(crate) fn end(&self, is_handed: bool) -> (bool, u64) {
        let is_handed = |now: u64| is_handed || now & MARKS != 0;
        let before = self.change(|now| {
            // A demand stands on: else the gather of this round's plan could end without a round.
            let kept = if fz_error::mutants::active("a_demand_ends_with_the_round") { 0 } else { now & DEMANDED };
            Some((now & !(LED | MARKS)) | if is_handed(now) { HANDED | kept } else { 0 })
        });
        let before = before.unwrap_or_default();
        (is_handed(before), before / ARRIVAL)
    }

    /// Whether a thread leads a round.
    pub(crate) fn is_led(&self) -> bool {
        // Acquire: pairs with the Release of the `end` that is seen, which comes before its leader's wake-up.
        self.0.load(Ordering::Acquire) & STATE == LED
    }

    /// Whether a thread leads a round: if so, its `end` acquires what this thread did before.
    pub(crate) fn confirm_led(&self) -> bool {
        self.change(Some).unwrap_or_default() & STATE == LED
    }

    /// How many callers have arrived.
    pub(crate) fn arrivals(&self) -> u64 {
        // Relaxed: a count for the plan, that orders nothing.
        self.0.load(Ordering::Relaxed) / ARRIVAL
    }
}
