//! Counts.

use std::fmt;

use crate::{FaultKind, Op};

/// Counts of operations and faults, to see that a test reached the cases for which it was written.
///
/// ```
/// use fz_sim::{Op, SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// let _file = disk.volume().create("/a".as_ref())?;
/// let _ = disk.volume().create("/a".as_ref());
/// assert_eq!(disk.stats().calls(Op::Create), 2);
/// assert_eq!(disk.stats().failures(Op::Create), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    calls: [u64; Op::ALL.len()],
    failures: [u64; Op::ALL.len()],
    faults: [u64; FaultKind::ALL.len()],
    bytes_written: u64,
}

impl SimStats {
    /// Calls of `op` that began.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/a".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).nth(1)));
    /// file.write_all_at(b"record", 0)?; // asks a second time
    /// assert_eq!(disk.stats().calls(Op::Write), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn calls(&self, op: Op) -> u64 {
        self.calls[op.index()]
    }

    /// Calls of `op` that returned an error, for whatever reason.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/a".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).nth(1)));
    /// file.write_all_at(b"record", 0)?; // asks a second time
    /// assert_eq!(disk.stats().failures(Op::Write), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn failures(&self, op: Op) -> u64 {
        self.failures[op.index()]
    }

    /// Faults of this kind that were injected.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/a".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).nth(1)));
    /// file.write_all_at(b"record", 0)?; // asks a second time
    /// assert_eq!(disk.stats().faults(FaultKind::Error), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.faults[kind.index()]
    }

    /// Bytes that writes reported as written.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/a".as_ref())?;
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).nth(1)));
    /// file.write_all_at(b"record", 0)?; // asks a second time
    /// assert_eq!(disk.stats().bytes_written(), 6);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Adds another disk's counts, for the sum over many runs.
    ///
    /// ```
    /// # use fz_sim::{Op, SimDisk, SimStats, Volume};
    /// let (one, other) = (SimDisk::new(1), SimDisk::new(2));
    /// one.create("/a".as_ref())?;
    /// other.create("/a".as_ref())?;
    /// let mut sum = SimStats::default();
    /// sum.add(&one.stats());
    /// sum.add(&other.stats());
    /// assert_eq!(sum.calls(Op::Create), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add(&mut self, other: &SimStats) {
        let pairs = |to: &mut [u64], from: &[u64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        pairs(&mut self.calls, &other.calls);
        pairs(&mut self.failures, &other.failures);
        pairs(&mut self.faults, &other.faults);
        self.bytes_written += other.bytes_written;
    }

    pub(crate) fn called(&mut self, op: Op) {
        self.calls[op.index()] += 1;
    }

    pub(crate) fn failed(&mut self, op: Op) {
        self.failures[op.index()] += 1;
    }

    pub(crate) fn injected(&mut self, kind: FaultKind) {
        self.faults[kind.index()] += 1;
    }

    pub(crate) fn wrote(&mut self, bytes: u64) {
        self.bytes_written += bytes;
    }
}

impl fmt::Display for SimStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in Op::ALL.into_iter().filter(|op| self.calls(*op) > 0) {
            writeln!(f, "{op:<16} {:>9} calls {:>7} failed", self.calls(op), self.failures(op))?;
        }
        for kind in FaultKind::ALL.into_iter().filter(|kind| self.faults(*kind) > 0) {
            writeln!(f, "{kind:<16} {:>9} injected", self.faults(kind))?;
        }
        write!(f, "{} bytes written", self.bytes_written)
    }
}
