//! Many runs: seed after seed, until their number is reached or the time is over.

pub(crate) mod failure;
pub(crate) mod generation;
pub(crate) mod run;
pub(crate) mod scenario;
pub(crate) mod table;
pub(crate) mod tally;

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::campaign::run::{RunReport, run};
use crate::campaign::tally::Tally;
use crate::disk::watch::lock;

/// Many runs with successive seeds, on all processors.
///
/// ```
/// use fz_proof::Campaign;
///
/// let report = Campaign::new(1).runs(20).run().expect("every promise holds");
/// assert_eq!(report.runs(), 20);
/// assert!(report.states() > 0);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Campaign {
    seed: u64,
    runs: Option<u64>,
    time: Option<Duration>,
    workers: usize,
    run_time_max: Duration,
    twice: bool,
}

/// The distinct states that are remembered. Each costs some twenty bytes.
const DISTINCT_MAX: usize = 1 << 24;

impl Campaign {
    /// Runs `seed`, `seed + 1`, …: for ever, unless [`runs`](Self::runs) or [`time`](Self::time)
    /// says otherwise. As many threads as there are processors; a run may take a minute.
    pub fn new(seed: u64) -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self { seed, runs: None, time: None, workers, run_time_max: Duration::from_secs(60), twice: false }
    }

    /// The number of runs.
    pub fn runs(mut self, runs: u64) -> Self {
        self.runs = Some(runs);
        self
    }

    /// Begins no run after this time.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// The number of runs at the same time; at least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Whether each seed of one thread is run a second time, which must make the same calls to the
    /// disk and find the same crash images.
    pub fn twice(mut self, twice: bool) -> Self {
        self.twice = twice;
        self
    }

    /// A run that takes longer hangs. There is no way to end its threads: the *process* is ended,
    /// with exit code 1 and the seed on standard error.
    pub fn run_time_max(mut self, time: Duration) -> Self {
        self.run_time_max = time;
        self
    }

    /// Runs it. Blocks until the end, or the first failure.
    ///
    /// # Errors
    ///
    /// The first promise that did not hold.
    pub fn run(&self) -> Result<Report, Box<Failure>> {
        let shared = Shared {
            campaign: self,
            started: Instant::now(),
            begun: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            totals: Mutex::default(),
            failure: Mutex::new(None),
            current: (0..self.workers).map(|_| Mutex::new(None)).collect(),
            done: Mutex::new(0),
            all_done: Condvar::new(),
        };
        thread::scope(|scope| {
            for worker in 0..self.workers {
                let shared = &shared;
                scope.spawn(move || shared.work(worker));
            }
            shared.guard();
        });
        if let Some(failure) = lock(&shared.failure).take() {
            return Err(failure);
        }
        let totals = std::mem::take(&mut *lock(&shared.totals));
        Ok(Report {
            seed: self.seed,
            tally: totals.tally,
            distinct: totals.distinct.len() as u64,
            took: shared.started.elapsed(),
        })
    }
}

#[derive(Debug, Default)]
struct Totals {
    tally: Tally,
    distinct: HashSet<u64, BuildHasherDefault<Plain>>,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

struct Shared<'a> {
    campaign: &'a Campaign,
    started: Instant,
    begun: AtomicU64,
    stop: AtomicBool,
    totals: Mutex<Totals>,
    failure: Mutex<Option<Box<Failure>>>,
    /// For each worker the seed that it runs, and since when.
    current: Vec<Mutex<Option<(u64, Instant)>>>,
    done: Mutex<usize>,
    all_done: Condvar,
}

impl Shared<'_> {
    fn work(&self, worker: usize) {
        while let Some(seed) = self.next_seed() {
            *lock(&self.current[worker]) = Some((seed, Instant::now()));
            let outcome = self.run_seed(seed);
            *lock(&self.current[worker]) = None;
            match outcome {
                Ok(RunReport { tally, states, .. }) => {
                    let mut totals = lock(&self.totals);
                    totals.tally.add(&tally);
                    for state in states {
                        if totals.distinct.len() < DISTINCT_MAX {
                            totals.distinct.insert(state);
                        }
                    }
                }
                Err(failure) => {
                    self.stop.store(true, Ordering::Relaxed);
                    lock(&self.failure).get_or_insert(failure);
                }
            }
        }
        *lock(&self.done) += 1;
        self.all_done.notify_all();
    }

    fn run_seed(&self, seed: u64) -> Result<RunReport, Box<Failure>> {
        let report = run(seed)?;
        if self.campaign.twice && report.tally.exact_runs > 0 && run(seed)?.trace != report.trace {
            return Err(Box::new(Failure::not_replayed(seed)));
        }
        Ok(report)
    }

    fn next_seed(&self) -> Option<u64> {
        let Campaign { seed, runs, time, .. } = self.campaign;
        if self.stop.load(Ordering::Relaxed) || time.is_some_and(|time| self.started.elapsed() >= time) {
            return None;
        }
        let run = self.begun.fetch_add(1, Ordering::Relaxed);
        runs.is_none_or(|runs| run < runs).then(|| seed.wrapping_add(run))
    }

    /// Waits for the workers, and ends the process if one of them hangs.
    fn guard(&self) {
        let mut done = lock(&self.done);
        while *done < self.current.len() {
            done =
                self.all_done.wait_timeout(done, Duration::from_secs(1)).map_or_else(|e| e.into_inner().0, |ok| ok.0);
            for current in &self.current {
                let current = *lock(current);
                if let Some((seed, since)) = current
                    && since.elapsed() > self.campaign.run_time_max
                {
                    let failure = Failure::hang(seed, self.campaign.run_time_max);
                    let _ = writeln!(std::io::stderr(), "{failure}");
                    std::process::exit(1);
                }
            }
        }
    }
}

/// The cases that a [`Campaign`] covered. Its `Display` is a table.
#[derive(Clone, Debug)]
pub struct Report {
    seed: u64,
    tally: Tally,
    distinct: u64,
    took: Duration,
}

impl Report {
    /// The runs that ended.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.tally.runs
    }

    /// The crash images that were opened and checked.
    #[must_use]
    pub fn states(&self) -> u64 {
        self.tally.states
    }

    /// The different ones among them: bytes, files, slot size, and what had been promised. Counted
    /// up to 2^24.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Everything that was counted, as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        crate::campaign::table::json(self.seed, &self.tally, self.distinct, self.took).to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::campaign::table::text(self.seed, &self.tally, self.distinct, self.took))
    }
}
