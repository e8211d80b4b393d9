//! The soak test: load for as long as asked, and nothing may grow.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use serde_json::json;

use crate::disk::watch::lock;
use crate::gauge::Gauge;
use crate::random::Random;
use crate::workload::load::{Done, live};

/// Load without an end, while memory, descriptors and threads are watched.
///
/// Several threads open and close pipes all the time, on simulated disks that fail at random, with
/// one small pool for all of them. Every few seconds they all pause; then no buffer may be out, and
/// memory, descriptors and threads are read.
///
/// ```
/// use std::time::Duration;
///
/// # if cfg!(not(target_os = "linux")) { return } // what a process holds is read from /proc
/// let report = fz_proof::Soak::new(1).time(Duration::from_secs(2)).run(|_| {}).expect("nothing leaks");
/// assert!(report.pipes() > 0);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Soak {
    seed: u64,
    time: Duration,
    pause_interval: Duration,
}

/// Pipes at the same time.
const WORKERS: usize = 3;
/// One request is for up to six; all requests together are for many times as many.
const POOL_BUFFERS: usize = 12;
/// A round that takes longer hangs.
const STALL: Duration = Duration::from_secs(120);

impl Soak {
    /// A minute of load from `seed`, watched every ten seconds.
    pub fn new(seed: u64) -> Self {
        Self { seed, time: Duration::from_secs(60), pause_interval: Duration::from_secs(10) }
    }

    /// How long at least; the first fifth is the warm-up, after which nothing may grow any more.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self.pause_interval = self.pause_interval.min(time / 10).max(Duration::from_millis(100));
        self
    }

    /// Runs it; `say` gets a line at each pause. Blocks until the end.
    ///
    /// # Errors
    ///
    /// What grew, a promise that did not hold, or that a thread waits for ever.
    pub fn run(&self, mut say: impl FnMut(&str)) -> Result<SoakReport, String> {
        let config = BufPoolConfig::new(BufferSize::S512, POOL_BUFFERS * 512);
        let pool = BufPool::new(config).map_err(|error| format!("{error:?}"))?;
        let shared = Shared {
            pool,
            done: Done::default(),
            rest: Mutex::default(),
            changed: Condvar::new(),
            error: Mutex::new(None),
        };
        let mut random = Random::new(self.seed);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                let (shared, mut random) = (&shared, random.fork());
                scope.spawn(move || shared.work(&mut random));
            }
            let outcome = self.watch(&shared, &mut say);
            shared.go_on(true);
            outcome
        })
    }

    fn watch(&self, shared: &Shared, say: &mut impl FnMut(&str)) -> Result<SoakReport, String> {
        let started = Instant::now();
        let mut warm: Option<Gauge> = None;
        loop {
            thread::park_timeout(self.pause_interval);
            let now = shared.pause()?;
            let took = started.elapsed();
            let counts = Counts::of(&shared.done);
            let report = SoakReport { seed: self.seed, took, counts, warm: warm.unwrap_or(now), end: now };
            say(&format!("{:>5} s: {} pipes, {} writes, {now}", took.as_secs(), counts.pipes, counts.writes));
            match &warm {
                Some(warm) => {
                    now.is_flat_since(warm)?;
                    // Not before: a soak that ended with its warm-up would have compared nothing.
                    if took >= self.time {
                        return Ok(report);
                    }
                }
                None if took >= self.time / 5 => warm = Some(now),
                None => {}
            }
            shared.go_on(false);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    pipes: u64,
    stopped: u64,
    writes: u64,
    durable: u64,
    cancelled: u64,
    faults: u64,
}

impl Counts {
    fn of(done: &Done) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            pipes: get(&done.pipes),
            stopped: get(&done.stopped),
            writes: get(&done.writes),
            durable: get(&done.durable),
            cancelled: get(&done.cancelled),
            faults: get(&done.faults),
        }
    }
}

