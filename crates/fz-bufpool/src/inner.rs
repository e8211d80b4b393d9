//! A pool's state, and the algorithm over it.
//!
//! # The idea: a claimed bit is a reference
//!
//! All buffers of a pool lie in one arena; a bitmap has a bit for each, 1 = free. To allocate is to clear bits with one
//! exchange of one word, to release is to set them with one addition. There is no counter, list or reference count that
//! every allocation would have to write: a pool lives while it has a handle or a clear bit.
//!
//! ```text
//!  BufPool ──►          ┌── Inner ─────────────┐      ┌── WaitList (never freed) ────────────┐
//!  AllocateFuture ─►    │ bitmap, arena,       │ ───► │ attention                            │
//!  Allocation ───────►  │ number of handles    │ ◄─── │ lease: Mutex { id, inner, run tree,  │
//!                       └──────────────────────┘      │   line of waiters, … }               │
//!                                                     └──────────────────────────────────────┘
//! ```
//!
//! The difficulty is the releaser. The moment its bits are set, another thread may find that all are free and no handle
//! is left, and free the pool. So setting the last word's bits is the releaser's last access to `Inner`; all else it
//! has to know (whether requests wait, or the pool awaits its end) stands in the *wait list*, which is never freed.
//!
//! # The roles
//!
//! - A **claimer** that sees no `attention` claims within one word, without a lock: the word of its last claim, or one
//!   of the 15 after it. If it finds nothing there, if it wants more than a word's 64 buffers, or if there is
//!   attention, it takes the list's lock: behind a line it joins the line (or is refused); else it asks the run tree,
//!   and claims, joins or is refused.
//! - The **run tree** says, for each part of the pool, how many free buffers there may be in a row: never fewer than
//!   there are. A search that meets a word which the tree rated too high raises the attention, *tracks* the word and
//!   its siblings (the tree then has their true values), and goes on.
//! - A **releaser** reads the attention, sets its bits, and reads the attention again. If there is some, or if it has
//!   changed, the releaser takes the lock and *attends*: it corrects the tree, serves the line from the head as far as
//!   it goes, claiming on the waiters' behalf (a hand-off: no other claimer can take the buffers before the waiter
//!   runs), and wakes them after the lock. Or it ends the pool. If one of its words is tracked, it takes the lock first
//!   and sets its bits under it.
//! - A waiter that **joined** calls the alarms of the holders of memory (`PoolLine`), after the lock. A holder puts its
//!   memory where the alarm finds it, then looks for attention. As in 3 below: either the holder sees the attention, or
//!   the alarm, called after it was raised, sees the memory.
//! - A waiter that **leaves** (timeout, dropped future) attends too: the next one may want less. If it was served just
//!   before, it owns an allocation, and drops it like any other.
//! - The **last handle** marks the pool an orphan, raises attention for good, and attends.
//! - In a **copy that `fork(2)` made** the lock may be held by a thread that does not exist. No operation takes it
//!   there: requests that would wait are refused, and nothing is served, ended or freed.
//!
//! # Why it is right
//!
//! 1. *No buffer has two owners.* Only an exchange that finds all of a run's bits of a word set clears them. A run
//!    across words is claimed word by word and rolled back if one fails.
//! 2. *A new owner comes after the last.* The release is a release, the claim an acquire of the same word, and every
//!    write to a word is a read-modify-write, so that its releases form one release sequence.
//! 3. *No wake-up is lost.* Releaser: set bits; read attention. Waiter, under the lock: raise attention; read bits. All
//!    four are `SeqCst`, so either the waiter's search sees the bits, or the releaser sees the attention, takes the
//!    lock, and finds the waiter in line.
//! 4. *The tree's bounds hold,* but for releases that have yet to attend. A bound falls only when a word is tracked (or
//!    was before), under raised attention. A releaser that saw the word untracked reads the attention unchanged, so no
//!    search lies between its two reads of it: either the search was over before the first, and then the releaser saw
//!    that the word was tracked; or it began after the second, and by 3 it sees the bits. Otherwise the releaser
//!    attends. A word becomes untracked after its bound has been raised to all of its buffers. The one word that is
//!    `uncorrected` is corrected before each search.
//! 5. *The head of the line waits only while no run is free for it.* By 4, only a run with a buffer whose releaser has
//!    yet to attend can serve it. Two releasers that each have half of a run attend one after the other, and the second
//!    sees both.
//! 6. *No request passes.* With attention raised claims need the lock, and under the lock only the head is served.
//!    Buffers released while the head waits add up, however large its request. A claimer that read attention just
//!    before it was raised may finish its one claim: each thread passes once at most.
//! 7. *A refusal is right.* By 4, at the instant of the search no run was free but with buffers whose release had not
//!    returned, and those count as released after.
//! 8. *The pool is freed once, and after everything.* Ending it takes the lock, no handle, and all bits set. Reading
//!    all bits set acquires every release (by 2), hence all that the releasers did to `Inner` before. By the argument
//!    of 3 the last releaser or the last handle finds it so. A releaser that comes later finds another lease, or none,
//!    and goes; ids are never reused.
//! 9. *`Inner` is there for a thread that attends.* Under the lock, the lease with the releaser's id says so: the
//!    pool's end removes the lease under the same lock, and frees after.
//!
//! # Cost
//!
//! A search visits at most 8 nodes per level of the tree on its way up and as many on its way down; over 2^23 buffers
//! there are six levels. Each word that misled it costs one more correction of the tree, and was released without the
//! lock since the last (or never corrected: the first search of a pool in use corrects all). So hand-off, refusal and
//! claim cost the same in a pool of any size (`cost_tests.rs`).
//!
//! # Locks
//!
//! There is one lock per pool, its wait list's. Under it no user code runs (wakers are cloned before, woken and dropped
//! after; alarms are called after) and no other lock is taken.

