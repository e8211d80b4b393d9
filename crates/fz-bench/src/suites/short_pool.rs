//! Fire and forget with little memory.

use super::suite::{Contestants, Suite};
use crate::workload::{Shape, Work};

pub(crate) const SUITE: Suite = Suite {
    name: "short-pool",
    about: "all records submitted without waiting for durability, but for memory: the pool, and the flusher's buffer, \
            hold 64 KiB. Compared with the same pipe whose pool holds every record; latencies are of a second pass",
    works,
    contestants,
    ratios: &["durable_per_s", "cpu_us"],
    columns: &["records", "p50_us", "p99_us", "p99_9_us", "max_us", "switches", "syncs", "peak_mib"],
    with_peers: false,
};

fn works(quick: bool) -> Vec<Work> {
    let slots = if quick { 1 << 16 } else { 1 << 20 };
    [1, 4].map(|threads| Work { shape: Shape::ShortPool { threads }, bytes: 128, slots, millis: 0 }).into()
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["fz-pool-for-all", "flusher", "fz-short-pool"])
}