/// Where the workers rest while everything is looked at.
#[derive(Debug, Default)]
struct Rest {
    is_pause: bool,
    is_end: bool,
    resting: usize,
}

struct Shared {
    pool: BufPool,
    done: Done,
    rest: Mutex<Rest>,
    changed: Condvar,
    error: Mutex<Option<String>>,
}

impl Shared {
    fn work(&self, random: &mut Random) {
        loop {
            if let Err(error) = live(random, &self.pool, &self.done) {
                lock(&self.error).get_or_insert(error);
            }
            let mut rest = lock(&self.rest);
            if rest.is_pause {
                rest.resting += 1;
                self.changed.notify_all();
                rest = self.changed.wait_while(rest, |rest| rest.is_pause).unwrap_or_else(PoisonError::into_inner);
                rest.resting -= 1;
            }
            if rest.is_end {
                return;
            }
        }
    }

    /// Lets every worker come to rest, and reads the resources that the process holds then.
    fn pause(&self) -> Result<Gauge, String> {
        let mut rest = lock(&self.rest);
        rest.is_pause = true;
        let waited = self.changed.wait_timeout_while(rest, STALL, |rest| rest.resting < WORKERS);
        let (rest, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(rest);
        if waited.timed_out() {
            // Its threads cannot be ended, so the process is.
            let _ = writeln!(std::io::stderr(), "D: after {STALL:?} a pipe is still not done: a thread waits for ever");
            std::process::exit(1);
        }
        if let Some(error) = lock(&self.error).take() {
            return Err(error);
        }
        is_whole(&self.pool)?;
        Gauge::read().map_err(|error| format!("no figures from /proc: {error}"))
    }

    fn go_on(&self, is_end: bool) {
        let mut rest = lock(&self.rest);
        rest.is_pause = false;
        rest.is_end = is_end;
        self.changed.notify_all();
    }
}

/// Whether every buffer is in its pool, and no request waits for one.
fn is_whole(pool: &BufPool) -> Result<(), String> {
    let stats = pool.stats();
    let whole = stats.in_use == 0 && stats.waiters == 0;
    if whole { Ok(()) } else { Err(format!("H: every pipe is gone, and buffers are out: {stats:?}")) }
}

/// The counts of a [`Soak`].
#[derive(Clone, Debug)]
pub struct SoakReport {
    seed: u64,
    took: Duration,
    counts: Counts,
    warm: Gauge,
    end: Gauge,
}

impl SoakReport {
    /// The pipes that were opened and closed.
    #[must_use]
    pub fn pipes(&self) -> u64 {
        self.counts.pipes
    }

    /// Everything that was counted, as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Counts { pipes, stopped, writes, durable, cancelled, faults } = self.counts;
        let gauge = |gauge: &Gauge| {
            json!({
                "resident_bytes": gauge.resident_bytes,
                "descriptors": gauge.descriptors,
                "threads": gauge.threads,
            })
        };
        json!({
            "seed": self.seed,
            "seconds": self.took.as_secs_f64(),
            "pipes": pipes,
            "pipes_stopped": stopped,
            "writes": writes,
            "durable": durable,
            "cancelled": cancelled,
            "faults": faults,
            "warm": gauge(&self.warm),
            "end": gauge(&self.end),
            "text": self.to_string(),
        })
        .to_string()
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { pipes, stopped, writes, durable, cancelled, faults } = self.counts;
        write!(
            f,
            "seed {}: {pipes} pipes, {stopped} of them stopped by {faults} faults, {writes} writes, {durable} durable, \
             {cancelled} cancelled; after the warm-up {}, at the end {}",
            self.seed, self.warm, self.end
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_does_not_come_back_is_seen() {
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S512, 4 * 512)).unwrap();
        let allocation = pool.allocate(1).unwrap();
        assert!(is_whole(&pool).is_err());
        drop(allocation);
        assert!(is_whole(&pool).is_ok());
    }
}
