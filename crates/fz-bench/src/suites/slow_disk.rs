//! Writers that write and wait, on a device that takes its time.

use super::suite::{Contestants, Suite};
use crate::workload::{Shape, Work};

pub(crate) const SUITE: Suite = Suite {
    name: "slow-disk",
    about: "N threads that write one record and wait for it, while each sync takes 0.5, 2 or 8 ms more than the \
            device's own; the ceiling is one thread that writes N records by one pwrite and syncs, as slowly. A \
            sleep before the sync is the delay, the same one for all; other projects make their syncs themselves \
            and take no part",
    works,
    contestants,
    ratios: &["commits_per_s", "cpu_us"],
    columns: &["p50_us", "p99_us", "p99_9_us", "switches", "syncs"],
    with_peers: false,
};

fn works(quick: bool) -> Vec<Work> {
    let (delays, writers, millis): (&[u64], &[usize], _) =
        if quick { (&[500, 8000], &[1, 16], 250) } else { (&[500, 2000, 8000], &[1, 4, 16, 64], 1000) };
    let work =
        |delay_us, writers| Work { shape: Shape::Slow { writers, delay_us }, bytes: 128, slots: 1 << 16, millis };
    delays.iter().flat_map(|&delay_us| writers.iter().map(move |&writers| work(delay_us, writers))).collect()
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["raw", "flusher", "fz"])
}
