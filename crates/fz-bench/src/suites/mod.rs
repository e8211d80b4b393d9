//! The suites: what each measures, with whom, and what its table shows.

mod bandwidth;
mod commit;
mod mixed;
mod open_loop;
mod pipes;
mod scaling;
mod short_pool;
mod slow_disk;
mod submit;
mod window;

use std::path::Path;

use crate::Outcome;
use crate::contestant::Contestant;
use crate::figures::Figures;
use crate::peer::{Peer, Setup, TaskPeer};
use crate::work::{Order, Shape, Work};

pub(crate) use mixed::RECORDS as MIXED_RECORDS;
pub(crate) use window::Window;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// One line on what the ceiling is.
    pub(crate) about: &'static str,
    /// What to measure; fewer and shorter if quick.
    pub(crate) works: fn(quick: bool) -> Vec<Work>,
    /// Who takes part, beside those peers that were asked for.
    pub(crate) contestants: fn(&Work) -> Vec<Contestant>,
    /// What the table shows ratios of; the first is what peers are ranked by.
    pub(crate) ratios: &'static [&'static str],
    /// The table's other columns.
    pub(crate) columns: &'static [&'static str],
    /// Whether other projects take part.
    pub(crate) with_peers: bool,
}

pub(crate) const ALL: [Suite; 9] = [
    submit::SUITE,
    commit::SUITE,
    bandwidth::SUITE,
    scaling::SUITE,
    mixed::SUITE,
    open_loop::SUITE,
    pipes::SUITE,
    slow_disk::SUITE,
    short_pool::SUITE,
];

/// Measures a peer by whatever `work` asks for.
pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path) -> Outcome<Figures> {
    match work.shape {
        Shape::Submit { threads, order } => submit::measure::<P>(work, directory, threads, order),
        Shape::Commit { writers, .. } | Shape::Slow { writers, .. } => commit::measure::<P>(work, directory, writers),
        Shape::Open { .. } => open_loop::measure::<P>(work, directory),
        Shape::Pipes { pipes, load } => pipes::measure::<P>(work, directory, pipes, load),
        Shape::ShortPool { threads } => submit::measure::<P>(work, directory, threads, Order::Slots),
        Shape::Bandwidth => bandwidth::measure::<P>(work, directory),
        Shape::Mixed { reader } => mixed::measure::<P>(work, directory, reader),
        Shape::Scaling { .. } => Err("the scaling suite has contestants of its own".into()),
    }
}

/// Measures a peer by many tasks on one thread.
pub(crate) fn measure_tasks<P: TaskPeer + 'static>(work: &Work, directory: &Path) -> Outcome<Figures> {
    match work.shape {
        Shape::Commit { writers, .. } => commit::measure_tasks::<P>(work, directory, writers),
        _ => Err("only commits are awaited by tasks".into()),
    }
}

pub(crate) fn setup(work: &Work, directory: &Path) -> Setup {
    Setup {
        directory: directory.to_owned(),
        bytes: work.bytes,
        slots: work.slots,
        in_flight: work.in_flight(),
        waiting_bytes_max: work.waiting_bytes_max(),
        sync_delay: work.sync_delay(),
    }
}

/// Bytes that no compression makes smaller.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    // Knuth's linear congruential generator (MMIX); its high byte.
    let mut state: u64 = 0x5EED;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
