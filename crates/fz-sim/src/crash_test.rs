//! Cuts the power at every operation of a workload and has each image checked.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::random::Random;
use crate::{Operation, SimDisk, SimDiskConfig, SimStats};

/// Runs a workload once for every point at which the power can go, and checks what each cut leaves.
///
/// The *workload* drives the engine on the disk and returns what the engine promised: the writes
/// it acknowledged. It must come to an end when calls fail, and must not panic for it: a panic ends
/// the test as a failure. The *check* opens the engine on a crash image and returns (or panics with)
/// what is missing. Both may be called often; both get a disk of their own.
///
/// The workload is cut at operation 1, 2, 3, … until three runs in a row end before the cut: with
/// several threads some runs are shorter than others. Each time images are checked, of a run that
/// was not cut those of its end; no two are alike, and they are all that there are, if these are no
/// more than [`images_max`](Self::images_max) and sectors do not tear. Faults beside the cut are the
/// workload's to set, with [`SimDisk::set_faults`]. A workload with one thread replays
/// exactly; with several, operations interleave as the scheduler pleases, and so does what a cut
/// at the n-th finds.
///
/// ```
/// use fz_sim::{CrashTest, SimDisk, Volume, WholeTransfers};
///
/// // Writes a record, syncs file and directory, acknowledges.
/// fn store(disk: &SimDisk) -> std::io::Result<()> {
///     let file = disk.volume().create("/record".as_ref())?;
///     file.write_all_at(b"precious", 0)?;
///     file.sync_data()?;
///     disk.volume().sync_directory("/".as_ref())
/// }
///
/// let report = CrashTest::new(1)
///     .run(
///         |disk| store(disk).is_ok(),
///         |disk, acknowledged| match disk.contents("/record") {
///             Ok(bytes) if bytes == b"precious" => Ok(()),
///             _ if !acknowledged => Ok(()),
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
}

/// Runs in a row that ended before their cut, after which a [`CrashTest`] ends.
const UNCUT_MAX: u64 = 3;

impl CrashTest {
    /// With a disk as [`SimDiskConfig::new`] describes, 32 images for each cut, at most 100,000
    /// cuts.
    ///
    /// ```
    /// # use fz_sim::CrashTest;
    /// CrashTest::new(1).run(|_| (), |_, ()| Ok(())).expect("nothing to lose");
    /// ```
    pub fn new(seed: u64) -> Self {
        Self::with_config(SimDiskConfig::new(seed))
    }

    /// With this disk; its seed also chooses the images.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDiskConfig, Tear};
    /// let config = SimDiskConfig::new(1).tear(Tear::Prefix);
    /// let report = CrashTest::with_config(config).run(|_| (), |_, ()| Ok(())).expect("nothing to lose");
    /// assert_eq!(report.cuts(), 0);
    /// ```
    pub fn with_config(config: SimDiskConfig) -> Self {
        Self { config, images_max: 32, cuts_max: 100_000 }
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

    /// At most this many cuts.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// let three_calls = |disk: &SimDisk| ["/a", "/b", "/c"].iter().all(|path| disk.create(path.as_ref()).is_ok());
    /// let report = CrashTest::new(1).cuts_max(2).run(three_calls, |_, _| Ok(())).expect("nothing is checked");
    /// assert!(report.cuts() == 2 && report.is_truncated());
    /// ```
    pub fn cuts_max(mut self, cuts: u64) -> Self {
        self.cuts_max = cuts;
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
    ///         |disk| disk.create("/record".as_ref()).is_ok(), // the directory is never synced
    ///         |image, created| match image.files().is_empty() && *created {
    ///             true => Err("the record is gone".to_owned()),
    ///             false => Ok(()),
    ///         },
    ///     )
    ///     .unwrap_err();
    /// assert_eq!(failure.message(), "the record is gone");
    /// ```
    pub fn run<A>(
        &self,
        workload: impl Fn(&SimDisk) -> A,
        check: impl Fn(&SimDisk, &A) -> Result<(), String>,
    ) -> Result<CrashReport, CrashFailure> {
        let mut report = CrashReport::default();
        let mut uncut = 0;
        for cut_at in 1..=self.cuts_max {
            let (disk, promised) = self.cut(cut_at, &workload)?;
            report.stats.add(&disk.stats());
            let space = disk.crash_space();
            for (image_seed, image) in space.up_to(self.images_max, self.image_seed(cut_at)) {
                report.images += 1;
                judge(&disk, cut_at, image_seed, || check(&image, &promised))?;
            }
            if disk.power_is_on() {
                uncut += 1;
                if uncut == UNCUT_MAX {
                    return Ok(report);
                }
            } else {
                uncut = 0;
                report.cuts += 1;
            }
        }
        report.truncated = true;
        Ok(report)
    }

    /// Repeats one image of one cut: runs the workload, cut at operation `cut_at`, and checks the
    /// image of `image_seed`. The test must have the config and the seed of the one that failed:
    /// on a disk that tears sectors, say, the same seed is another image.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// let workload = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// let check = |image: &SimDisk, created: &bool| match image.files().is_empty() && *created {
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
        workload: impl Fn(&SimDisk) -> A,
        check: impl Fn(&SimDisk, &A) -> Result<(), String>,
    ) -> Result<(), CrashFailure> {
        let (disk, promised) = self.cut(cut_at, &workload)?;
        let image = disk.power_cut(image_seed);
        judge(&disk, cut_at, image_seed, || check(&image, &promised))
    }

    fn cut<A>(&self, cut_at: u64, workload: &impl Fn(&SimDisk) -> A) -> Result<(SimDisk, A), CrashFailure> {
        let disk = SimDisk::with_config(self.config.clone());
        disk.cut_power_at(cut_at);
        // What the workload leaves behind is dropped unseen, but for the disk, which a panic leaves whole.
        match catch_unwind(AssertUnwindSafe(|| workload(&disk))) {
            Ok(promised) => Ok((disk, promised)),
            Err(panic) => Err(failure(&disk, cut_at, 0, format!("the workload panicked: {}", text(&*panic)))),
        }
    }

    fn image_seed(&self, cut_at: u64) -> u64 {
        Random::of_call(self.config.seed, cut_at).word()
    }
}

fn judge(
    disk: &SimDisk,
    cut_at: u64,
    image_seed: u64,
    check: impl FnOnce() -> Result<(), String>,
) -> Result<(), CrashFailure> {
    // The check owns all that it changes: what it leaves behind is dropped unseen.
    let verdict = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| Err(text(&*panic).to_owned()));
    verdict.map_err(|message| failure(disk, cut_at, image_seed, message))
}

