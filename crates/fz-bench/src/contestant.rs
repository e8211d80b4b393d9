//! A contestant of a suite: its name, its part, and its measuring functions.

use std::path::Path;

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::peers::peer::Peer;
use crate::workload::{By, Shape, Work};

/// What a contestant is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The least work that makes the same bytes durable, one large write and one sync, by one thread: every ratio's
    /// base. Copy and transfer come one after the other, so that one that lets them
    /// overlap can be ahead of it.
    Ceiling,
    /// The same with copy and transfer side by side.
    WriteBack,
    /// The simplest competitor, written by hand.
    Flusher,
    /// The pipe with memory for every record, where a short pool is what is compared.
    PoolForAll,
    /// The heap, where memory is what is compared.
    Heap,
    /// What this project is about.
    Subject,
    /// Another project.
    Peer,
}

pub(crate) type Measure = fn(&Work, &Path) -> Outcome<Figures>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// See [`Peer::IS_DURABLE`].
    pub(crate) is_durable: bool,
    threads: Measure,
    tasks: Option<Measure>,
    /// Takes part in the suites that read beside the writers.
    reads: bool,
    /// See [`Peer::REUSES_FILES`].
    pub(crate) reuses_files: bool,
}

impl Contestant {
    /// A contestant with a measuring function of its own.
    pub(crate) const fn special(name: &'static str, role: Role, measure: Measure) -> Self {
        Self { name, role, is_durable: true, threads: measure, tasks: Some(measure), reads: true, reuses_files: true }
    }

    /// A peer, measured by `threads`.
    pub(crate) fn of<P: Peer>(role: Role, threads: Measure) -> Self {
        Self {
            name: P::NAME,
            role,
            is_durable: P::IS_DURABLE,
            threads,
            tasks: None,
            reads: false,
            reuses_files: P::REUSES_FILES,
        }
    }

    /// Also with many tasks on one thread, measured by `tasks`.
    pub(crate) const fn with_tasks(self, tasks: Measure) -> Self {
        Self { tasks: Some(tasks), ..self }
    }

    pub(crate) const fn with_reads(self) -> Self {
        Self { reads: true, ..self }
    }

    /// How it does this work, if it can.
    pub(crate) fn measure(&self, work: &Work) -> Option<Measure> {
        match work.shape {
            Shape::Commit { by: By::Tasks, .. } => self.tasks,
            Shape::Mixed { reader: true } => self.reads.then_some(self.threads),
            _ => Some(self.threads),
        }
    }
}
