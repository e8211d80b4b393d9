//! Who waits for which epoch: the wakers of tasks, by epoch.
//!
//! Epochs are dense and tasks mostly wait in the order in which they wrote, so the wakers lie in a
//! ring, a place for each epoch: leaving one and taking it again cost no search and, in the steady
//! state, no allocation. What does not fit (a second waiter for one epoch, an epoch before the ring's
//! first or far behind its last) lies in a search tree.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

/// A place among the waiting tasks; 0 is none.
pub(crate) type Registration = u64;

/// The most empty places that one waker may add to the ring.
const GAP_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    last_registration: Registration,
    /// The epoch of the ring's first place.
    first: u64,
    ring: VecDeque<Option<(Registration, Waker)>>,
    /// How many places of the ring hold a waker.
    in_ring: usize,
    others: BTreeMap<(u64, Registration), Waker>,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.in_ring + self.others.len()
    }

    /// Leaves `waker` for `epoch`, in place of what `registration` left before, which is returned:
    /// dropping it is foreign code.
    pub(crate) fn insert(&mut self, epoch: u64, registration: &mut Registration, waker: Waker) -> Option<Waker> {
        if *registration != 0 {
            if let Some((_, old)) = self.place(epoch, *registration).and_then(Option::as_mut) {
                return Some(std::mem::replace(old, waker));
            }
            return self.others.insert((epoch, *registration), waker);
        }
        self.last_registration += 1;
        *registration = self.last_registration;
        match self.free_place(epoch) {
            Some(place) => {
                *place = Some((*registration, waker));
                self.in_ring += 1;
                None
            }
            None => self.others.insert((epoch, *registration), waker),
        }
    }

    /// Takes one waker back, if it is still there.
    pub(crate) fn remove(&mut self, epoch: u64, registration: Registration) -> Option<Waker> {
        if let Some(place) = self.place(epoch, registration) {
            let (_, waker) = place.take()?;
            self.in_ring -= 1;
            return Some(waker);
        }
        self.others.remove(&(epoch, registration))
    }

    /// Takes the wakers of every epoch up to `target`.
    pub(crate) fn take_through(&mut self, target: u64) -> Vec<Waker> {
        let places = usize::try_from((target + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut taken = Vec::with_capacity(self.in_ring.min(places));
        while let Some(entry) = self.others.first_entry()
            && entry.key().0 <= target
        {
            taken.push(entry.remove());
        }
        while self.in_ring > 0 && self.first <= target {
            if let Some((_, waker)) = self.ring.pop_front().flatten() {
                self.in_ring -= 1;
                taken.push(waker);
            }
            self.first += 1;
        }
        taken
    }

    /// Where `registration` left its waker, if that is in the ring.
    fn place(&mut self, epoch: u64, registration: Registration) -> Option<&mut Option<(Registration, Waker)>> {
        let index = usize::try_from(epoch.checked_sub(self.first)?).ok()?;
        self.ring.get_mut(index).filter(|place| place.as_ref().is_some_and(|(owner, _)| *owner == registration))
    }

    /// The ring's place for `epoch`, if there is one and it is free.
    fn free_place(&mut self, epoch: u64) -> Option<&mut Option<(Registration, Waker)>> {
        if self.in_ring == 0 {
            self.ring.clear();
            self.first = epoch;
        }
        let index = usize::try_from(epoch.checked_sub(self.first)?).ok()?;
        if index >= self.ring.len() {
            if index - self.ring.len() > GAP_MAX {
                return None;
            }
            // One, most of the time.
            while self.ring.len() <= index {
                self.ring.push_back(None);
            }
        }
        self.ring.get_mut(index).filter(|place| place.is_none())
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    struct Numbered(usize, Arc<AtomicUsize>);

    impl Wake for Numbered {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0, Ordering::Relaxed);
        }
    }

    /// Which waker this is: it says so when called.
    fn number_of(waker: Waker, last: &AtomicUsize) -> usize {
        waker.wake();
        last.load(Ordering::Relaxed)
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// A new waiter for an epoch so far above what is settled.
        Insert(u64),
        /// The waiter with this number, if there is one, changes its waker.
        Change(prop::sample::Index),
        Remove(prop::sample::Index),
        /// Settles so many epochs.
        Take(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => prop_oneof![8 => 1_u64..12, 1 => 1_u64..5000].prop_map(Op::Insert),
            1 => any::<prop::sample::Index>().prop_map(Op::Change),
            2 => any::<prop::sample::Index>().prop_map(Op::Remove),
            2 => prop_oneof![4 => 0_u64..8, 1 => 0_u64..4000].prop_map(Op::Take),
        ]
    }

    proptest! {
        #[test]
        fn each_waker_is_taken_once_when_its_epoch_is_settled(ops in prop::collection::vec(op(), 0..120)) {
            let last = Arc::new(AtomicUsize::new(0));
            let mut wakers = 0;
            let mut new_waker = || {
                wakers += 1;
                (wakers, Waker::from(Arc::new(Numbered(wakers, Arc::clone(&last)))))
            };
            let mut waiting = Waiting::default();
            let mut model: Vec<(u64, Registration, usize)> = Vec::new();
            let mut settled = 0;
            for op in ops {
                match op {
                    Op::Insert(above) => {
                        let (number, waker) = new_waker();
                        let mut registration = 0;
                        prop_assert!(waiting.insert(settled + above, &mut registration, waker).is_none());
                        prop_assert!(model.iter().all(|waiter| waiter.1 != registration));
                        model.push((settled + above, registration, number));
                    }
                    Op::Change(_) | Op::Remove(_) if model.is_empty() => {}
                    Op::Change(index) => {
                        let (number, waker) = new_waker();
                        let waiter = index.index(model.len());
                        let (epoch, mut registration, old) = model[waiter];
                        let replaced = waiting.insert(epoch, &mut registration, waker).expect("it waits");
                        prop_assert_eq!(number_of(replaced, &last), old);
                        model[waiter].2 = number;
                    }
                    Op::Remove(index) => {
                        let (epoch, registration, old) = model.swap_remove(index.index(model.len()));
                        let removed = waiting.remove(epoch, registration).expect("it waits");
                        prop_assert_eq!(number_of(removed, &last), old);
                        prop_assert!(waiting.remove(epoch, registration).is_none(), "it is gone");
                    }
                    Op::Take(epochs) => {
                        settled += epochs;
                        let taken = waiting.take_through(settled);
                        let mut taken: Vec<_> = taken.into_iter().map(|waker| number_of(waker, &last)).collect();
                        taken.sort_unstable();
                        let (due, left): (Vec<_>, Vec<_>) = model.into_iter().partition(|waiter| waiter.0 <= settled);
                        let mut due: Vec<_> = due.into_iter().map(|waiter| waiter.2).collect();
                        due.sort_unstable();
                        prop_assert_eq!(taken, due);
                        model = left;
                    }
                }
                prop_assert_eq!(waiting.len(), model.len());
                prop_assert!(waiting.ring.len() <= 8192, "the ring grows without bound");
            }
        }
    }
}
