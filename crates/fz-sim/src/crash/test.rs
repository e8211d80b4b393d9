//! Cuts the power at every operation of a workload, and of the recoveries after it, and has each image checked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fz_process::foreign;

use crate::crash::instants::{Instant, Keep, Recorded};
use crate::crash::report::{CrashFailure, CrashReport};
use crate::random::Random;
use crate::{CrashSpace, Operation, SimDisk, SimDiskConfig, SimStats};

/// The values that a workload has acknowledged, in order. A [`CrashTest`] gives it to the workload; the check gets
/// those that had been acknowledged when the power went.
///
/// ```
/// use fz_sim::{CrashTest, SimDisk, Volume};
///
/// let names = ["/a", "/b"];
/// let report = CrashTest::new(1).run(
///     |disk, acknowledged| {
///         for name in names {
///             disk.create(name.as_ref()).unwrap();
///             disk.sync_directory("/".as_ref()).unwrap();
///             acknowledged.push(name); // from here on it must be there after every power cut
///         }
///     },
///     |image, acknowledged: &[&str]| match acknowledged.iter().find(|name| image.contents(name).is_err()) {
///         Some(name) => Err(format!("{name} is gone")),
///         None => Ok(()),
///     },
/// );
/// report.expect("both are there");
/// ```
#[derive(Debug)]
pub struct Acknowledged<A> {
    values: Mutex<Vec<A>>,
    count: Arc<AtomicUsize>,
}

impl<A> Acknowledged<A> {
    fn new() -> Self {
        Self { values: Mutex::new(Vec::new()), count: Arc::default() }
    }

    /// Acknowledges `value`, in the place where the engine tells its user. Any thread may call it.
    ///
    /// ```
    /// # use fz_sim::{Acknowledged, CrashTest, SimDisk};
    /// let workload = |_: &SimDisk, acknowledged: &Acknowledged<u64>| (1..=3).for_each(|n| acknowledged.push(n));
    /// let check = |_: &SimDisk, acknowledged: &[u64]| match acknowledged {
    ///     [1, 2, 3] => Ok(()),
    ///     other => Err(format!("{other:?}")),
    /// };
    /// CrashTest::new(1).run(workload, check).expect("only the end is checked: there is no operation");
    /// ```
    pub fn push(&self, value: A) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.push(value);
        // Release: pairs with the Acquire load of the recorder.
        self.count.store(values.len(), Ordering::Release);
    }

    fn into_values(self) -> Vec<A> {
        self.values.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a workload once and checks the images that a power cut at each of its operations could have left.
///
/// The *workload* drives the engine on the disk, and [acknowledges](Acknowledged::push) a value where the engine
/// acknowledges it. It sees no power cut: the instants are recorded while it runs. A panic of it ends the test as a
/// failure. The *check* is the engine's recovery: it opens the engine on a crash image and returns (or panics with)
/// the loss, if a value that was acknowledged by then is missing. It may be called often, each time with a disk of its
/// own.
///
/// At each operation, and at the end, images are checked. No two of one cut are alike, and they are all that there
/// are, if these are no more than [`images_max`](Self::images_max) and sectors do not tear.
///
/// The power can go in a *recovery*, too. Where a check changes its disk, the disk is cut at some of the check's
/// operations and checked again, with the same acknowledged values; and again, up to
/// [`recovery_cuts`](Self::recovery_cuts) times in a row: workload, cut, recovery, cut, recovery, … The places are
/// drawn: one for each image, or, of a cut with few images, several, up to `images_max` in all.
///
/// The time is that of one run, and of the checks: linear in the operations. Faults beside the cut are the workload's
/// to set, with [`SimDisk::set_faults`]. A workload with one thread replays exactly; with several, operations
/// interleave as the scheduler pleases. A disk that the workload gets from [`SimDisk::kill_process`] belongs to the
/// same run; one from [`SimDisk::power_cut`] does not.
///
/// ```
/// use fz_sim::{CrashTest, SimDisk, Volume, WholeTransfers};
///
/// // Writes a record, syncs file and directory.
/// fn store(disk: &SimDisk) -> std::io::Result<()> {
///     let file = disk.volume().create("/record".as_ref())?;
///     file.write_all_at(b"precious", 0)?;
///     file.sync_data()?;
///     disk.volume().sync_directory("/".as_ref())
/// }
///
/// let report = CrashTest::new(1)
///     .run(
///         |disk, acknowledged| {
///             store(disk).unwrap();
///             acknowledged.push("precious");
///         },
///         |image, acknowledged| match image.contents("/record") {
///             Ok(bytes) if bytes == b"precious" => Ok(()),
///             _ if acknowledged.is_empty() => Ok(()),
///             other => Err(format!("acknowledged, but after the cut there is {other:?}")),
///         },
///     )
///     .expect("the store keeps its word");
/// assert_eq!(report.cuts(), 4);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CrashTest {
    config: SimDiskConfig,
    images_max: usize,
    cuts_max: u64,
    recovery_cuts: u32,
}

