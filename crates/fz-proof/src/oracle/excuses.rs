//! The reasons for which the pipeline may fail, and when it could not yet have failed.

use std::io;

use fz_sim::{Errno, Fault, PowerCut, SimDisk, SimStats};

use crate::disk::faults::{Faults, errno};

/// What can make calls of one generation fail: the harmful faults of its plan once they have fired,
/// the power cut, a full disk, and the losses that earlier generations left behind.
#[derive(Debug)]
pub(crate) struct Excuses<'a> {
    disk: &'a SimDisk,
    faults: &'a Faults,
    /// The faults injected into the disk before.
    before: SimStats,
    /// Writes of earlier generations may have been lost in the background, with these errors, of
    /// which the next sync tells.
    left: &'a [Errno],
    /// The disk can be full.
    is_limited: bool,
}

impl<'a> Excuses<'a> {
    /// Those of a generation that begins now.
    pub(crate) fn new(disk: &'a SimDisk, faults: &'a Faults, left: &'a [Errno], is_limited: bool) -> Self {
        Self { disk, faults, before: disk.stats(), left, is_limited }
    }

    /// The harmful faults of the plan that have fired; one that has not may be among them if
    /// another of its kind has.
    fn fired(&self) -> impl Iterator<Item = Fault> {
        let now = self.disk.stats();
        let fired = move |fault: &Fault| now.faults(fault.kind()) > self.before.faults(fault.kind());
        self.faults.harmful.iter().copied().filter(fired)
    }

    /// Whether a failure with this cause has a reason.
    pub(crate) fn excuse(&self, cause: Option<&io::Error>) -> bool {
        if cause.is_some_and(PowerCut::is) {
            return !self.disk.power_is_on();
        }
        match cause.and_then(io::Error::raw_os_error) {
            Some(raw) => {
                self.is_limited && raw == Errno::Enospc.raw()
                    || self.left.iter().any(|errno| errno.raw() == raw)
                    || self.fired().any(|fault| errno(fault).is_some_and(|errno| errno.raw() == raw))
            }
            // The kernel said nothing but that no byte was transferred.
            None => self.fired().any(|fault| fault == Fault::Zero),
        }
    }

    /// Whether the pipeline may have met a failure by now, whether or not a ticket tells of it yet.
    pub(crate) fn may_have_failed(&self) -> bool {
        self.is_limited || !self.left.is_empty() || !self.disk.power_is_on() || self.fired().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use fz_sim::{FaultPlan, FaultRule, Op, OpSet, Volume};

    use super::*;

    /// A plan with these rules, of which these are harmful.
    fn faults(rules: &[(OpSet, Fault)], harmful: &[Fault]) -> Faults {
        let plan = rules.iter().fold(FaultPlan::new(), |plan, (ops, fault)| plan.with(FaultRule::new(*ops, *fault)));
        Faults { plan, harmful: harmful.to_vec(), ..Faults::none() }
    }

    fn excused(excuses: &Excuses<'_>, errno: Errno) -> bool {
        excuses.excuse(Some(&errno.to_io()))
    }

    #[test]
    fn a_harmful_fault_excuses_its_own_error_and_only_when_it_has_fired() {
        let eio = Fault::Error(Errno::Eio);
        let disk = SimDisk::new(1);
        let faults = faults(&[(Op::Create.into(), eio), (Op::Remove.into(), Fault::Error(Errno::Eintr))], &[eio]);
        let excuses = Excuses::new(&disk, &faults, &[], false);
        disk.set_faults(faults.plan.clone());
        assert!(!excused(&excuses, Errno::Eio) && !excuses.may_have_failed());
        disk.create("/a".as_ref()).unwrap_err();
        assert!(excused(&excuses, Errno::Eio) && excuses.may_have_failed());
        disk.remove("/a".as_ref()).unwrap_err();
        assert!(!excused(&excuses, Errno::Eintr), "a signal is no failure, whatever else is planned");
        assert!(!excused(&excuses, Errno::Enospc) && !excuses.excuse(None));
    }

    #[test]
    fn what_was_injected_in_an_earlier_generation_excuses_nothing() {
        let eio = Fault::Error(Errno::Eio);
        let disk = SimDisk::new(1);
        let faults = faults(&[(Op::Create.into(), eio)], &[eio]);
        disk.set_faults(faults.plan.clone());
        disk.create("/a".as_ref()).unwrap_err();
        let excuses = Excuses::new(&disk, &faults, &[], false);
        assert!(!excused(&excuses, Errno::Eio) && !excuses.may_have_failed());
        let excuses = Excuses::new(&disk, &faults, &[Errno::Edquot], false);
        assert!(excused(&excuses, Errno::Edquot) && !excused(&excuses, Errno::Eio) && excuses.may_have_failed());
    }

    #[test]
    fn a_full_disk_excuses_that_it_is_full_and_a_power_cut_that_there_is_no_power() {
        let (disk, faults) = (SimDisk::new(1), Faults::none());
        let excuses = Excuses::new(&disk, &faults, &[], true);
        assert!(excused(&excuses, Errno::Enospc) && !excused(&excuses, Errno::Eio) && excuses.may_have_failed());

        let excuses = Excuses::new(&disk, &faults, &[], false);
        let other = SimDisk::new(2);
        drop(other.power_cut(1));
        let cut = other.create("/a".as_ref()).unwrap_err();
        assert!(!excuses.excuse(Some(&cut)) && !excuses.may_have_failed());
        drop(disk.power_cut(1));
        assert!(excuses.excuse(Some(&cut)) && excuses.may_have_failed());
    }
}