mod search;

use std::ptr::NonNull;
use std::sync::Weak;
use std::task::Waker;

use fz_process::foreign;

use crate::arena::Arena;
use crate::bitmap::{self, Bitmap, WORD_BUFFERS};
use crate::cursor;
use crate::run_tree::RunTree;
use crate::sync::{Arc, AtomicUsize, Ordering, Probe};
use crate::wait_list::{Alarm, Entry, Grant, InnerPointer, Lease, WaitList, Wake};
use crate::{BufPoolError, BufPoolErrorKind, PoolLine};

/// How many waiters are served before the lock is released to wake them.
const WAKES_MAX: usize = 16;

/// Alive while there is a handle, a claimed buffer, or a request in line; freed by [`Inner::free`] alone.
#[derive(Debug)]
pub(crate) struct Inner {
    list: &'static WaitList,
    id: u64,
    pub(crate) bitmap: Bitmap,
    pub(crate) arena: Arena,
    pub(crate) module_id: u8,
    /// The most buffers of a request.
    pub(crate) request_max: u32,
    /// `BufPool`s of this pool.
    pub(crate) handles: AtomicUsize,
    /// Read by every use of this struct, written by its end: loom sees whether they race.
    probe: Probe,
    /// Stands for each buffer's bytes.
    buffer_probes: Box<[Probe]>,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Inner>();
};

/// A run of buffers with one owner. Made here only, neither copied nor cloned, and used up by the
/// [`Allocation`](crate::Allocation) that it becomes; dropped, its buffers are in use for ever.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim {
    first: u32,
    count: u32,
}

impl Claim {
    /// The first buffer, and how many there are.
    #[inline]
    pub(crate) fn into_run(self) -> (u32, u32) {
        (self.first, self.count)
    }
}

/// A place in line, to be served or left.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    count: u32,
    grant: Arc<Grant>,
}

impl Place {
    /// The run, once it was handed over.
    pub(crate) fn granted(&self) -> Option<Claim> {
        self.grant.take().map(|first| Claim { first, count: self.count })
    }
}