impl CrashTest {
    /// With a disk as [`SimDiskConfig::new`] describes, 32 images for each cut, at most 10,000 cuts, and two cuts of
    /// the recovery after each image.
    ///
    /// ```
    /// # use fz_sim::CrashTest;
    /// CrashTest::new(1).run(|_, _| (), |_, _: &[()]| Ok(())).expect("nothing to lose");
    /// ```
    pub fn new(seed: u64) -> Self {
        Self::with_config(SimDiskConfig::new(seed))
    }

    /// With this disk; its seed also chooses the images.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDiskConfig, Tear};
    /// let config = SimDiskConfig::new(1).tear(Tear::Prefix);
    /// let report = CrashTest::with_config(config).run(|_, _| (), |_, _: &[()]| Ok(())).expect("nothing to lose");
    /// assert_eq!(report.cuts(), 0);
    /// ```
    pub fn with_config(config: SimDiskConfig) -> Self {
        Self { config, images_max: 32, cuts_max: 10_000, recovery_cuts: 2 }
    }

    /// At most this many images for each cut, no two alike; all of them if there are no more, and
    /// sectors do not tear.
    ///
    /// ```
    /// # use fz_sim::CrashTest;
    /// let test = CrashTest::new(1).images_max(1000); // slower, and more thorough
    /// # let _ = test;
    /// ```
    pub fn images_max(mut self, images: usize) -> Self {
        self.images_max = images;
        self
    }

    /// At most this many cuts of the workload, spread evenly over its operations: where there are more operations,
    /// every second of them is cut, or every fourth, and so on. Each costs memory until the end of the test.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Volume};
    /// let report = CrashTest::new(1)
    ///     .cuts_max(10)
    ///     .run(
    ///         |disk, _| (0..30).for_each(|n| drop(disk.create(format!("/{n}").as_ref()))),
    ///         |_, _: &[()]| Ok(()),
    ///     )
    ///     .expect("nothing is checked");
    /// assert!(report.cuts() == 8 && report.is_truncated()); // at operations 1, 5, 9, …, 29
    /// ```
    pub fn cuts_max(mut self, cuts: u64) -> Self {
        self.cuts_max = cuts;
        self
    }

    /// How often in a row the recovery of one image is cut; 0 for never.
    ///
    /// ```
    /// # use fz_sim::{Acknowledged, CrashTest, SimDisk, Volume, WholeTransfers};
    /// /// Moves the value from the journal to the record, and never syncs it there.
    /// fn recover(disk: &SimDisk) -> std::io::Result<()> {
    ///     let Ok(value) = disk.contents("/journal") else { return Ok(()) };
    ///     let _ = disk.remove("/record".as_ref());
    ///     disk.create("/record".as_ref())?.write_all_at(&value, 0)?;
    ///     disk.remove("/journal".as_ref())?;
    ///     disk.sync_directory("/".as_ref())
    /// }
    /// let workload = |disk: &SimDisk, _: &Acknowledged<()>| disk.put("/journal", b"value").unwrap();
    /// let check = |image: &SimDisk, _: &[()]| match recover(image).and_then(|()| image.contents("/record")) {
    ///     Ok(bytes) if bytes == b"value" => Ok(()),
    ///     other => Err(format!("there is {other:?}")),
    /// };
    /// CrashTest::new(1).recovery_cuts(0).run(workload, check).expect("it works if nothing happens meanwhile");
    /// let failure = CrashTest::new(1).run(workload, check).unwrap_err();
    /// assert!(!failure.recoveries().is_empty()); // cut in the middle, it has lost the value
    /// ```
    pub fn recovery_cuts(mut self, cuts: u32) -> Self {
        self.recovery_cuts = cuts;
        self
    }

