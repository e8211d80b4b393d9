//! A pool's state, and the algorithm over it.
//!
//! # The idea: a claimed bit is a reference
//!
//! All buffers of a pool lie in one arena; a bitmap has a bit for each, 1 = free. To allocate is to
//! clear bits with one exchange of one word, to release is to set them with one addition. There is
//! no counter, list or reference count that every allocation would have to write: a pool lives while it has a
//! handle or a clear bit.
//!
//! ```text
//!  BufPool ──► Handle ──┐                                   ┌── Lot (never freed) ──────────────┐
//!  BufPool ──►          ├──► Inner { bitmap, arena, lot } ──►  attention: bool                   │
//!  AllocateFuture ─►    │                             ◄─────── tenant: Mutex { id, inner,        │
//!  Allocation ──────────┘                                   │    line of waiters, … }            │
//!                                                           └───────────────────────────────────┘
//! ```
//!
//! The difficulty is the releaser. The moment its bits are set, another thread may find that all
//! are free and no handle is left, and free the pool. So setting the last word's bits is the
//! releaser's last access to `Inner`; what else it has to know, whether somebody waits or the pool awaits its end,
//! stands in the *lot*, which is never freed, only let to another pool later.
//!
//! # Who does what
//!
//! - A **claimer** that sees no `attention` claims within one word, without a lock. If it finds
//!   nothing, if it wants more than a word's 32 buffers, or if there is attention, it takes the lot's lock:
//!   behind a line it joins the line (or is refused); else it raises attention, looks over the
//!   whole bitmap for a run across words, and claims, joins or is refused.
//! - A **releaser** sets its bits, then looks for attention. If there is, it takes the lock and
//!   *attends*: it serves the line from the head as far as it goes, claiming on the waiters' behalf (a hand-off:
//!   nobody can snatch the buffers before the waiter runs), and wakes them after the lock. Or it ends the pool.
//! - A waiter that **joined** calls the alarms of those who hold memory for as long as nobody wants it (`PoolLine`),
//!   after the lock. A holder puts its memory where the alarm finds it, then looks for attention. As in 3 below: either
//!   the holder sees the attention, or the alarm, called after it was raised, sees the memory.
//! - A waiter that **leaves** (timeout, dropped future) attends too: the next one may want less. If it was served
//!   just before, it owns an allocation, and drops it like any other.
//! - The **last handle** marks the pool an orphan, raises attention for good, and attends.
//!
//! # Why it is right
//!
//! 1. *No buffer has two owners.* Only an exchange that finds all of a run's bits of a word set
//!    clears them. A run across words is claimed word by word and rolled back if one fails.
//! 2. *A new owner comes after the last.* The release is a release, the claim an acquire of the
//!    same word, and every write to a word is a read-modify-write, so that its releases form one release sequence.
//! 3. *No wake-up is lost.* Releaser: set bits; read attention. Waiter, under the lock: raise
//!    attention; read bits. All four are `SeqCst`, so either the waiter's scan sees the bits, or the releaser
//!    sees the attention, comes for the lock, and finds the waiter in line.
//! 4. *The head of the line waits only while no run is free for it.* After a scan of the whole
//!    bitmap without success, only a run with a buffer released later can serve it. That releaser
//!    attends, by 3, and searches around its own buffers; two releasers that each have half of a run attend one
//!    after the other, and the second sees both. A scan that saw a run and lost it to a claimer is repeated.
//! 5. *Nobody passes.* With attention raised claims need the lock, and under the lock only the
//!    head is served. What is released while the head waits adds up, however large its request. A claimer that
//!    read attention just before it was raised may finish its one claim: each thread passes once at most.
//! 6. *A refusal is right.* It comes from a scan under raised attention and the lock. Claims that
//!    the scan saw and that began before count as made before it. A release that it did not see, and that did not
//!    precede it, finds attention and cannot return before the scan is over: it counts as made after. So there is an
//!    instant in the call at which no run was free, in an order that no thread can tell from what happened.
//! 7. *The pool is freed once, and after everything.* Ending it takes the lock, no handle, and all
//!    bits set. Reading all bits set acquires every release (by 2), hence whatever the releasers did to `Inner` before.
//!    By the argument of 3 the last releaser or the last handle finds it so. A releaser that comes later finds another
//!    tenant, or none, and goes; ids are never reused.
//! 8. *`Inner` is there for whoever attends.* Under the lock, the tenant with the releaser's id
//!    says so: the pool's end removes the tenant under the same lock, and frees after.
//!
//! # Locks
//!
//! There is one lock per pool, its lot's. Under it no user code runs (wakers are cloned before, woken and
//! dropped after; alarms are called after) and no other lock is taken; the list of vacant lots has a lock of its own,
//! never held together with one.