/// Refused, because this process is a copy that `fork(2)` made of the pool's.
#[derive(Debug)]
pub(crate) struct Forked;

/// The alarms to call for a request that has to wait.
type Alarms = Vec<std::sync::Arc<Alarm>>;

/// The outcome of a request that may wait.
#[derive(Debug)]
pub(crate) enum Joined {
    Served(Claim),
    InLine(Place),
}

/// Waiters that were served and must be woken, without the lock: wakers are foreign code.
#[derive(Default)]
struct Wakes {
    list: [Option<Wake>; WAKES_MAX],
    len: usize,
}

impl Wakes {
    fn push(&mut self, wake: Wake) {
        self.list[self.len] = Some(wake);
        self.len += 1;
    }

    fn is_full(&self) -> bool {
        self.len == WAKES_MAX
    }

    fn wake_all(self) {
        self.list.into_iter().flatten().for_each(Wake::wake);
    }
}

/// Buffers of which the releaser, or a waiter that leaves, takes the lock.
#[derive(Clone, Copy, Debug)]
struct Freed {
    first: u32,
    /// None, if there are no buffers.
    count: u32,
    /// Whether their bits have yet to be set.
    is_pending: bool,
}

impl Freed {
    const NONE: Self = Self { first: 0, count: 0, is_pending: false };
}

/// Room for one value on the heap, or `None` if there is no memory for it.
pub(crate) fn try_reserve<T>() -> Option<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(1).ok()?;
    Some(room)
}

/// `value` in its `room`, for ever.
pub(crate) fn leak<T>(mut room: Vec<T>, value: T) -> &'static mut T {
    room.push(value);
    Box::leak(room.into_boxed_slice()).first_mut().expect("it was pushed")
}

impl Inner {
    /// A pool of nothing but free buffers, for its first handle to hold; `None` if there is no memory for it.
    pub(crate) fn allocate(arena: Arena, capacity: u32, request_max: u32, module_id: u8) -> Option<NonNull<Self>> {
        static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        // Relaxed: ids need to differ, and order nothing. At one pool a nanosecond they last 584 years.
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (bitmap, runs) = (Bitmap::new(capacity)?, RunTree::new(capacity)?);
        let probes = if cfg!(fz_loom) { capacity } else { 0 };
        let buffer_probes = (0..probes).map(|_| Probe::default()).collect();
        let room = try_reserve()?;
        let list = WaitList::rent()?;
        let handles = AtomicUsize::new(1);
        let probe = Probe::default();
        let inner = Self { list, id, bitmap, arena, module_id, request_max, handles, probe, buffer_probes };
        let inner = NonNull::from(leak(room, inner));
        let lease = Lease::new(id, InnerPointer(inner), runs);
        let former = list.lock().expect("a list is rented in the process that made it").replace(lease);
        assert!(former.is_none(), "a vacant list has no lease");
        Some(inner)
    }

    /// Claims `count` buffers unless requests wait or the buffers are hard to find. No lock.
    #[inline]
    pub(crate) fn claim_quickly(&self, count: u32) -> Option<Claim> {
        self.probe.read();
        if count > WORD_BUFFERS || self.list.has_line() {
            return None;
        }
        let near = cursor::get(self.id, self.bitmap.words());
        let first = self.bitmap.claim_nearby(near, count)?;
        cursor::set(self.id, first / WORD_BUFFERS);
        Some(Claim { first, count })
    }

