//! What one operation costs while something else grows from 1 to a million.
//!
//! The processor's part is what is measured: the pipe makes no syncs here (`DangerouslyNone`), but where
//! tickets wait for one, and there the clock runs before it begins and after it has ended.

mod gate;
mod pipe;
mod pool;
mod primitives;
mod waiters;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::contestant::{Contestant, Role};
use crate::workload::{Dimension, Shape, Work};

pub(crate) const SUITE: Suite = Suite {
    name: "scaling",
    about: "ns per operation while one thing grows; no sync is timed, so that only the processor counts. There is no \
            ceiling; a flat line is the goal. Of waiting tickets: one more write and first poll; and from the sync's \
            end until each task was woken, per ticket. With more threads than processors this includes waiting for one",
    works,
    contestants,
    ratios: &["op_ns"],
    columns: &["through_ns", "peak_mib"],
    with_peers: false,
};

/// From a thousand to eight million: twofold steps would show nothing more.
const POOL_BUFFERS: [u64; 4] = [1 << 10, 1 << 15, 1 << 20, 1 << 23];

fn works(quick: bool) -> Vec<Work> {
    let powers: &[u64] = if quick { &[1, 1_000, 1_000_000] } else { &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] };
    let dimensions = [Dimension::Slots, Dimension::Depth, Dimension::Batch, Dimension::Occupancy, Dimension::Waiters];
    let work = |what, x| Work { shape: Shape::Scaling { what, x }, bytes: 128, slots: 1 << 16, millis: 0 };
    let mut works: Vec<_> =
        dimensions.into_iter().flat_map(|what| powers.iter().map(move |&x| work(what, x))).collect();
    works.extend([1, 2, 4].map(|threads| work(Dimension::Allocate, threads)));
    works.extend([0, 1, 4].map(|producers| work(Dimension::Push, producers)));
    for what in [Dimension::PoolHandOff, Dimension::PoolRefusal, Dimension::PoolLastFree] {
        works.extend(POOL_BUFFERS.map(|buffers| work(what, buffers)));
    }
    works
}

fn contestants(work: &Work) -> Contestants {
    let Shape::Scaling { what, .. } = work.shape else { return Contestants::Named(&[]) };
    Contestants::Own(match what {
        Dimension::Allocate => vec![
            Contestant::special("malloc", Role::Heap, primitives::allocate_malloc),
            Contestant::special("crossbeam ArrayQueue", Role::Peer, primitives::allocate_queue),
            Contestant::special("fz-bufpool", Role::Subject, primitives::allocate_pool),
        ],
        Dimension::Push => vec![
            Contestant::special("crossbeam ArrayQueue", Role::Peer, primitives::push_array),
            Contestant::special("crossbeam SegQueue", Role::Peer, primitives::push_segments),
            Contestant::special("fz-mpsc", Role::Subject, primitives::push_fz),
        ],
        Dimension::PoolHandOff => vec![Contestant::special("fz-bufpool", Role::Subject, pool::hand_off)],
        Dimension::PoolRefusal => vec![Contestant::special("fz-bufpool", Role::Subject, pool::refuse)],
        Dimension::PoolLastFree => vec![Contestant::special("fz-bufpool", Role::Subject, pool::last_free)],
        Dimension::Slots => vec![Contestant::special("fz", Role::Subject, pipe::slots)],
        Dimension::Depth => vec![Contestant::special("fz", Role::Subject, pipe::depth)],
        Dimension::Batch => vec![Contestant::special("fz", Role::Subject, pipe::batch)],
        Dimension::Occupancy => vec![Contestant::special("fz", Role::Subject, pipe::occupancy)],
        Dimension::Waiters => vec![Contestant::special("fz", Role::Subject, waiters::waiters)],
    })
}

/// What the work's dimension measures.
fn x(work: &Work) -> Outcome<u64> {
    match work.shape {
        Shape::Scaling { x, .. } => Ok(x),
        _ => Err("is no part of the scaling suite".into()),
    }
}