use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::PoolLine;
use crate::arena::Arena;
use crate::bitmap::{self, Bitmap, WORD_BUFFERS};
use crate::cursor;
use crate::lot::{Entry, Grant, InnerPointer, Lot, Tenant, Wake};
use crate::sync::{Arc, Probe};

/// How many waiters are served before the lock is given up to wake them.
const WAKES_MAX: usize = 16;

/// Alive while there is a handle, a claimed buffer, or somebody in line; freed by [`Inner::free`] alone.
#[derive(Debug)]
pub(crate) struct Inner {
    lot: &'static Lot,
    id: u64,
    pub(crate) bitmap: Bitmap,
    pub(crate) arena: Arena,
    pub(crate) module_id: u8,
    /// Read by every use of this struct, written by its end: loom sees whether they race.
    probe: Probe,
    /// Stands for each buffer's bytes.
    buffer_probes: Box<[Probe]>,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Inner>();
};

/// A run of buffers that nobody else has. Made here only, neither copied nor cloned, and used up by the
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

/// What stood in line and must be woken, outside the lock: wakers are foreign code.
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

    /// Wakes all, even if one panics. The panic goes no further: the hook has reported it, and this runs in the drop of
    /// an allocation, which has nothing to do with that waker.
    fn wake_all(self) {
        for wake in self.list.into_iter().flatten() {
            // The waker's own state is none of ours.
            drop(panic::catch_unwind(AssertUnwindSafe(|| wake.wake())));
        }
    }
}