    /// Claims `count` buffers wherever they are, if no request waits. The refusal is exact.
    #[cold]
    pub(crate) fn claim_now(&self, operation: &'static str, count: u32) -> Result<Claim, BufPoolError> {
        let refused = |kind| BufPoolError::new(self.module_id, operation, kind);
        let Some(mut guard) = self.list.lock() else { return Err(refused(BufPoolErrorKind::ForkedProcess)) };
        let lease = self.expect_mine(&mut guard);
        let (wanted, capacity) = (count as usize, self.bitmap.capacity() as usize);
        let kind = if lease.line.is_empty() {
            let claimed = self.claim_anywhere(lease, count);
            self.list.lower_attention();
            if let Some(claim) = claimed {
                return Ok(claim);
            }
            BufPoolErrorKind::Exhausted { count: wanted, capacity }
        } else {
            BufPoolErrorKind::RequestsWaiting { count: wanted, capacity }
        };
        let is_same = |known: &BufPoolError| known.operation() == operation && *known.kind() == kind;
        Err(lease.refusal(count, is_same, || refused(kind.clone())))
    }

    /// Claims `count` buffers, or joins the line for them and calls the holders of some.
    #[cold]
    pub(crate) fn claim_or_join(&self, count: u32, wake: Wake) -> Result<Joined, Forked> {
        let joined = self.try_join(count, wake);
        match joined {
            Ok((Joined::InLine(place), alarms)) => {
                for alarm in alarms {
                    // Foreign code, and so is its drop if it is the last of its kind. A panic would leave our entry in
                    // line, and no thread to take the buffers that it is served.
                    let _ = foreign::call(move || alarm());
                }
                Ok(Joined::InLine(place))
            }
            Ok((served, _)) => Ok(served),
            Err(wake) => {
                foreign::discard(wake);
                Err(Forked)
            }
        }
    }

    /// The part of it under the lock: also the alarms to call. `Err` if the lock is not to be taken.
    fn try_join(&self, count: u32, wake: Wake) -> Result<(Joined, Alarms), Wake> {
        let Some(mut guard) = self.list.lock() else { return Err(wake) };
        let lease = self.expect_mine(&mut guard);
        if lease.line.is_empty() {
            if let Some(claim) = self.claim_anywhere(lease, count) {
                self.list.lower_attention();
                drop(guard);
                // Foreign code, too, may run when a waker is dropped, and panic: the claim must not be lost.
                foreign::discard(wake);
                return Ok((Joined::Served(claim), Vec::new()));
            }
            self.list.raise_attention();
        }
        let grant = Arc::new(Grant::new());
        let number = lease.next_place;
        lease.next_place += 1;
        lease.waits += 1;
        lease.line.insert(number, Entry { count, grant: Arc::clone(&grant), wake });
        let alarms = lease.alarms.iter().filter_map(Weak::upgrade).collect();
        Ok((Joined::InLine(Place { number, count, grant }), alarms))
    }

    /// Tells the waiter in `place` by `waker` from now on; `Some` if it has been served already.
    pub(crate) fn rewake(&self, place: &Place, waker: &Waker) -> Result<Option<Claim>, Forked> {
        let is_known = {
            let mut guard = self.list.lock().ok_or(Forked)?;
            let entry = self.expect_mine(&mut guard).line.get(&place.number);
            entry.is_some_and(|entry| entry.wake.will_wake(waker))
        };
        if is_known {
            return Ok(None);
        }
        // Foreign code, so not under the lock. If it panics, the caller's own waker has failed the caller's own poll.
        let wake = Wake::Task(waker.clone());
        let replaced = {
            let mut guard = self.list.lock().ok_or(Forked)?;
            match self.expect_mine(&mut guard).line.get_mut(&place.number) {
                None => Err(wake),
                Some(entry) => Ok(std::mem::replace(&mut entry.wake, wake)),
            }
        };
        let is_served = replaced.is_err();
        // Foreign code, too, may run when a waker is dropped.
        foreign::discard(replaced);
        Ok(is_served.then(|| place.granted().expect("a request that left the line was served")))
    }

    /// Leaves the line, unless it has been served already: then the claim is the caller's to release. In a copy that
    /// `fork(2)` made there is no line to leave.
    pub(crate) fn leave(&self, place: &Place) -> Option<Claim> {
        let mut guard = self.list.lock()?;
        let left = self.expect_mine(&mut guard).line.remove(&place.number);
        drop(guard);
        let Some(entry) = left else {
            return Some(place.granted().expect("a request that left the line was served"));
        };
        // The next in line may want less, and no releaser will look for it.
        attend(self.list, self.id, Freed::NONE);
        foreign::discard(entry);
        None
    }

