//! Where and when faults happen.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::disk::state::Asked;
use crate::random::Random;
use crate::{Fault, OpSet};

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Nth(u64),
    FromNth(u64),
    AtOperation(u64),
    FromOperation(u64),
    Chance(f64),
}

/// Where and when one [`Fault`] happens.
///
/// A rule counts the calls of its operations (on its path, if it has one), 1, 2, 3, …; without a
/// position it fires at each. [`FaultPlan`] says how rules combine.
///
/// ```
/// use fz_sim::{Errno, Fault, FaultRule, Op, OpSet, PageFate};
///
/// // The third write is cut short.
/// let short = FaultRule::new(Op::Write, Fault::Short).nth(3);
/// // From the second sync on, every one fails.
/// let dead = FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)).from_nth(2);
/// // One call in a hundred is interrupted, at most five times.
/// let signals = FaultRule::new(OpSet::ALL, Fault::Error(Errno::Eintr)).probability(0.01).times(5);
/// # let _ = (short, dead, signals);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FaultRule {
    ops: OpSet,
    fault: Fault,
    path: Option<PathBuf>,
    range: Option<Range<u64>>,
    when: When,
    times: u64,
}

impl FaultRule {
    /// The fault on every call of `ops`.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultRule, OpSet};
    /// let full = FaultRule::new(OpSet::CHANGES, Fault::Error(Errno::Enospc));
    /// # let _ = full;
    /// ```
    pub fn new(ops: impl Into<OpSet>, fault: Fault) -> Self {
        Self { ops: ops.into(), fault, path: None, range: None, when: When::FromNth(1), times: u64::MAX }
    }

    /// Only on calls that name this path, or a file that was opened by it.
    ///
    /// A file keeps the path by which it was opened or created. That of a *new*
    /// [`SlotFile`](fz_file::SlotFile) is its temporary name, `.NAME.creating`, for as long as it is
    /// open; open it again to have its own.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultRule, OpSet, PageFate};
    /// let rule = FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)).path("/wal");
    /// # let _ = rule;
    /// ```
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(crate::path::normal(path.as_ref()));
        self
    }

    /// Only on calls that touch one of these bytes of the file: reads, writes, write-backs and allocations. Other
    /// calls have no range and are passed over.
    ///
    /// ```
    /// # use fz_sim::{Access, Errno, Fault, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/log", &[7; 2048])?;
    /// // A bad sector: every read of one of its bytes fails.
    /// let bad = FaultRule::new(Op::Read, Fault::Error(Errno::Eio)).path("/log").range(512..1024);
    /// disk.set_faults(FaultPlan::new().with(bad));
    /// let file = disk.open("/log".as_ref(), Access::Read)?;
    /// assert!(file.read_exact_at(&mut [0; 512], 0).is_ok());
    /// assert!(file.read_exact_at(&mut [0; 512], 1000).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn range(mut self, bytes: Range<u64>) -> Self {
        self.range = Some(bytes);
        self
    }

    /// Once, at the `n`-th call that the rule counts; the first is 1.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultRule, Op};
    /// let rule = FaultRule::new(Op::Write, Fault::Short).nth(3); // the third write, and only it
    /// # let _ = rule;
    /// ```
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// At the `n`-th call that the rule counts, and each after it.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultRule, Op};
    /// let rule = FaultRule::new(Op::Write, Fault::Error(Errno::Enospc)).from_nth(3); // full from the third on
    /// # let _ = rule;
    /// ```
    pub fn from_nth(mut self, n: u64) -> Self {
        self.when = When::FromNth(n);
        self
    }

    /// Once, if the disk's `n`-th operation of all is one of the rule's; the first is 1.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultRule, OpSet};
    /// let rule = FaultRule::new(OpSet::ALL, Fault::PowerCut).at_operation(17); // whatever it is
    /// # let _ = rule;
    /// ```
    pub fn at_operation(mut self, n: u64) -> Self {
        self.when = When::AtOperation(n);
        self
    }

    /// From the disk's `n`-th operation of all on.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultRule, OpSet};
    /// let read_only_from_there = FaultRule::new(OpSet::CHANGES, Fault::Error(Errno::Erofs)).from_operation(17);
    /// # let _ = read_only_from_there;
    /// ```
    pub fn from_operation(mut self, n: u64) -> Self {
        self.when = When::FromOperation(n);
        self
    }

    /// On each counted call with this probability. The draw depends on the seed, the rule and the
    /// call's count only, not on what other operations happened in between.
    ///
    /// # Panics
    ///
    /// If it is not within `0.0..=1.0`.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultRule, OpSet};
    /// let rule = FaultRule::new(OpSet::ALL, Fault::Error(Errno::Eintr)).probability(0.01);
    /// # let _ = rule;
    /// ```
    pub fn probability(mut self, probability: f64) -> Self {
        assert!((0.0..=1.0).contains(&probability), "the probability {probability} is not within 0.0..=1.0");
        self.when = When::Chance(probability);
        self
    }

    /// At most this often.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultRule, Op};
    /// let rule = FaultRule::new(Op::Write, Fault::Short).times(2); // the first two writes
    /// # let _ = rule;
    /// ```
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }
}

