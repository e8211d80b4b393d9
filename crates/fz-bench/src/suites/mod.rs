//! The suites: what each measures, its contestants, and the columns of its table.

mod bandwidth;
mod commit;
mod mixed;
mod open_loop;
mod pipes;
mod scaling;
mod short_pool;
mod slow_disk;
mod submit;
mod suite;

use std::path::Path;

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::peers::peer::{Peer, TaskPeer};
use crate::workload::{Order, Shape, Work};

pub(crate) use suite::{Contestants, Suite};

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
