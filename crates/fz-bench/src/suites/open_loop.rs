//! Writes that arrive on a clock.
//!
//! A writer that waits before it writes again measures itself: while the disk stalls it writes nothing, and one stall
//! is one slow commit. Here each write has a time of arrival, fixed before the turn; a thread sleeps until then,
//! commits, and the latency counts from the arrival. Gil Tene, "How NOT to Measure Latency", 2015.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::{Figures, add_latencies, histogram};
use crate::measure::window::Window;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{Ceiling, Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "open-loop",
    about: "writes arrive at random times of a fixed rate, N % of what one thread reaches that writes 4 or 16 records \
            by one pwrite and syncs; 64 threads commit one each as they arrive. Latencies count from the arrival; \
            \"syncs\" are in units of that thread's pwrite and sync. A rate that is too high for a contestant shows in \
            commits/s below arrivals/s, and what it had not begun by the end counts with its wait so far",
    works,
    contestants,
    ratios: &["p50_us", "p99_us", "p99_9_us", "cpu_us"],
    columns: &["offered_per_s", "commits_per_s", "p50_syncs", "p99_syncs", "max_us", "switches", "syncs"],
    with_peers: true,
};

/// How many threads commit: at most as many records are on their way.
const THREADS: usize = 64;

fn works(quick: bool) -> Vec<Work> {
    let (writers, percents, millis): (&[usize], &[u64], _) =
        if quick { (&[4], &[10, 50], 250) } else { (&[4, 16], &[10, 25, 50, 75], 2000) };
    let work = |writers, percent| {
        let shape = Shape::Open { writers, percent, ceiling: Ceiling::default() };
        Work { shape, bytes: 128, slots: 1 << 16, millis }
    };
    writers.iter().flat_map(|&writers| percents.iter().map(move |&percent| work(writers, percent))).collect()
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["flusher", "fz"])
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path) -> Outcome<Figures> {
    let Shape::Open { percent, ceiling, .. } = work.shape else { return Err("is no open loop".into()) };
    let rate = ceiling.commits_per_s as f64 * percent as f64 / 100.0;
    if rate < 1.0 {
        return Err("the parent has not measured the ceiling".into());
    }
    let peer = P::open(&Setup::of(work, directory))?;
    let window = Window::new(work.slots, THREADS);
    let mut figures = Figures::new();
    let clock = Clock::start(rate, work);
    let latencies = thread::scope(|scope| {
        let handles: Vec<_> = (0..THREADS)
            .map(|number| {
                let (peer, window, clock) = (&peer, &window, &clock);
                scope.spawn(move || commit_as_they_arrive(peer, window, number, work.bytes, clock))
            })
            .collect();
        let watched = window.watch(work, directory, "commits_per_s", || peer.syncs(), &mut figures);
        let latencies = super::commit::merge(handles)?;
        watched.map(|()| latencies)
    })?;
    add_latencies(&mut figures, &latencies);
    figures.insert("offered_per_s".to_owned(), rate);
    for (key, quantile) in [("p50_syncs", 0.5), ("p99_syncs", 0.99)] {
        let syncs = latencies.value_at_quantile(quantile) as f64 / ceiling.sync_ns as f64;
        figures.insert(key.to_owned(), syncs);
    }
    Ok(figures)
}

/// When each write arrives.
struct Clock {
    began: Instant,
    /// After the beginning.
    arrivals: Vec<Duration>,
    next: AtomicUsize,
    /// Those before are for warming up.
    counts_from: Duration,
}

impl Clock {
    fn start(rate: f64, work: &Work) -> Self {
        let counts_from = Window::warm_up(work);
        let arrivals = arrivals(rate, counts_from + Duration::from_millis(work.millis));
        Self { began: Instant::now(), arrivals, next: AtomicUsize::new(0), counts_from }
    }

    /// The next arrival after the beginning, or `None` at the end.
    fn take(&self) -> Option<Duration> {
        self.arrivals.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

/// Times of a Poisson process of `rate` a second until `end`: the same ones for each contestant.
fn arrivals(rate: f64, end: Duration) -> Vec<Duration> {
    // Knuth's linear congruential generator (MMIX); its high 53 bits are a fraction.
    let mut state: u64 = 0x5EED;
    let mut at = 0.0;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction = (state >> 11) as f64 / (1_u64 << 53) as f64;
        at -= (1.0 - fraction).ln() / rate;
        Some(Duration::from_secs_f64(at))
    };
    std::iter::from_fn(next).take_while(|&at| at < end).collect()
}

fn commit_as_they_arrive<P: Peer>(
    peer: &P,
    window: &Window,
    number: usize,
    bytes: usize,
    clock: &Clock,
) -> Outcome<Histogram<u64>> {
    let mut writer = peer.writer()?;
    let payload = payload(bytes);
    let mut latencies = histogram();
    while let Some(at) = clock.take() {
        let arrival = clock.began + at;
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        // At the end there is only the backlog to be counted.
        if !window.is_over() {
            writer.commit(window.next_slot(), &payload)?;
            window.add(number, 1);
        }
        if at >= clock.counts_from {
            latencies.saturating_record(u64::try_from(arrival.elapsed().as_nanos())?);
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_are_not_even() {
        let arrivals = arrivals(1e5, Duration::from_secs(1));
        assert!((99_000..101_000).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.is_sorted());
        // Of a Poisson process 1 - 1/e of the gaps are shorter than the mean.
        let short = arrivals.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_micros(10)).count();
        assert!((62_000..65_000).contains(&short), "{short}");
    }
}
