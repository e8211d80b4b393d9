use std::fmt;
use std::sync::Arc;

use crate::wait_list::WaitList;

/// The line for a pool's memory, as seen by a holder of memory that could release it early, such as a writer that
/// gathers a batch, or a cache. From [`Allocation::line`](crate::Allocation::line).
///
/// Such a holder must learn of two things. A request may come to wait when the memory is held already: then the pool
/// calls the holder's [alarm](Self::add_alarm). And memory may come to be held when the request waits already: then
/// the holder asks [`is_waiting`](Self::is_waiting), each time, *after* it has put the memory where its alarm looks for
/// it. The pool lets a request be seen first and calls then, so one of the two happens, provided that the holder's
/// store is `SeqCst`, or under a lock that the alarm takes too.
///
/// It is `Copy` and keeps nothing alive. When its pool is gone, it may speak of a later pool: a hint, no more.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
///
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64))?;
/// let held = Arc::new(Mutex::new(Vec::<Allocation>::new()));
/// let alarm: Arc<dyn Fn() + Send + Sync> = {
///     let held = Arc::clone(&held);
///     Arc::new(move || held.lock().unwrap().clear())
/// };
///
/// let allocation = pool.allocate(1)?;
/// let line = allocation.line();
/// line.add_alarm(&alarm); // once for each pool
/// held.lock().unwrap().push(allocation);
/// if line.is_waiting() {
///     held.lock().unwrap().clear();
/// }
///
/// // All of the pool's memory is held, until this asks for some.
/// assert_eq!(pool.allocate(1)?.count(), 1);
/// assert!(held.lock().unwrap().is_empty());
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[derive(Clone, Copy)]
pub struct PoolLine {
    /// Never freed, so this keeps nothing alive and is valid for ever.
    list: &'static WaitList,
    id: u64,
}

impl PoolLine {
    #[inline]
    pub(crate) fn new(list: &'static WaitList, id: u64) -> Self {
        Self { list, id }
    }

    /// The pool's number: never 0, and never that of another pool of this process. For holders that remember which
    /// pools know their alarm.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 2 * 64))?;
    /// let (one, two) = (pool.allocate(1)?, pool.allocate(1)?);
    /// assert_eq!(one.line().id(), two.line().id());
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn id(self) -> u64 {
        self.id
    }

    /// Whether requests stand in line. One load: cheap enough for each allocation that passes by. Never blocks.
    ///
    /// True, too, for the moment in which a request searches the whole pool, whether or not it then has to wait.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use std::{future::Future, pin::pin, task::{Context, Waker}};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64))?;
    /// let all = pool.allocate(1)?;
    /// assert!(!all.line().is_waiting());
    /// let mut request = pin!(pool.allocate_async(1));
    /// assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// assert!(all.line().is_waiting());
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_waiting(self) -> bool {
        self.list.has_line_for_holders()
    }

    /// From now on calls `alarm` whenever a request has to wait, in the thread of that request, under no lock of the
    /// pool; keep it short. It may release the pool's memory, and so serve the request, and claim free buffers
    /// (`try_allocate`). If it panics, the hook reports it, and the request and the other alarms go on.
    ///
    /// - It must not wait for the pool: that is a request that has to wait, and calls it again, without an end.
    /// - A caller that asks the pool for memory, in any way but `try_allocate`, must hold no lock that the alarm takes:
    ///   it runs in that very thread, which then waits for itself.
    /// - It may still be running, and be run once more, when its last `Arc` elsewhere is dropped: a request that has
    ///   just come holds it for as long as it calls it.
    ///
    /// The pool holds it weakly and forgets it with its last `Arc`. The same one added twice is called once. Requests
    /// that wait already do not call it. Takes a short lock, so not for each allocation; may be called from async code.
    /// Does nothing in a copy of the pool that `fork(2)` made.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use std::time::Duration;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64))?;
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let alarm: Arc<dyn Fn() + Send + Sync> = {
    ///     let calls = Arc::clone(&calls);
    ///     Arc::new(move || { calls.fetch_add(1, Ordering::SeqCst); })
    /// };
    /// let all = pool.allocate(1)?;
    /// all.line().add_alarm(&alarm);
    /// assert!(pool.allocate_timeout(1, Duration::ZERO).is_err());
    /// assert_eq!(calls.load(Ordering::SeqCst), 1);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn add_alarm(self, alarm: &Arc<dyn Fn() + Send + Sync>) {
        let Some(mut guard) = self.list.lock() else { return };
        let Some(lease) = guard.as_mut().filter(|lease| lease.id == self.id) else {
            // The pool is gone: no request will wait for it.
            return;
        };
        // A weak reference to nothing frees memory when it goes, and runs no foreign code.
        lease.alarms.retain(|known| known.strong_count() > 0);
        let alarm = Arc::downgrade(alarm);
        if !lease.alarms.iter().any(|known| known.ptr_eq(&alarm)) {
            lease.alarms.push(alarm);
        }
    }
}

/// Lines are the same if their pools are.
impl PartialEq for PoolLine {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for PoolLine {}

impl fmt::Debug for PoolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLine").field("id", &self.id).field("is_waiting", &self.is_waiting()).finish()
    }
}
