//! Mostly fire and forget, some awaited, and a reader beside.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::{Figures, add_latencies, histogram, micros};
use crate::measure::window::Window;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{MIXED_AWAITED, MIXED_WRITERS, Order, Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "mixed",
    about: "4 threads, each 20th write is awaited, the rest is not; the ceiling is one thread that writes \
            80 records by one pwrite and syncs, alone. p50 to p99.9 are of the awaited writes. The reader pauses 50 µs \
            after each read; fz answers with the newest accepted bytes of the slot, fz-file-read and the flusher \
            with whatever the file holds there (the flusher's records do not lie in their slots at all)",
    works,
    contestants,
    ratios: &["writes_per_s", "cpu_us"],
    columns: &[
        "p50_us",
        "p99_us",
        "p99_9_us",
        "submit_p99_9_us",
        "submit_max_us",
        "reads_per_s",
        "read_p99_us",
        "syncs",
        "device_flushes",
        "device_amplification",
        "peak_mib",
    ],
    with_peers: true,
};

/// The reader's pause: without one it would test the scheduler.
const READ_PAUSE: Duration = Duration::from_micros(50);

fn works(quick: bool) -> Vec<Work> {
    let millis = if quick { 250 } else { 2000 };
    let work = |reader| Work { shape: Shape::Mixed { reader }, bytes: 128, slots: 1 << 16, millis };
    vec![work(false), work(true)]
}

fn contestants(work: &Work) -> Contestants {
    Contestants::Named(match work.shape {
        Shape::Mixed { reader: true } => &["raw", "flusher", "fz", "fz-file-read"],
        _ => &["raw", "flusher", "fz"],
    })
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path, reader: bool) -> Outcome<Figures> {
    let peer = P::open(&Setup::of(work, directory))?;
    let window = Window::new(work.slots, MIXED_WRITERS);
    let mut figures = Figures::new();
    let (awaited, submits, reads) = thread::scope(|scope| {
        let writers: Vec<_> = (0..MIXED_WRITERS)
            .map(|number| {
                let (peer, window) = (&peer, &window);
                scope.spawn(move || write_until_over(peer, window, number, work.bytes))
            })
            .collect();
        let reader = reader.then(|| scope.spawn(|| read_until_over(&peer, &window, work)));
        let watched = window.watch(work, directory, "writes_per_s", || peer.syncs(), &mut figures);
        let (mut awaited, mut submits) = (histogram(), histogram());
        for writer in writers {
            let (own_awaited, own_submits) = writer.join().map_err(|_| "a writer panicked")??;
            awaited.add(own_awaited)?;
            submits.add(own_submits)?;
        }
        let reads = match reader {
            Some(reader) => Some(reader.join().map_err(|_| "the reader panicked")??),
            None => None,
        };
        watched?;
        Outcome::Ok((awaited, submits, reads))
    })?;
    peer.sync()?;
    add_latencies(&mut figures, &awaited);
    figures.insert("submit_p99_9_us".to_owned(), micros(&submits, 0.999));
    figures.insert("submit_max_us".to_owned(), micros(&submits, 1.0));
    if let Some(reads) = reads {
        figures.insert("reads_per_s".to_owned(), reads.len() as f64 * 1e3 / work.millis as f64);
        figures.insert("read_p99_us".to_owned(), micros(&reads, 0.99));
    }
    Ok(figures)
}

/// The latencies of the awaited writes, and of the rest.
fn write_until_over<P: Peer>(
    peer: &P,
    window: &Window,
    number: usize,
    bytes: usize,
) -> Outcome<(Histogram<u64>, Histogram<u64>)> {
    let payload = payload(bytes);
    let (mut awaited, mut submits) = (histogram(), histogram());
    let mut writer = peer.writer()?;
    let mut turn: usize = 0;
    while !window.is_over() {
        let counts = window.counts();
        turn += 1;
        let is_awaited = turn.is_multiple_of(MIXED_AWAITED);
        let slot = window.next_slot();
        let began = Instant::now();
        if is_awaited {
            writer.commit(slot, &payload)?;
        } else {
            writer.submit(slot, &payload)?;
        }
        let nanos = u64::try_from(began.elapsed().as_nanos())?;
        window.add(number, 1);
        if counts {
            let latencies = if is_awaited { &mut awaited } else { &mut submits };
            latencies.saturating_record(nanos);
        }
    }
    writer.finish()?;
    Ok((awaited, submits))
}

fn read_until_over<P: Peer>(peer: &P, window: &Window, work: &Work) -> Outcome<Histogram<u64>> {
    let mut record = vec![0; work.bytes];
    let mut latencies = histogram();
    let mut number = 0;
    while !window.is_over() {
        let counts = window.counts();
        number += 1;
        let began = Instant::now();
        peer.read(Order::Random.slot(number, work.slots), &mut record)?;
        if counts {
            latencies.saturating_record(u64::try_from(began.elapsed().as_nanos())?);
        }
        thread::sleep(READ_PAUSE);
    }
    Ok(latencies)
}
