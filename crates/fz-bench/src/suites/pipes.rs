//! Many pipes in one process.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::{Figures, add_latencies, histogram};
use crate::measure::meter::Meter;
use crate::measure::window::Window;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{Load, Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "pipes",
    about: "N pipes in one process, each with a file of its own: with a thread each that writes and waits; idle; and \
            with ten writes a second each, which one thread submits without waiting. The ceiling is a pwrite and a \
            sync for each record, by the thread that writes. Switches are those of all threads of the process, the \
            writing ones included: wake-ups, mostly. Without a waiter p50 and p99 are the submit's",
    works,
    contestants,
    ratios: &["commits_per_s", "cpu_us"],
    columns: &[
        "writes_per_s",
        "p50_us",
        "p99_us",
        "switches",
        "syncs",
        "cpu_us_per_s",
        "switches_per_s",
        "threads",
        "descriptors",
        "kib_each",
    ],
    with_peers: false,
};

/// Between two writes to one pipe that trickles.
const TRICKLE: Duration = Duration::from_millis(100);

fn works(quick: bool) -> Vec<Work> {
    let (millis, trickle_millis) = if quick { (250, 500) } else { (1000, 4000) };
    let work = |pipes, load, millis| Work { shape: Shape::Pipes { pipes, load }, bytes: 128, slots: 1 << 8, millis };
    vec![
        work(16, Load::Writers, millis),
        work(64, Load::Writers, millis),
        work(256, Load::Idle, trickle_millis),
        work(64, Load::Trickle, trickle_millis),
    ]
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["raw-calls", "flusher", "fz"])
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path, pipes: usize, load: Load) -> Outcome<Figures> {
    let before = Held::now()?;
    let mut peers = Vec::new();
    for number in 0..pipes {
        let directory = directory.join(number.to_string());
        fs::create_dir_all(&directory)?;
        peers.push(P::open(&Setup::of(work, &directory))?);
    }
    let mut figures = Figures::new();
    match load {
        Load::Writers => writers(work, directory, &peers, &mut figures)?,
        Load::Idle => idle(work, directory, &mut figures),
        Load::Trickle => trickle(work, directory, &peers, &mut figures)?,
    }
    Held::now()?.more_than(&before, pipes, &mut figures);
    Ok(figures)
}

fn writers<P: Peer>(work: &Work, directory: &Path, peers: &[P], figures: &mut Figures) -> Outcome<()> {
    let window = Window::new(work.slots, peers.len());
    let latencies = thread::scope(|scope| {
        let handles: Vec<_> = peers
            .iter()
            .enumerate()
            .map(|(number, peer)| {
                let window = &window;
                scope.spawn(move || super::commit::commit_until_over(peer, window, number, work.bytes))
            })
            .collect();
        let watched = window.watch(work, directory, "commits_per_s", || syncs(peers), figures);
        let latencies = super::commit::merge(handles)?;
        watched.map(|()| latencies)
    })?;
    add_latencies(figures, &latencies);
    Ok(())
}

fn idle(work: &Work, directory: &Path, figures: &mut Figures) {
    // What opening set going has its time to end.
    thread::sleep(Window::warm_up(work));
    let meter = Meter::start(directory);
    thread::sleep(Duration::from_millis(work.millis));
    meter.stop_idle(figures);
}

fn trickle<P: Peer>(work: &Work, directory: &Path, peers: &[P], figures: &mut Figures) -> Outcome<()> {
    let window = Window::new(work.slots, 1);
    let latencies = thread::scope(|scope| {
        let writer = scope.spawn(|| trickle_until_over(peers, &window, work.bytes));
        let watched = window.watch(work, directory, "writes_per_s", || syncs(peers), figures);
        let latencies = writer.join().map_err(|_| "the writer panicked")??;
        watched.map(|()| latencies)
    })?;
    peers.iter().try_for_each(Peer::sync)?;
    add_latencies(figures, &latencies);
    Ok(())
}

/// One write to each pipe in turn, evenly over the time between two writes to one. Returns how long a submit took.
fn trickle_until_over<P: Peer>(peers: &[P], window: &Window, bytes: usize) -> Outcome<Histogram<u64>> {
    let payload = payload(bytes);
    let mut latencies = histogram();
    let mut writers = peers.iter().map(Peer::writer).collect::<Outcome<Vec<_>>>()?;
    let each = TRICKLE / u32::try_from(peers.len())?;
    let mut next = Instant::now();
    loop {
        for writer in &mut writers {
            next += each;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if window.is_over() {
                return Ok(latencies);
            }
            let began = Instant::now();
            writer.submit(window.next_slot(), &payload)?;
            latencies.saturating_record(u64::try_from(began.elapsed().as_nanos())?);
            window.add(0, 1);
        }
    }
}

fn syncs<P: Peer>(peers: &[P]) -> Option<u64> {
    peers.iter().map(Peer::syncs).sum()
}

/// What the process holds of the system.
struct Held {
    threads: usize,
    descriptors: usize,
    resident_kib: f64,
}

impl Held {
    /// proc(5): `task`, `fd`, and `VmRSS` of `status`.
    fn now() -> Outcome<Self> {
        let entries = |path| -> Outcome<usize> { Ok(fs::read_dir(path)?.count()) };
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(Self {
            threads: entries("/proc/self/task")?,
            descriptors: entries("/proc/self/fd")?,
            resident_kib: resident.ok_or("no VmRSS in /proc/self/status")?.parse()?,
        })
    }

    fn more_than(&self, before: &Self, pipes: usize, figures: &mut Figures) {
        let mut set = |key: &str, value: f64| figures.insert(key.to_owned(), value);
        set("threads", self.threads as f64 - before.threads as f64);
        set("descriptors", self.descriptors as f64 - before.descriptors as f64);
        set("kib_each", (self.resident_kib - before.resident_kib) / pipes as f64);
    }
}
