//! Writers that write and wait.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hdrhistogram::Histogram;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::{Figures, add_latencies, histogram};
use crate::measure::window::Window;
use crate::peers::peer::{Peer, Setup, TaskPeer, Writer};
use crate::workload::{By, Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "commit",
    about: "N writers that write one record and wait for it; the ceiling is one thread that writes N records \
            by one pwrite and syncs, alone",
    works,
    contestants,
    ratios: &["commits_per_s", "cpu_us"],
    columns: &[
        "p50_us",
        "p99_us",
        "p99_9_us",
        "switches",
        "syncs",
        "device_flushes",
        "device_amplification",
        "peak_mib",
    ],
    with_peers: true,
};

const THREADS: [usize; 4] = [1, 4, 16, 64];
const TASKS: [usize; 7] = [1, 4, 16, 64, 256, 1024, 4096];

fn works(quick: bool) -> Vec<Work> {
    let millis = if quick { 250 } else { 1000 };
    let mut works = Vec::new();
    for (bytes, slots) in [(128, 1 << 16), (4096, 1 << 14)] {
        let threads = THREADS.map(|writers| (writers, By::Threads));
        let tasks = TASKS.map(|writers| (writers, By::Tasks));
        for (writers, by) in threads.into_iter().chain(tasks) {
            works.push(Work { shape: Shape::Commit { writers, by }, bytes, slots, millis });
        }
    }
    works
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["raw", "flusher", "fz"])
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path, writers: usize) -> Outcome<Figures> {
    let peer = P::open(&Setup::of(work, directory))?;
    let window = Window::new(work.slots, writers);
    let mut figures = Figures::new();
    let latencies = thread::scope(|scope| {
        let handles: Vec<_> = (0..writers)
            .map(|writer| {
                let (peer, window) = (&peer, &window);
                scope.spawn(move || commit_until_over(peer, window, writer, work.bytes))
            })
            .collect();
        let watched = window.watch(work, directory, "commits_per_s", || peer.syncs(), &mut figures);
        let latencies = merge(handles)?;
        watched.map(|()| latencies)
    })?;
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

/// One writer's commits until the window is over.
pub(crate) fn commit_until_over<P: Peer>(
    peer: &P,
    window: &Window,
    number: usize,
    bytes: usize,
) -> Outcome<Histogram<u64>> {
    let mut writer = peer.writer()?;
    let payload = payload(bytes);
    let mut latencies = histogram();
    while !window.is_over() {
        let counts = window.counts();
        let began = Instant::now();
        writer.commit(window.next_slot(), &payload)?;
        let took = began.elapsed();
        window.add(number, 1);
        if counts {
            latencies.saturating_record(u64::try_from(took.as_nanos())?);
        }
    }
    Ok(latencies)
}

/// The latencies of all threads, or the first error.
pub(crate) fn merge(handles: Vec<thread::ScopedJoinHandle<'_, Outcome<Histogram<u64>>>>) -> Outcome<Histogram<u64>> {
    let mut all = histogram();
    for handle in handles {
        all.add(handle.join().map_err(|_| "a writer panicked")??)?;
    }
    Ok(all)
}

pub(crate) fn measure_tasks<P: TaskPeer>(work: &Work, directory: &Path, tasks: usize) -> Outcome<Figures> {
    let peer = P::open(&Setup::of(work, directory))?;
    let window = Window::new(work.slots, 1);
    let mut figures = Figures::new();
    let latencies = thread::scope(|scope| {
        let executor = scope.spawn(|| run_tasks(&peer, &window, tasks, work.bytes));
        let watched = window.watch(work, directory, "commits_per_s", || peer.syncs(), &mut figures);
        let latencies = executor.join().map_err(|_| "the executor panicked")??;
        watched.map(|()| latencies)
    })?;
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

/// All tasks are woken and polled by one thread, each only when it was woken.
fn run_tasks<P: TaskPeer>(peer: &P, window: &Window, tasks: usize, bytes: usize) -> Outcome<Histogram<u64>> {
    let latencies = RefCell::new(histogram());
    let payload = payload(bytes);
    let mut running: FuturesUnordered<_> = (0..tasks)
        .map(|_| async {
            while !window.is_over() {
                let counts = window.counts();
                let began = Instant::now();
                peer.commit_task(window.next_slot(), &payload).await?;
                window.add(0, 1);
                if counts {
                    latencies.borrow_mut().saturating_record(u64::try_from(began.elapsed().as_nanos())?);
                }
            }
            Outcome::Ok(())
        })
        .collect();
    futures_executor::block_on(async {
        while let Some(ended) = running.next().await {
            ended?;
        }
        Outcome::Ok(())
    })?;
    drop(running);
    Ok(latencies.into_inner())
}
