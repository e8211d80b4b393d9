//! Fire and forget, then wait once for all of it.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::{Figures, add_latencies, histogram};
use crate::measure::meter::Meter;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{Order, Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "submit",
    about: "all records submitted without waiting, then one wait for all of them. Latencies are of a second \
            pass and hold a clock read (some 20 ns) each. The ceiling submits by a copy to memory, one thread's \
            whatever the number of threads, and is durable by large pwrites in slot order and one sync. With more \
            threads than processors a submit's time includes waiting for a processor. A contestant that has not \
            submitted all after 5 s is measured with what it has by then: see the records",
    works,
    contestants,
    ratios: &["submit_ns", "durable_per_s"],
    columns: &[
        "records",
        "wall_ns",
        "p50_us",
        "p99_us",
        "p99_9_us",
        "p99_99_us",
        "max_us",
        "cpu_us",
        "syncs",
        "device_flushes",
        "amplification",
        "device_amplification",
        "peak_mib",
    ],
    with_peers: true,
};

/// When a pass ends although not all is submitted. A million records would take `walrus-rust` minutes, because the
/// device flushes once for each even in a batch; SQLite and `sled` spend 12 to 16 µs of processor time on each.
const PASS_MAX: Duration = Duration::from_secs(5);

/// After how many submits a writer looks at the clock.
const LOOK_EACH: u64 = 1024;

fn works(quick: bool) -> Vec<Work> {
    let slots = if quick { 1 << 17 } else { 1 << 20 };
    let mut works = Vec::new();
    for order in [Order::Slots, Order::Random] {
        for threads in [1, 4] {
            works.push(Work { shape: Shape::Submit { threads, order }, bytes: 128, slots, millis: 0 });
        }
    }
    works
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["raw", "flusher", "fz", "fz-write-only", "fz-default"])
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path, threads: usize, order: Order) -> Outcome<Figures> {
    measure_within::<P>(work, directory, threads, order, PASS_MAX)
}

fn measure_within<P: Peer>(
    work: &Work,
    directory: &Path,
    threads: usize,
    order: Order,
    pass_max: Duration,
) -> Outcome<Figures> {
    let peer = P::open(&Setup::of(work, directory))?;
    let mut figures = Figures::new();
    let per_thread = work.slots / threads as u64;
    let pass = |thread| Pass { work, order, first: thread as u64 * per_thread, submits: per_thread, longest: pass_max };

    let (start, prepared) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let synced = peer.syncs();
    let (meter, took, submitted) = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (peer, start, prepared, pass) = (&peer, &start, &prepared, pass(thread));
                scope.spawn(move || looped(peer, &pass, [prepared, start]))
            })
            .collect();
        prepared.wait();
        let meter = Meter::start(directory);
        start.wait();
        let (mut took, mut submitted) = (Duration::ZERO, 0);
        for handle in handles {
            let (own, submits) = handle.join().map_err(|_| "a writer panicked")??;
            took += own;
            submitted += submits;
        }
        Outcome::Ok((meter, took, submitted))
    })?;
    let records = submitted as f64;
    let submitting = meter.seconds();
    peer.sync()?;
    let seconds = meter.stop(&mut figures, records, work.bytes);
    let mut set = |key: &str, value: f64| figures.insert(key.to_owned(), value);
    set("records", records);
    set("submit_ns", took.as_secs_f64() * 1e9 / records);
    set("wall_ns", submitting * 1e9 / records);
    set("durable_per_s", records / seconds);
    if let (Some(before), Some(after)) = (synced, peer.syncs()) {
        set("syncs", (after - before) as f64 / records);
    }

    let latencies = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (peer, start, pass) = (&peer, &start, pass(thread));
                scope.spawn(move || clocked(peer, &pass, start))
            })
            .collect();
        start.wait();
        super::commit::merge(handles)
    })?;
    peer.sync()?;
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

/// What one thread submits.
struct Pass<'a> {
    work: &'a Work,
    order: Order,
    first: u64,
    submits: u64,
    /// See [`PASS_MAX`].
    longest: Duration,
}

impl Pass<'_> {
    /// Calls `submit` for one slot after the other, until the end or for the longest time. Returns for how many.
    #[inline]
    fn run(&self, mut submit: impl FnMut(u64) -> Outcome<()>) -> Outcome<u64> {
        let began = Instant::now();
        let mut done = 0;
        while done < self.submits {
            let until = self.submits.min(done + LOOK_EACH);
            for number in done..until {
                submit(self.order.slot(self.first + number, self.work.slots))?;
            }
            done = until;
            if began.elapsed() >= self.longest {
                break;
            }
        }
        Ok(done)
    }

    fn writer<'p, P: Peer>(&self, peer: &'p P) -> Outcome<P::Writer<'p>> {
        let mut writer = peer.writer()?;
        writer.prepare(usize::try_from(self.submits)?)?;
        Ok(writer)
    }
}

/// One thread's submits under one clock: how long they took together, and how many there were.
fn looped<P: Peer>(peer: &P, pass: &Pass<'_>, [prepared, start]: [&Barrier; 2]) -> Outcome<(Duration, u64)> {
    let payload = payload(pass.work.bytes);
    // An error is kept until after the barriers: the other threads would wait there for ever.
    let writer = pass.writer(peer);
    prepared.wait();
    start.wait();
    let mut writer = writer?;
    let began = Instant::now();
    let submitted = pass.run(|slot| writer.submit(slot, &payload))?;
    writer.finish()?;
    Ok((began.elapsed(), submitted))
}

/// The same with a clock read for each.
fn clocked<P: Peer>(peer: &P, pass: &Pass<'_>, start: &Barrier) -> Outcome<Histogram<u64>> {
    let payload = payload(pass.work.bytes);
    let mut latencies = histogram();
    let writer = pass.writer(peer);
    start.wait();
    let mut writer = writer?;
    let mut before = Instant::now();
    pass.run(|slot| {
        writer.submit(slot, &payload)?;
        let after = Instant::now();
        latencies.saturating_record(u64::try_from((after - before).as_nanos())?);
        // Recording is not the contestant's doing.
        before = Instant::now();
        Ok(())
    })?;
    writer.finish()?;
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::flusher::Flusher;

    #[test]
    fn who_is_slow_is_measured_by_what_it_submitted() {
        let directory = tempfile::tempdir().unwrap();
        let shape = Shape::Submit { threads: 2, order: Order::Random };
        let work = Work { shape, bytes: 8, slots: 16 * LOOK_EACH, millis: 0 };
        for (pass_max, records) in [(Duration::ZERO, 2 * LOOK_EACH), (Duration::MAX, work.slots)] {
            let figures = measure_within::<Flusher>(&work, directory.path(), 2, Order::Random, pass_max).unwrap();
            assert_eq!(figures["records"], records as f64);
        }
    }
}