    /// Runs it. Blocks as long as workload and checks take.
    ///
    /// # Errors
    ///
    /// The first image that `check` refused, or the first panic of the workload, with what
    /// [`replay`](Self::replay) needs.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Volume};
    /// let failure = CrashTest::new(1)
    ///     .run(
    ///         |disk, acknowledged| {
    ///             disk.create("/record".as_ref()).unwrap();
    ///             acknowledged.push("/record"); // the directory is never synced
    ///         },
    ///         |image, acknowledged| match image.files().is_empty() && !acknowledged.is_empty() {
    ///             true => Err("the record is gone".to_owned()),
    ///             false => Ok(()),
    ///         },
    ///     )
    ///     .unwrap_err();
    /// assert_eq!(failure.message(), "the record is gone");
    /// ```
    pub fn run<A>(
        &self,
        workload: impl FnOnce(&SimDisk, &Acknowledged<A>),
        check: impl Fn(&SimDisk, &[A]) -> Result<(), String>,
    ) -> Result<CrashReport, CrashFailure> {
        let run = self.record(Keep::spread(self.cuts_max), workload)?;
        let cuts = run.recorded.instants.len() as u64;
        let truncated = cuts < run.recorded.operations;
        let mut report = CrashReport { cuts, truncated, stats: run.stats.clone(), ..CrashReport::default() };
        for instant in run.recorded.instants.iter().chain([&run.recorded.end]) {
            let (images, recovery_cuts) = self.judge(&run, instant, None, &check)?;
            report.images += images;
            report.recovery_cuts += recovery_cuts;
        }
        Ok(report)
    }

    /// Repeats one image of one cut: runs the workload, and checks the image of `image_seed` at operation `cut_at`,
    /// and those of the recoveries after it. The test must have the config and the seed of the one that failed: on a
    /// disk that tears sectors, say, the same seed is another image.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// ```
    /// # use fz_sim::{Acknowledged, CrashTest, SimDisk, Volume};
    /// let workload = |disk: &SimDisk, acknowledged: &Acknowledged<()>| {
    ///     disk.create("/record".as_ref()).unwrap();
    ///     acknowledged.push(());
    /// };
    /// let check = |image: &SimDisk, acknowledged: &[()]| match image.files().is_empty() && !acknowledged.is_empty() {
    ///     true => Err("the record is gone".to_owned()),
    ///     false => Ok(()),
    /// };
    /// let failure = CrashTest::new(1).run(workload, check).unwrap_err();
    /// let again = CrashTest::new(1).replay(failure.cut_at(), failure.image_seed(), workload, check);
    /// assert_eq!(again.unwrap_err().message(), failure.message());
    /// ```
    pub fn replay<A>(
        &self,
        cut_at: u64,
        image_seed: u64,
        workload: impl FnOnce(&SimDisk, &Acknowledged<A>),
        check: impl Fn(&SimDisk, &[A]) -> Result<(), String>,
    ) -> Result<(), CrashFailure> {
        let run = self.record(Keep::Only(cut_at), workload)?;
        let instant = run.recorded.instants.first().unwrap_or(&run.recorded.end);
        self.judge(&run, instant, Some(image_seed), &check).map(drop)
    }

