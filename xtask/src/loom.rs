//! `cargo xtask loom`: the concurrent types under two model checkers.
//!
//! A file that calls the checker is a model: in `tests/` a test binary of its own, in `src/` a module of
//! unit tests. Nothing else of the crate's tests runs, because only models may use the swapped-in types.

use crate::configuration::Configuration;
use crate::flags::Loom;
use crate::invocation::Invocation;
use crate::prop;
use crate::runner::Runner;
use crate::workspace::{self, Package, Selection};

/// The bound of the short runs: nearly all known concurrency bugs need no more preemptions.
pub(crate) const SHORT_PREEMPTIONS: u32 = 2;

/// A model checker and how it is compiled in.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) name: &'static str,
    /// Swaps its types in.
    pub(crate) cfg: &'static str,
    /// Makes it a dependency. A feature that no user enables, because a dependency of a `cfg` of ours would still stand
    /// in the lock file of every user.
    pub(crate) feature: &'static str,
    /// A file that contains one of these holds models.
    calls: &'static [&'static str],
}

/// Explores every interleaving, up to a bound on preemptions.
pub(crate) const LOOM: Checker =
    Checker { name: "loom", cfg: "fz_loom", feature: "_loom", calls: &["loom::model", "model::Builder"] };

/// Tries many random interleavings of programs too large for loom.
pub(crate) const SHUTTLE: Checker =
    Checker { name: "shuttle", cfg: "fz_shuttle", feature: "_shuttle", calls: &["shuttle::check", "shuttle::Runner"] };

pub(crate) fn run(runner: &mut Runner, flags: &Loom) {
    let seed = prop::seed(runner, flags.seed);
    for checker in [&LOOM, &SHUTTLE] {
        models(runner, flags, checker, seed);
    }
    for name in &flags.crates {
        let has_models = |checker: &Checker| checker.crates().iter().any(|package| package.name == *name);
        if ![LOOM, SHUTTLE].iter().any(has_models) {
            runner.skip(&format!("models of {name}"), "the crate has none");
        }
    }
}

fn models(runner: &mut Runner, flags: &Loom, checker: &Checker, seed: u64) {
    let crates = checker.crates();
    if crates.is_empty() {
        let none = format!("no file calls {}: has the checker another name for it?", checker.calls.join(" or "));
        runner.check(&format!("{} models", checker.name), "loom", || Err(none));
    }
    for package in crates {
        if !flags.crates.is_empty() && !flags.crates.contains(&package.name) {
            continue;
        }
        for selection in checker.models(package) {
            let invocation = Invocation::cargo("test --release -p")
                .argument(&package.name)
                .words("--features")
                .argument(checker.feature)
                .words(&selection.to_string())
                .env_if("LOOM_MAX_PREEMPTIONS", flags.preemptions)
                .env_if("LOOM_MAX_DURATION", flags.model_seconds)
                .env_if("SHUTTLE_RANDOM_SEED", (checker.name == SHUTTLE.name).then_some(seed))
                .configured(Configuration::compiler(&[checker.cfg]));
            runner.tests(&format!("{} {} {selection}", checker.name, package.name), &invocation);
        }
    }
}

impl Checker {
    /// The crates that have models for it.
    pub(crate) fn crates(&self) -> Vec<&'static Package> {
        let mut packages = workspace::checked(&[]);
        packages.retain(|package| package.name != "xtask" && !self.models(package).is_empty());
        packages
    }

    /// Where its models are in `package`.
    pub(crate) fn models(&self, package: &Package) -> Vec<Selection> {
        package.tests_in(|text| self.calls.iter().any(|call| text.contains(call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_without_models_has_failed() {
        let mut runner = Runner::silent();
        models(&mut runner, &Loom::default(), &Checker { calls: &["loom::absent"], ..LOOM }, 1);
        assert_eq!(runner.failed(), 1);
    }

    #[test]
    fn each_checker_has_models() {
        assert!(!LOOM.crates().is_empty() && !SHUTTLE.crates().is_empty());
    }
}
