//! The pool at its limit, while it grows: what a waiter, a refusal and an allocation cost.
//!
//! Buffers are released in the order in which they were allocated, as a pipe does: in a random order the memory of the
//! benchmark's own list of eight million allocations would be measured.

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufferSize};

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::workload::Work;

const TIMED: usize = 100_000;

/// Operations before the clock runs, in which the pool learns where buffers are free.
const UNTIMED: usize = 1_000;

/// Requests in line while buffers are handed over.
const LINE: usize = 64;

/// The mean time of `operation`.
fn time(mut operation: impl FnMut() -> Outcome<()>) -> Outcome<Figures> {
    for _ in 0..UNTIMED {
        operation()?;
    }
    let began = Instant::now();
    for _ in 0..TIMED {
        operation()?;
    }
    Ok(Figures::from([("op_ns".to_owned(), began.elapsed().as_secs_f64() * 1e9 / TIMED as f64)]))
}

/// A pool of `x` buffers, and all of them, each an allocation of its own.
fn exhausted(work: &Work) -> Outcome<(BufPool, VecDeque<Allocation>)> {
    let buffers = usize::try_from(super::x(work)?)?;
    // The smallest buffers: only the pool's own work is of interest.
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, buffers * BufferSize::S8.bytes()))?;
    let held = (0..buffers).map(|_| pool.allocate(1)).collect::<Result<_, _>>()?;
    Ok((pool, held))
}

fn poll(request: &mut AllocateFuture) -> Poll<fz_bufpool::Result<Allocation>> {
    Pin::new(request).poll(&mut Context::from_waker(Waker::noop()))
}

/// A buffer is released and handed to the first of a line; the next request joins.
pub(crate) fn hand_off(work: &Work, _: &Path) -> Outcome<Figures> {
    let (pool, mut held) = exhausted(work)?;
    let join = || {
        let mut request = pool.allocate_async(1);
        poll(&mut request).is_pending().then_some(request).ok_or("a request was served in a pool that is exhausted")
    };
    let mut line = (0..LINE).map(|_| join()).collect::<Result<VecDeque<_>, _>>()?;
    time(|| {
        drop(held.pop_front());
        let mut head = line.pop_front().ok_or("the line is never empty")?;
        let Poll::Ready(served) = poll(&mut head) else {
            return Err("a buffer was released, and not handed over".into());
        };
        held.push_back(served?);
        line.push_back(join()?);
        Ok(())
    })
}

/// Half of the buffers are free, but no two in a row, and two are wanted.
pub(crate) fn refuse(work: &Work, _: &Path) -> Outcome<Figures> {
    let (pool, held) = exhausted(work)?;
    let _every_other: Vec<_> =
        held.into_iter().enumerate().filter_map(|(at, one)| at.is_multiple_of(2).then_some(one)).collect();
    time(|| match pool.try_allocate(2) {
        Ok(_) => Err("two buffers in a row were found where there are none".into()),
        Err(error) => {
            black_box(error);
            Ok(())
        }
    })
}

/// The one free buffer of the pool is found, and another one released.
pub(crate) fn last_free(work: &Work, _: &Path) -> Outcome<Figures> {
    let (pool, mut held) = exhausted(work)?;
    time(|| {
        drop(held.pop_front());
        held.push_back(pool.try_allocate(1)?);
        Ok(())
    })
}