    /// Runs the workload.
    fn record<A>(&self, keep: Keep, workload: impl FnOnce(&SimDisk, &Acknowledged<A>)) -> Result<Run<A>, CrashFailure> {
        let disk = SimDisk::with_config(self.config.clone());
        let acknowledged = Acknowledged::new();
        let recorder = disk.record(keep, &acknowledged.count);
        // After a panic every value is dropped unseen, but for the disk, which it leaves whole.
        let outcome = catch_unwind(AssertUnwindSafe(|| workload(&disk, &acknowledged)));
        let recorded = recorder.finish(disk.recorded_end());
        if let Err(panic) = outcome {
            let message = format!("the workload panicked: {}", text(panic));
            let history = recorded.history(recorded.end.operation);
            let (seed, cut_at) = (self.config.seed, recorded.operations);
            return Err(CrashFailure { seed, cut_at, image_seed: 0, message, history, recoveries: Vec::new() });
        }
        Ok(Run { recorded, stats: disk.stats(), acknowledged: acknowledged.into_values() })
    }

    /// Checks images of `instant`, or only that of the seed `wanted`, and images of their recoveries. Returns how many
    /// images the instant has, and how often a recovery was cut.
    fn judge<A>(
        &self,
        run: &Run<A>,
        instant: &Instant,
        wanted: Option<u64>,
        check: &impl Fn(&SimDisk, &[A]) -> Result<(), String>,
    ) -> Result<(u64, u64), CrashFailure> {
        let space = CrashSpace::new(self.config.clone(), Arc::clone(&instant.tree));
        let seed = Random::of_call(self.config.seed, instant.operation).word();
        let mut images: Vec<_> = space.up_to(self.images_max, seed).collect();
        let count = images.len();
        // A cut that leaves few images has its recoveries cut at the more places.
        let branches = self.images_max / count.max(1);
        if let Some(wanted) = wanted {
            images = vec![(wanted, space.image(wanted))];
        }
        let mut recovery_cuts = 0;
        for (image_seed, image) in images {
            let recovery = Recovery { test: self, run, instant, image_seed };
            recovery_cuts += recovery.lead(&image, image_seed, branches, &mut Vec::new(), check)?;
        }
        Ok((count as u64, recovery_cuts))
    }
}

/// What follows one image.
struct Recovery<'a, A> {
    test: &'a CrashTest,
    run: &'a Run<A>,
    instant: &'a Instant,
    image_seed: u64,
}

impl<A> Recovery<'_, A> {
    /// Checks the disk; then cuts the check at up to `branches` places and does the same with an image of each cut.
    /// `cut`: the recoveries before, each up to its cut. Returns how often a recovery was cut.
    fn lead(
        &self,
        disk: &SimDisk,
        seed: u64,
        branches: usize,
        cut: &mut Vec<Vec<Operation>>,
        check: &impl Fn(&SimDisk, &[A]) -> Result<(), String>,
    ) -> Result<u64, CrashFailure> {
        let is_last = cut.len() == self.test.recovery_cuts as usize;
        let is_last = is_last || fz_error::mutants::active("sim_recovery_is_not_cut");
        let branches = if is_last { 0 } else { branches };
        let recorder = disk.record(Keep::any(branches, Random::new(seed)), &Arc::default());
        // The check owns all that it changes: after a panic it is dropped unseen.
        let acknowledged = &self.run.acknowledged[..self.instant.acknowledged];
        let verdict = catch_unwind(AssertUnwindSafe(|| check(disk, acknowledged)));
        let recovery = recorder.finish(disk.recorded_end());
        if let Err(message) = verdict.unwrap_or_else(|panic| Err(text(panic))) {
            let cut_at = self.instant.operation;
            let history = self.run.recorded.history(cut_at);
            let (seed, image_seed, recoveries) = (self.test.config.seed, self.image_seed, std::mem::take(cut));
            return Err(CrashFailure { seed, cut_at, image_seed, message, history, recoveries });
        }
        let mut cuts = 0;
        for (branch, instant) in (1..).zip(&recovery.instants) {
            let seed = Random::of_call(seed, branch).word();
            let image = CrashSpace::new(self.test.config.clone(), Arc::clone(&instant.tree)).image(seed);
            cut.push(recovery.history(instant.operation));
            cuts += 1 + self.lead(&image, seed, 1, cut, check)?;
            cut.pop();
        }
        Ok(cuts)
    }
}

/// A run of a workload.
struct Run<A> {
    recorded: Recorded,
    stats: SimStats,
    acknowledged: Vec<A>,
}

/// The text of a panic.
fn text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a message").to_owned();
    foreign::dispose(panic);
    text
}