fn failure(disk: &SimDisk, cut_at: u64, image_seed: u64, message: String) -> CrashFailure {
    CrashFailure { seed: disk.seed(), cut_at, image_seed, message, history: disk.history() }
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// What a [`CrashTest`] did.
///
/// ```
/// use fz_sim::{CrashTest, Op, SimDisk, Volume};
///
/// let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
/// let report = CrashTest::new(1).run(create, |_, _| Ok(())).expect("nothing is checked");
/// assert_eq!((report.cuts(), report.is_truncated()), (1, false));
/// assert_eq!(report.images(), 8); // with the file and without: of the cut, and of three ends
/// assert_eq!(report.stats().calls(Op::Create), 4);
/// println!("{report}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrashReport {
    cuts: u64,
    images: u64,
    truncated: bool,
    stats: SimStats,
}

impl CrashReport {
    /// The operations at which the power was cut.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let two = |disk: &SimDisk| ["/a", "/b"].map(|name| disk.create(name.as_ref()).is_ok());
    /// let report = CrashTest::new(1).run(two, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.cuts(), 2); // one at each of its operations
    /// ```
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// The images that were checked.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// let report = CrashTest::new(1).run(create, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.images(), 8); // with the file and without: of the cut, and of three ends
    /// ```
    #[must_use]
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Whether [`CrashTest::cuts_max`] was reached before the workload's end was: before three runs
    /// in a row had ended before their cut.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let two = |disk: &SimDisk| ["/a", "/b"].map(|name| disk.create(name.as_ref()).is_ok());
    /// let report = CrashTest::new(1).cuts_max(1).run(two, |_, _| Ok(())).expect("nothing is checked");
    /// assert!(report.is_truncated()); // it has two operations
    /// ```
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The operations of all runs.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Op, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// let report = CrashTest::new(1).run(create, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.stats().calls(Op::Create), 4); // once cut short, three times to its end
    /// ```
    #[must_use]
    pub fn stats(&self) -> &SimStats {
        &self.stats
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.truncated { ", stopped at cuts_max" } else { "" };
        write!(f, "{} power cuts{more}, {} crash images checked\n{}", self.cuts, self.images, self.stats)
    }
}

/// A crash image that an engine's check refused, or a panic of the workload, and how to see it again.
///
/// ```
/// use fz_sim::{CrashTest, SimDisk, Volume};
///
/// let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
/// let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
/// let failure = CrashTest::new(7).run(create, never).unwrap_err();
/// assert_eq!((failure.message(), failure.seed(), failure.cut_at()), ("never good", 7, 1));
/// assert_eq!(failure.history().len(), 1);
/// CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), create, never).unwrap_err();
/// println!("{failure}"); // all of it, and the call that repeats it
/// ```
#[derive(Clone, Debug)]
pub struct CrashFailure {
    seed: u64,
    cut_at: u64,
    image_seed: u64,
    message: String,
    history: Vec<Operation>,
}

/// The operations that the text of a failure shows.
const SHOWN_MAX: usize = 20;

impl CrashFailure {
    /// The seed of the disk.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// # let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.seed(), 7);
    /// ```
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The operation at which the power was cut, or was to be.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// # let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.cut_at(), 1); // the first of its operations, and the only one
    /// ```
    #[must_use]
    pub fn cut_at(&self) -> u64 {
        self.cut_at
    }

    /// The seed of the image; 0 if the workload panicked, and there was none.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// # let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), create, never).unwrap_err();
    /// ```
    #[must_use]
    pub fn image_seed(&self) -> u64 {
        self.image_seed
    }

    /// What the check said, or how the workload panicked.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// # let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.message(), "never good");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The operations up to the cut, as far as the disk kept them.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Op, SimDisk, Volume};
    /// # let create = |disk: &SimDisk| disk.create("/record".as_ref()).is_ok();
    /// # let never = |_: &SimDisk, _: &bool| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.history()[0].op, Op::Create);
    /// ```
    #[must_use]
    pub fn history(&self) -> &[Operation] {
        &self.history
    }
}

impl fmt::Display for CrashFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, cut_at, image_seed, message, history } = self;
        writeln!(
            f,
            "{message}\ndisk seed {seed}, power cut at operation {cut_at}, image seed {image_seed}; to see it again:"
        )?;
        writeln!(
            f,
            "    test.replay({cut_at}, {image_seed}, workload, check) // the same CrashTest\nthe operations before:"
        )?;
        for operation in &history[history.len().saturating_sub(SHOWN_MAX)..] {
            writeln!(f, "    {operation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CrashFailure {}