impl Inner {
    /// A pool of nothing but free buffers, for its first handle to hold.
    pub(crate) fn allocate(arena: Arena, bitmap: Bitmap, module_id: u8) -> NonNull<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        // Relaxed: ids need to differ, and order nothing. At one pool a nanosecond they last 584 years.
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let lot = Lot::rent();
        let probes = if cfg!(fz_loom) { bitmap.capacity() } else { 0 };
        let buffer_probes = (0..probes).map(|_| Probe::default()).collect();
        let inner = Box::new(Self { lot, id, bitmap, arena, module_id, probe: Probe::default(), buffer_probes });
        let inner = NonNull::from(Box::leak(inner));
        let line = std::collections::BTreeMap::new();
        let tenant = Tenant {
            id,
            inner: InnerPointer(inner),
            line,
            next_place: 0,
            head_searched: false,
            across_from: 0,
            orphan_from: None,
            waits: 0,
            alarms: Vec::new(),
        };
        let former = lot.lock().replace(tenant);
        assert!(former.is_none(), "a vacant lot has no tenant");
        inner
    }

    /// Claims `count` buffers unless somebody waits or they are hard to find. No lock.
    #[inline]
    pub(crate) fn claim_quickly(&self, count: u32) -> Option<Claim> {
        self.probe.read();
        if count > WORD_BUFFERS || self.lot.has_line() {
            return None;
        }
        let near = cursor::get(self.id, self.bitmap.words());
        let first = self.bitmap.claim_in_word(near, count)?;
        cursor::set(self.id, first / WORD_BUFFERS);
        Some(Claim { first, count })
    }

    /// Claims `count` buffers wherever they are, if nobody is in line. `None` is exact.
    #[cold]
    pub(crate) fn claim_now(&self, count: u32) -> Option<Claim> {
        let mut tenant = self.lot.lock();
        let tenant = self.expect_mine(&mut tenant);
        if !tenant.line.is_empty() {
            return None;
        }
        let claimed = self.claim_across(tenant, count);
        self.lot.lower_attention();
        claimed
    }

    /// Claims `count` buffers, or stands in line for them and calls those who may hold some.
    #[cold]
    pub(crate) fn claim_or_join(&self, count: u32, wake: Wake) -> Result<Claim, Place> {
        let mut guard = self.lot.lock();
        let tenant = self.expect_mine(&mut guard);
        if tenant.line.is_empty() {
            if let Some(claim) = self.claim_across(tenant, count) {
                self.lot.lower_attention();
                return Ok(claim);
            }
            tenant.head_searched = true;
        }
        let grant = Arc::new(Grant::new());
        let number = tenant.next_place;
        tenant.next_place += 1;
        tenant.waits += 1;
        tenant.line.insert(number, Entry { count, grant: Arc::clone(&grant), wake });
        let alarms: Vec<_> = tenant.alarms.iter().filter_map(Weak::upgrade).collect();
        drop(guard);
        for alarm in alarms {
            // Foreign code, and so is its drop if it is the last of its kind. A panic would leave our entry in line,
            // and nobody to take what it is served.
            drop(panic::catch_unwind(AssertUnwindSafe(move || alarm())));
        }
        Err(Place { number, count, grant })
    }

    /// Claims under the lock: first without disturbing the others, then so that none is missed.
    fn claim_across(&self, tenant: &mut Tenant, count: u32) -> Option<Claim> {
        let words = self.bitmap.words();
        if count > WORD_BUFFERS {
            // From where the last one ended: else each would search what the ones before it have taken.
            let claimed = self.bitmap.claim_at_first_sight(tenant.across_from, words, count);
            tenant.across_from = claimed.map_or(0, |first| (first + count) / WORD_BUFFERS);
            if let Some(first) = claimed {
                return Some(Claim { first, count });
            }
        }
        self.lot.raise_attention();
        self.bitmap.claim_settled(0, words, count).map(|first| Claim { first, count })
    }

    /// Tells the one in `place` in another way from now on; `Some` if it has been served already.
    pub(crate) fn rewake(&self, place: &Place, wake: Wake) -> Option<Claim> {
        let mut tenant = self.lot.lock();
        let former = match self.expect_mine(&mut tenant).line.get_mut(&place.number) {
            None => return Some(place.granted().expect("who is no longer in line was served")),
            Some(entry) => std::mem::replace(&mut entry.wake, wake),
        };
        // Foreign code, too, may run when a waker is dropped.
        drop(tenant);
        drop(former);
        None
    }

    /// Leaves the line, unless it has been served already: then the claim is the caller's to give back.
    pub(crate) fn leave(&self, place: &Place) -> Option<Claim> {
        let left = {
            let mut tenant = self.lot.lock();
            let tenant = self.expect_mine(&mut tenant);
            let head = tenant.line.first_key_value().map(|(&number, _)| number);
            let left = tenant.line.remove(&place.number);
            if left.is_some() && head == Some(place.number) {
                tenant.head_searched = false;
            }
            left
        };
        if left.is_none() {
            return Some(place.granted().expect("who is no longer in line was served"));
        }
        // The next in line may want less, and nobody else will look for it.
        attend(self.lot, self.id, 0, 0);
        None
    }

    /// Waiters now, and ever.
    pub(crate) fn line_stats(&self) -> (usize, u64) {
        let mut tenant = self.lot.lock();
        let tenant = self.expect_mine(&mut tenant);
        (tenant.line.len(), tenant.waits)
    }

    fn expect_mine<'guard>(&self, tenant: &'guard mut Option<Tenant>) -> &'guard mut Tenant {
        self.probe.read();
        let tenant = tenant.as_mut().expect("a pool with handles has its lot");
        assert_eq!(tenant.id, self.id, "a pool with handles has its lot");
        tenant
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

    /// Serves those in line as far as it goes: the one behind never before the one in front.
    ///
    /// `freed` are the buffers that were just released: after a search of the whole bitmap, only a run with
    /// one of them can be new to the head of the line.
    fn serve(&self, tenant: &mut Tenant, freed: (u32, u32), wakes: &mut Wakes) {
        while !wakes.is_full() {
            let Some(head) = tenant.line.first_entry() else {
                // A pool that awaits its end keeps the attention of its last releasers.
                if tenant.orphan_from.is_none() {
                    self.lot.lower_attention();
                }
                return;
            };
            let count = head.get().count;
            let (from, to) = if tenant.head_searched { self.around(freed, count) } else { (0, self.bitmap.words()) };
            let Some(first) = self.bitmap.claim_settled(from, to, count) else {
                tenant.head_searched = true;
                return;
            };
            let served = head.remove();
            tenant.head_searched = false;
            served.grant.give(first);
            wakes.push(served.wake);
            if fz_error::mutants::active("wake_one_waiter_only") {
                return;
            }
        }
    }

    /// The words in which a run of `count` can include one of the `freed` buffers.
    fn around(&self, (first, freed): (u32, u32), count: u32) -> (u32, u32) {
        let from = first.saturating_sub(count - 1);
        let to = first.saturating_add(freed).saturating_add(count - 1).min(self.bitmap.capacity());
        (from / WORD_BUFFERS, to.div_ceil(WORD_BUFFERS))
    }

    /// The pool's last handle is gone: its memory goes with the last buffer, now or later.
    ///
    /// # Safety
    /// `inner` came from [`allocate`](Self::allocate), and there is no handle and nobody in line any more.
    pub(crate) unsafe fn orphan(inner: NonNull<Self>) {
        // SAFETY: until `orphan_from` is set below, nobody ends the pool.
        let (lot, id) = unsafe { inner.as_ref() }.lot_and_id();
        {
            let mut tenant = lot.lock();
            let tenant = tenant.as_mut().expect("a pool has its lot until its end");
            assert!(tenant.line.is_empty(), "who stands in line holds a handle");
            tenant.orphan_from = Some(0);
            lot.announce_end();
        }
        attend(lot, id, 0, 0);
    }

    /// The line as those see it who hold memory for as long as nobody wants it.
    #[inline]
    pub(crate) fn public_line(&self) -> PoolLine {
        let (lot, id) = self.lot_and_id();
        PoolLine::new(lot, id)
    }

    #[inline]
    fn lot_and_id(&self) -> (&'static Lot, u64) {
        self.probe.read();
        (self.lot, self.id)
    }

    /// Moves the pool out if no buffer is in use: the caller is to free it.
    fn end_if_unused(&self, lot: &'static Lot, tenant: &mut Option<Tenant>) -> bool {
        let Some(tenant_now) = tenant else { return false };
        let Some(from) = tenant_now.orphan_from else { return false };
        // Without handles nobody claims, so words once free stay free: all looks together are one pass.
        tenant_now.orphan_from = self.bitmap.first_used_word(from);
        if tenant_now.orphan_from.is_some() {
            return false;
        }
        *tenant = None;
        lot.lower_attention();
        true
    }

    /// Frees a pool that has moved out.
    ///
    /// # Safety
    /// [`end_if_unused`](Self::end_if_unused) said so, to this caller.
    unsafe fn free(inner: NonNull<Self>) {
        if cfg!(fz_loom) {
            // SAFETY: nobody but us knows the pool any more.
            let inner = unsafe { inner.as_ref() };
            inner.touch(0, inner.bitmap.capacity(), true);
            inner.probe.write();
            // Left in place, so that loom reports a late access rather than the machine.
            return;
        }
        // SAFETY: it was leaked by `allocate`, and nobody but us knows it any more.
        drop(unsafe { Box::from_raw(inner.as_ptr()) });
    }
}

