//! What a suite is.

use crate::contestant::Contestant;
use crate::workload::Work;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// One line on what the ceiling is.
    pub(crate) about: &'static str,
    /// What to measure; fewer and shorter if quick.
    pub(crate) works: fn(quick: bool) -> Vec<Work>,
    /// Which contestants take part, beside the peers that were asked for.
    pub(crate) contestants: fn(&Work) -> Contestants,
    /// What the table shows ratios of; the first is what peers are ranked by.
    pub(crate) ratios: &'static [&'static str],
    /// The table's other columns.
    pub(crate) columns: &'static [&'static str],
    /// Whether other projects take part.
    pub(crate) with_peers: bool,
}

/// The contestants of a work.
#[derive(Clone, Debug)]
pub(crate) enum Contestants {
    /// By their names: those that other suites have, too.
    Named(&'static [&'static str]),
    /// The suite's own.
    Own(Vec<Contestant>),
}
