//! Figures of one turn, and what each of them means.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// What one contestant measured in one turn, by the metric's key.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// How one figure is made of those of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Median,
    /// The largest: what a median would hide is what such a metric is there to show.
    Max,
}

/// What a number means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) key: &'static str,
    /// As in the head of the table.
    pub(crate) title: &'static str,
    pub(crate) better: Better,
    pub(crate) aggregate: Aggregate,
}

const fn metric(key: &'static str, title: &'static str, better: Better) -> Metric {
    Metric { key, title, better, aggregate: Aggregate::Median }
}

const fn maximum(key: &'static str, title: &'static str) -> Metric {
    Metric { key, title, better: Better::Lower, aggregate: Aggregate::Max }
}

/// Every metric of every suite. Units stand in the titles.
pub(crate) const METRICS: &[Metric] = &[
    metric("commits_per_s", "commits/s", Better::Higher),
    metric("durable_per_s", "durable records/s", Better::Higher),
    metric("mb_per_s", "MB/s", Better::Higher),
    metric("writes_per_s", "writes/s", Better::Higher),
    metric("reads_per_s", "reads/s", Better::Higher),
    metric("offered_per_s", "arrivals/s", Better::Higher),
    metric("submit_ns", "submit, ns/op", Better::Lower),
    metric("wall_ns", "all threads, ns/op", Better::Lower),
    metric("records", "records", Better::Higher),
    metric("op_ns", "ns/op", Better::Lower),
    metric("through_ns", "until done, ns/op", Better::Lower),
    metric("p50_us", "p50 µs", Better::Lower),
    metric("p90_us", "p90 µs", Better::Lower),
    metric("p99_us", "p99 µs", Better::Lower),
    metric("p99_9_us", "p99.9 µs", Better::Lower),
    metric("p99_99_us", "p99.99 µs", Better::Lower),
    metric("p50_syncs", "p50, syncs", Better::Lower),
    metric("p99_syncs", "p99, syncs", Better::Lower),
    maximum("max_us", "max µs"),
    metric("submit_p99_9_us", "submit p99.9 µs", Better::Lower),
    maximum("submit_max_us", "submit max µs"),
    metric("read_p99_us", "read p99 µs", Better::Lower),
    metric("cpu_us", "CPU µs/record", Better::Lower),
    metric("cpu_s", "CPU s", Better::Lower),
    metric("switches", "switches/record", Better::Lower),
    metric("cpu_us_per_s", "CPU µs/s", Better::Lower),
    metric("switches_per_s", "switches/s", Better::Lower),
    metric("threads", "threads more", Better::Lower),
    metric("descriptors", "descriptors more", Better::Lower),
    metric("kib_each", "resident KiB/pipe", Better::Lower),
    metric("syncs", "syncs/record", Better::Lower),
    metric("device_flushes", "device flushes/record", Better::Lower),
    metric("amplification", "page cache bytes dirtied/byte", Better::Lower),
    metric("device_amplification", "bytes to the device/byte", Better::Lower),
    maximum("peak_mib", "peak MiB"),
];

/// The metric with this key.
pub(crate) fn metric_of(key: &str) -> Metric {
    *METRICS.iter().find(|metric| metric.key == key).expect("suites name metrics of the list")
}

/// A histogram of nanoseconds, three digits, up to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid")
}

/// The quantiles of a latency histogram, as figures in microseconds.
pub(crate) fn add_latencies(figures: &mut Figures, histogram: &Histogram<u64>) {
    let quantiles = [
        ("p50_us", 0.5),
        ("p90_us", 0.9),
        ("p99_us", 0.99),
        ("p99_9_us", 0.999),
        ("p99_99_us", 0.9999),
        ("max_us", 1.0),
    ];
    for (key, quantile) in quantiles {
        figures.insert(key.to_owned(), micros(histogram, quantile));
    }
}

/// One quantile in microseconds.
pub(crate) fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}
