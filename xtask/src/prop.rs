//! `cargo xtask prop`: the property tests, with more cases than an ordinary test run spends.
//!
//! A file that calls `proptest!` or `prop_state_machine!` holds properties.

use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::time::{Duration, Instant};

use crate::flags::{Prop, Random};
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package, Selection};

pub(crate) fn run(runner: &mut Runner, flags: &Prop) {
    let first = seed(runner, &flags.random);
    let started = Instant::now();
    let seconds = flags.seconds.map(Duration::from_secs);
    // Without a time there is one round; with one, each round has the next seed.
    for seed in iter::successors(Some(first), |seed| seed.checked_add(1)) {
        let mut passed = true;
        for package in workspace::checked(&flags.crates) {
            for selection in properties(package) {
                let invocation = Invocation::cargo("test -p")
                    .argument(&package.name)
                    .words(&selection.to_string())
                    .env("PROPTEST_RNG_SEED", seed.to_string())
                    .env_if("PROPTEST_CASES", flags.random.cases);
                passed &= runner.tests(&format!("prop {} {selection}", package.name), &invocation);
            }
        }
        if !passed || seconds.is_none_or(|seconds| started.elapsed() >= seconds) {
            break;
        }
    }
}

/// The given seed, or a fresh one; printed, so that the run can be repeated.
pub(crate) fn seed(runner: &mut Runner, random: &Random) -> u64 {
    let seed = random.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    runner.note(&format!("seed {seed} (repeat the same input with --seed {seed})"));
    seed
}

/// Where the properties of `package` are.
fn properties(package: &Package) -> Vec<Selection> {
    if package.name == "xtask" {
        return Vec::new();
    }
    package.tests_in(|text| text.contains("proptest!") || text.contains("prop_state_machine!"))
}