    /// Waiters now, and ever; none in a copy that `fork(2)` made.
    pub(crate) fn line_stats(&self) -> (usize, u64) {
        let Some(mut guard) = self.list.lock() else { return (0, 0) };
        let lease = self.expect_mine(&mut guard);
        (lease.line.len(), lease.waits)
    }

    fn expect_mine<'guard>(&self, lease: &'guard mut Option<Lease>) -> &'guard mut Lease {
        self.probe.read();
        let lease = lease.as_mut().expect("a pool with handles has its list");
        assert_eq!(lease.id, self.id, "a pool with handles has its list");
        lease
    }

    /// Whether this process is a copy that `fork(2)` made of the pool's.
    #[cold]
    pub(crate) fn is_forked(&self) -> bool {
        self.list.is_forked()
    }

    /// Called before the bytes of a claimed run are read or written.
    #[inline(always)]
    pub(crate) fn touch(&self, first: u32, count: u32, write: bool) {
        if cfg!(fz_loom) {
            self.probe.read();
            for probe in &self.buffer_probes[first as usize..(first + count) as usize] {
                if write {
                    probe.write();
                } else {
                    probe.read();
                }
            }
        }
    }

    /// Serves the line as far as it goes: the request behind never before the one in front.
    fn serve(&self, lease: &mut Lease, mut freed: Freed, wakes: &mut Wakes) {
        let released = freed;
        let mut is_loosened = false;
        while !wakes.is_full() {
            let Some(head) = lease.line.first_entry() else {
                // A pool that awaits its end keeps the attention of its last releasers.
                if lease.orphan_from.is_none() {
                    self.list.lower_attention();
                }
                break;
            };
            let count = head.get().count;
            // The released buffers themselves serve most requests: then there is no search, and the tree stays true.
            let first = if freed.count >= count && self.bitmap.claim_run(freed.first, count) {
                let first = freed.first;
                (freed.first, freed.count) = (first + count, freed.count - count);
                Some(first)
            } else {
                if !is_loosened {
                    self.loosen(lease, released);
                    is_loosened = true;
                }
                self.search(lease, 0, count)
            };
            let Some(first) = first else { break };
            let served = lease.line.pop_first().expect("it was there just now").1;
            served.grant.give(first);
            wakes.push(served.wake);
            if fz_error::mutants::active("wake_one_waiter_only") {
                break;
            }
        }
        if !is_loosened {
            self.loosen(lease, released);
        }
    }

    /// The pool's last handle is gone: its memory goes with the last buffer, now or later. In a copy that `fork(2)`
    /// made it stays.
    ///
    /// # Safety
    /// `inner` came from [`allocate`](Self::allocate), and there is no handle and no request in line any more.
    pub(crate) unsafe fn orphan(inner: NonNull<Self>) {
        // SAFETY: until `orphan_from` is set below, no thread ends the pool.
        let (list, id) = unsafe { inner.as_ref() }.list_and_id();
        {
            let Some(mut guard) = list.lock() else { return };
            let lease = guard.as_mut().expect("a pool has its list until its end");
            assert!(lease.line.is_empty(), "a request in line holds a handle");
            lease.orphan_from = Some(0);
            list.announce_end();
        }
        attend(list, id, Freed::NONE);
    }

    /// The line as holders of this pool's memory see it.
    #[inline]
    pub(crate) fn public_line(&self) -> PoolLine {
        let (list, id) = self.list_and_id();
        PoolLine::new(list, id)
    }

    #[inline]
    fn list_and_id(&self) -> (&'static WaitList, u64) {
        self.probe.read();
        (self.list, self.id)
    }

    /// Ends the lease if no buffer is in use: the caller is to free the pool, and to drop the lease without the lock.
    fn end_if_unused(&self, list: &'static WaitList, lease: &mut Option<Lease>) -> Option<Lease> {
        let lease_now = lease.as_mut()?;
        let from = lease_now.orphan_from?;
        // Without handles no thread claims, so words once free stay free: all looks together are one pass.
        lease_now.orphan_from = self.bitmap.first_used_word(from);
        if lease_now.orphan_from.is_some() {
            return None;
        }
        list.lower_attention();
        lease.take()
    }

    /// Frees a pool whose lease has ended.
    ///
    /// # Safety
    /// [`end_if_unused`](Self::end_if_unused) said so, to this caller.
    unsafe fn free(inner: NonNull<Self>) {
        if cfg!(fz_loom) {
            // SAFETY: no other thread knows the pool any more.
            let inner = unsafe { inner.as_ref() };
            inner.touch(0, inner.bitmap.capacity(), true);
            inner.probe.write();
            // Left in place, so that loom reports a late access rather than the machine.
            return;
        }
        let leaked = NonNull::slice_from_raw_parts(inner, 1);
        // SAFETY: `leak` made it, a slice of one, and no other thread knows it any more.
        drop(unsafe { Box::from_raw(leaked.as_ptr()) });
    }
}

