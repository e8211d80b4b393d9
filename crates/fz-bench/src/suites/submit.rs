//! Fire and forget, then wait once for all of it.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Suite, payload, setup};
use crate::contestant::Contestant;
use crate::figures::{Figures, add_latencies, histogram};
use crate::meter::Meter;
use crate::peer::{Peer, Writer};
use crate::work::{Order, Shape, Work};
use crate::{Outcome, peers};

pub(crate) const SUITE: Suite = Suite {
    name: "submit",
    about: "all records submitted without waiting, then one wait for all of them. Latencies are of a second \
            pass and hold a clock read (some 20 ns) each. The ceiling submits by a copy to memory, one thread's whatever \
            the number of threads, and is durable by large pwrites in slot order and one sync. With more threads than \
            processors a submit's time includes waiting for a processor",
    works,
    contestants,
    ratios: &["submit_ns", "durable_per_s"],
    columns: &[
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

fn contestants(_: &Work) -> Vec<Contestant> {
    vec![peers::raw(), peers::flusher(), peers::fz(), peers::fz_write_only(), peers::fz_default()]
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path, threads: usize, order: Order) -> Outcome<Figures> {
    let peer = P::open(&setup(work, directory))?;
    let mut figures = Figures::new();
    let per_thread = work.slots / threads as u64;
    let records = (per_thread * threads as u64) as f64;

    let (start, prepared) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let synced = peer.syncs();
    let (meter, took) = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (peer, start, prepared) = (&peer, &start, &prepared);
                scope.spawn(move || looped(peer, work, order, thread, per_thread, [prepared, start]))
            })
            .collect();
        prepared.wait();
        let meter = Meter::start(directory);
        start.wait();
        let mut took = Duration::ZERO;
        for handle in handles {
            took += handle.join().map_err(|_| "a writer panicked")??;
        }
        Outcome::Ok((meter, took))
    })?;
    let submitted = meter.seconds();
    peer.sync()?;
    let seconds = meter.stop(&mut figures, records, work.bytes);
    let mut set = |key: &str, value: f64| figures.insert(key.to_owned(), value);
    set("submit_ns", took.as_secs_f64() * 1e9 / records);
    set("wall_ns", submitted * 1e9 / records);
    set("durable_per_s", records / seconds);
    if let (Some(before), Some(after)) = (synced, peer.syncs()) {
        set("syncs", (after - before) as f64 / records);
    }

    let latencies = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (peer, start) = (&peer, &start);
                scope.spawn(move || clocked(peer, work, order, thread, per_thread, start))
            })
            .collect();
        start.wait();
        super::commit::merge(handles)
    })?;
    peer.sync()?;
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

fn prepared_writer<P: Peer>(peer: &P, submits: u64) -> Outcome<P::Writer<'_>> {
    let mut writer = peer.writer()?;
    writer.prepare(usize::try_from(submits)?)?;
    Ok(writer)
}

/// One thread's submits under one clock: how long they took together.
fn looped<P: Peer>(
    peer: &P,
    work: &Work,
    order: Order,
    thread: usize,
    submits: u64,
    [prepared, start]: [&Barrier; 2],
) -> Outcome<Duration> {
    let payload = payload(work.bytes);
    // An error is kept until after the barriers: the others would wait there for ever.
    let writer = prepared_writer(peer, submits);
    prepared.wait();
    start.wait();
    let mut writer = writer?;
    let first = thread as u64 * submits;
    let began = Instant::now();
    for number in first..first + submits {
        writer.submit(order.slot(number, work.slots), &payload)?;
    }
    writer.finish()?;
    Ok(began.elapsed())
}

/// The same with a clock read for each.
fn clocked<P: Peer>(
    peer: &P,
    work: &Work,
    order: Order,
    thread: usize,
    submits: u64,
    start: &Barrier,
) -> Outcome<Histogram<u64>> {
    let payload = payload(work.bytes);
    let mut latencies = histogram();
    let writer = prepared_writer(peer, submits);
    start.wait();
    let mut writer = writer?;
    let first = thread as u64 * submits;
    let mut before = Instant::now();
    for number in first..first + submits {
        writer.submit(order.slot(number, work.slots), &payload)?;
        let after = Instant::now();
        latencies.saturating_record(u64::try_from((after - before).as_nanos())?);
        // Recording is not the contestant's doing.
        before = Instant::now();
    }
    writer.finish()?;
    Ok(latencies)
}