/// The faults of one run.
///
/// At each call, every rule for it counts it. Of the rules that then fire, the first that pauses
/// ([`Fault::Delay`], [`Fault::Hang`]) and the first that does not take effect, in this order: a
/// sync can hang and then fail.
///
/// ```
/// use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Error(Errno::Eio)).nth(2)));
/// let file = disk.volume().create("/log".as_ref())?;
/// let bytes = [std::io::IoSlice::new(b"record")];
/// assert_eq!(file.write_vectored_at(&bytes, 0)?, 6);
/// assert_eq!(file.write_vectored_at(&bytes, 6).unwrap_err().raw_os_error(), Some(Errno::Eio.raw()));
/// assert_eq!(file.write_vectored_at(&bytes, 6)?, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct FaultPlan {
    rules: Vec<FaultRule>,
}

impl FaultPlan {
    /// No faults.
    ///
    /// ```
    /// # use fz_sim::{FaultPlan, SimDisk};
    /// SimDisk::new(1).set_faults(FaultPlan::new()); // from now on nothing fails
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and this rule.
    ///
    /// ```
    /// # use fz_sim::{Fault, FaultPlan, FaultRule, Op};
    /// let rule = |op, n| FaultRule::new(op, Fault::PowerCut).nth(n);
    /// let plan = FaultPlan::new().with(rule(Op::Write, 3)).with(rule(Op::SyncData, 2)); // whichever comes first
    /// # let _ = plan;
    /// ```
    pub fn with(mut self, rule: FaultRule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) pause: Option<Fault>,
    pub(crate) fault: Option<Fault>,
    /// The seed of the fault's own draws, such as the length of a short write.
    pub(crate) draw: u64,
}

/// A plan at work.
#[derive(Debug, Default)]
pub(crate) struct ActivePlan {
    rules: Vec<ActiveRule>,
}

#[derive(Debug)]
struct ActiveRule {
    rule: FaultRule,
    key: u64,
    seen: u64,
    fired: u64,
}

impl ActivePlan {
    pub(crate) fn new(plan: FaultPlan, seed: u64) -> Self {
        let mut keys = Random::new(seed);
        let rules = plan.rules.into_iter().map(|rule| ActiveRule { rule, key: keys.word(), seen: 0, fired: 0 });
        Self { rules: rules.collect() }
    }

    pub(crate) fn judge(&mut self, asked: &Asked<'_>, number: u64) -> Verdict {
        let mut verdict = Verdict::default();
        for active in &mut self.rules {
            let Some(draw) = active.consider(asked, number) else { continue };
            let fault = active.rule.fault;
            let place = if fault.is_pause() { &mut verdict.pause } else { &mut verdict.fault };
            if place.is_none() {
                *place = Some(fault);
                active.fired += 1;
                verdict.draw = draw;
            }
        }
        verdict
    }
}

impl ActiveRule {
    /// Counts the call; a draw for the fault if the rule fires.
    fn consider(&mut self, asked: &Asked<'_>, number: u64) -> Option<u64> {
        let rule = &self.rule;
        let is_elsewhere = |own: &Path| own != &**asked.path;
        if !rule.ops.contains(asked.op)
            || !rule.fault.applies_to(asked.op)
            || rule.path.as_deref().is_some_and(is_elsewhere)
            || rule.range.as_ref().is_some_and(|range| !asked.touches(range))
        {
            return None;
        }
        self.seen += 1;
        if self.fired >= rule.times || (rule.fault == Fault::Short && asked.bytes < 2) {
            return None;
        }
        let mut random = Random::of_call(self.key, self.seen);
        let fires = match rule.when {
            When::Nth(n) => self.seen == n,
            When::FromNth(n) => self.seen >= n,
            When::AtOperation(n) => number == n,
            When::FromOperation(n) => number >= n,
            When::Chance(probability) => random.chance(probability),
        };
        fires.then(|| random.word())
    }
}