/// Releases buffers `first..first + count` of `inner` and serves the requests that they may serve.
///
/// # Safety
/// The buffers are claimed, the claim is the caller's, and neither they nor the claim are used any more.
#[inline]
pub(crate) unsafe fn release(inner: NonNull<Inner>, first: u32, count: u32) {
    // SAFETY: the claim keeps the pool alive until `set_free` below. (`this` is no parameter, so nothing says that it
    // must be valid until this function returns.)
    let this = unsafe { inner.as_ref() };
    let (list, id) = this.list_and_id();
    let attention = list.before_release();
    let needs_lock = this.bitmap.is_tracked(first, count) && !list.is_forked();
    if needs_lock && !fz_error::mutants::active("pool_forgets_tracked_words") {
        return attend(list, id, Freed { first, count, is_pending: true });
    }
    let (word, mask) = this.bitmap.release_all_but_last(first, count);
    let before = bitmap::set_free(word, mask);
    // From here on the pool may be gone: only the wait list is sure to be there.
    bitmap::check_released(before, mask);
    if list.wants_releaser(attention) && !fz_error::mutants::active("pool_loses_wakeup") {
        attend(list, id, Freed { first, count, is_pending: false });
    }
}

/// Serves the line of pool `id`, or ends the pool, as far as its state calls for it.
#[cold]
fn attend(list: &'static WaitList, id: u64, mut freed: Freed) {
    loop {
        let mut wakes = Wakes::default();
        let ended = {
            // In a copy that `fork(2)` made no request is served, and the memory stays for the process's end.
            let Some(mut guard) = list.lock() else { break };
            let Some(lease) = guard.as_mut().filter(|lease| lease.id == id) else {
                // Another releaser came first and ended the pool.
                break;
            };
            let inner = lease.inner.0;
            // SAFETY: a pool is ended under the lock, which we hold, and takes its lease with it.
            let this = unsafe { inner.as_ref() };
            this.probe.read();
            if std::mem::take(&mut freed.is_pending) {
                let (word, mask) = this.bitmap.release_all_but_last(freed.first, freed.count);
                bitmap::check_released(bitmap::set_free(word, mask), mask);
            }
            this.serve(lease, std::mem::replace(&mut freed, Freed::NONE), &mut wakes);
            this.end_if_unused(list, &mut guard).map(|lease| (inner, lease))
        };
        if let Some((inner, lease)) = ended {
            drop(lease);
            // SAFETY: `end_if_unused` said so.
            unsafe { Inner::free(inner) };
            list.vacate();
            break;
        }
        let may_be_more = wakes.is_full();
        wakes.wake_all();
        if !may_be_more {
            break;
        }
    }
}
