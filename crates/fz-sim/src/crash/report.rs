//! The counts of a crash test, and its finding.

use std::fmt;

use crate::{Operation, SimStats};

/// The counts of a [`CrashTest`](crate::CrashTest).
///
/// ```
/// use fz_sim::{CrashTest, Op, Volume};
///
/// let report = CrashTest::new(1)
///     .run(|disk, _| drop(disk.create("/record".as_ref())), |_, _: &[()]| Ok(()))
///     .expect("nothing is checked");
/// assert_eq!((report.cuts(), report.is_truncated()), (1, false));
/// assert_eq!(report.images(), 4); // with the file and without: at the cut, and at the end
/// assert_eq!(report.recovery_cuts(), 0); // the check changes nothing
/// assert_eq!(report.stats().calls(Op::Create), 1);
/// println!("{report}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrashReport {
    pub(crate) cuts: u64,
    pub(crate) images: u64,
    pub(crate) recovery_cuts: u64,
    pub(crate) truncated: bool,
    pub(crate) stats: SimStats,
}

impl CrashReport {
    /// The operations of the workload at which the power was cut.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Volume};
    /// # let two = |disk: &fz_sim::SimDisk, _: &fz_sim::Acknowledged<()>| {
    /// #     ["/a", "/b"].iter().for_each(|name| drop(disk.create(name.as_ref())));
    /// # };
    /// let report = CrashTest::new(1).run(two, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.cuts(), 2); // one at each of its operations
    /// ```
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// The images of these cuts, and of the workload's end, that were checked.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Volume};
    /// # let create = |disk: &fz_sim::SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// let report = CrashTest::new(1).run(create, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.images(), 4); // with the file and without: at the cut, and at the end
    /// ```
    #[must_use]
    pub fn images(&self) -> u64 {
        self.images
    }

    /// How often the power was cut in the recovery of an image, which was then checked again.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// let recover = |image: &SimDisk, _: &[()]| {
    ///     drop(image.create("/recovered".as_ref()));
    ///     Ok(())
    /// };
    /// let report = CrashTest::new(1).run(create, recover).expect("nothing is checked");
    /// assert!(report.recovery_cuts() > report.images()); // each of the images in several places
    /// ```
    #[must_use]
    pub fn recovery_cuts(&self) -> u64 {
        self.recovery_cuts
    }

    /// Whether the workload had more operations than [`CrashTest::cuts_max`](crate::CrashTest::cuts_max), so that
    /// some were not cut.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Volume};
    /// # let two = |disk: &fz_sim::SimDisk, _: &fz_sim::Acknowledged<()>| {
    /// #     ["/a", "/b"].iter().for_each(|name| drop(disk.create(name.as_ref())));
    /// # };
    /// let report = CrashTest::new(1).cuts_max(1).run(two, |_, _| Ok(())).expect("nothing is checked");
    /// assert!(report.is_truncated()); // it has two operations
    /// ```
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The operations of the workload.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Op, Volume};
    /// # let create = |disk: &fz_sim::SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// let report = CrashTest::new(1).run(create, |_, _| Ok(())).expect("nothing is checked");
    /// assert_eq!(report.stats().calls(Op::Create), 1);
    /// ```
    #[must_use]
    pub fn stats(&self) -> &SimStats {
        &self.stats
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, images, recovery_cuts, truncated, stats } = self;
        let not_all = if *truncated { " (not at every operation: cuts_max)" } else { "" };
        write!(f, "{cuts} power cuts{not_all}, {images} crash images checked, {recovery_cuts} recoveries cut\n{stats}")
    }
}

/// A crash image that an engine's check refused, or a panic of the workload, and how to see it again.
///
/// ```
/// use fz_sim::{Acknowledged, CrashTest, SimDisk, Volume};
///
/// let create = |disk: &SimDisk, _: &Acknowledged<()>| drop(disk.create("/record".as_ref()));
/// let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
/// let failure = CrashTest::new(7).run(create, never).unwrap_err();
/// assert_eq!((failure.message(), failure.seed(), failure.cut_at()), ("never good", 7, 1));
/// assert_eq!(failure.history().len(), 1);
/// CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), create, never).unwrap_err();
/// println!("{failure}"); // all of it, and the call that repeats it
/// ```
#[derive(Clone, Debug)]
pub struct CrashFailure {
    pub(crate) seed: u64,
    pub(crate) cut_at: u64,
    pub(crate) image_seed: u64,
    pub(crate) message: String,
    pub(crate) history: Vec<Operation>,
    pub(crate) recoveries: Vec<Vec<Operation>>,
}

/// The operations of each life that the text of a failure shows.
const SHOWN_MAX: usize = 20;

impl CrashFailure {
    /// The seed of the disk.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.seed(), 7);
    /// ```
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The operation of the workload at which the power was cut; one more than the last for its end. If the workload
    /// panicked, its last operation.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.cut_at(), 1); // the first of its operations, and the only one
    /// ```
    #[must_use]
    pub fn cut_at(&self) -> u64 {
        self.cut_at
    }

    /// The seed of the image, and of the cuts of its recoveries; 0 if the workload panicked, and there was none.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), create, never).unwrap_err();
    /// ```
    #[must_use]
    pub fn image_seed(&self) -> u64 {
        self.image_seed
    }

    /// The message of the check, or of the workload's panic.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.message(), "never good");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The operations of the workload up to the cut.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, Op, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert_eq!(failure.history()[0].op, Op::Create);
    /// ```
    #[must_use]
    pub fn history(&self) -> &[Operation] {
        &self.history
    }

    /// Of each recovery that was cut, its operations up to the cut. After the last one the check refused the image.
    ///
    /// ```
    /// # use fz_sim::{CrashTest, SimDisk, Volume};
    /// # let create = |disk: &SimDisk, _: &fz_sim::Acknowledged<()>| drop(disk.create("/record".as_ref()));
    /// # let never = |_: &SimDisk, _: &[()]| Err("never good".to_owned());
    /// # let failure = CrashTest::new(7).run(create, never).unwrap_err();
    /// assert!(failure.recoveries().is_empty()); // the first check refused it
    /// ```
    #[must_use]
    pub fn recoveries(&self) -> &[Vec<Operation>] {
        &self.recoveries
    }
}

impl fmt::Display for CrashFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, cut_at, image_seed, message, history, recoveries } = self;
        writeln!(
            f,
            "{message}\ndisk seed {seed}, power cut at operation {cut_at}, image seed {image_seed}; to see it again:"
        )?;
        writeln!(
            f,
            "    test.replay({cut_at}, {image_seed}, workload, check) // the same CrashTest\nthe operations before:"
        )?;
        operations(f, history)?;
        for recovery in recoveries {
            writeln!(f, "then a recovery that was cut, too:")?;
            operations(f, recovery)?;
        }
        Ok(())
    }
}

fn operations(f: &mut fmt::Formatter<'_>, history: &[Operation]) -> fmt::Result {
    history[history.len().saturating_sub(SHOWN_MAX)..].iter().try_for_each(|operation| writeln!(f, "    {operation}"))
}

impl std::error::Error for CrashFailure {}