/// Releases buffers `first..first + count` of `inner` and serves whom they may serve.
///
/// # Safety
/// The buffers are claimed, the claim is the caller's, and nobody uses them or the claim any more.
#[inline]
pub(crate) unsafe fn release(inner: NonNull<Inner>, first: u32, count: u32) {
    // SAFETY: the claim keeps the pool alive until `set_free` below. (`this` is no parameter, so
    // nothing says that it must be valid until this function returns.)
    let this = unsafe { inner.as_ref() };
    let (lot, id) = this.lot_and_id();
    let (word, mask) = this.bitmap.prepare_release(first, count).into_parts();
    let before = bitmap::set_free(word, mask);
    // From here on the pool may be gone: only the lot is sure to be there.
    bitmap::check_released(before, mask);
    if lot.wants_releaser() && !fz_error::mutants::active("pool_loses_wakeup") {
        attend(lot, id, first, count);
    }
}

/// Serves the line of pool `id`, or ends the pool, as far as its state calls for it; `first` and
/// `count` are the buffers released before, if any.
#[cold]
fn attend(lot: &'static Lot, id: u64, first: u32, count: u32) {
    loop {
        let mut wakes = Wakes::default();
        let ended = {
            let mut guard = lot.lock();
            let Some(tenant) = guard.as_mut().filter(|tenant| tenant.id == id) else {
                // Another releaser came first and ended the pool.
                break;
            };
            let inner = tenant.inner.0;
            // SAFETY: a pool is ended under the lock, which we hold, and takes its tenant with it.
            let this = unsafe { inner.as_ref() };
            this.probe.read();
            this.serve(tenant, (first, count), &mut wakes);
            this.end_if_unused(lot, &mut guard).then_some(inner)
        };
        if let Some(inner) = ended {
            // SAFETY: `end_if_unused` said so.
            unsafe { Inner::free(inner) };
            lot.vacate();
            break;
        }
        let may_be_more = wakes.is_full();
        wakes.wake_all();
        if !may_be_more {
            break;
        }
    }
}
