//! `cargo xtask prop`: the property tests, with more cases than an ordinary test run spends.
//!
//! A file that calls `proptest!` holds properties.

use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::time::{Duration, Instant};

use crate::flags::Prop;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package, Selection};

pub(crate) fn run(runner: &mut Runner, flags: &Prop) {
    let first = seed(runner, flags.random.seed);
    for name in &flags.crates {
        if workspace::checked(std::slice::from_ref(name)).into_iter().all(|package| properties(package).is_empty()) {
            runner.skip(&format!("properties of {name}"), "the crate has none");
        }
    }
    let chosen: Vec<_> = workspace::checked(&flags.crates)
        .into_iter()
        .flat_map(|package| properties(package).into_iter().map(move |selection| (package, selection)))
        .collect();
    let started = Instant::now();
    let seconds = flags.seconds.map(Duration::from_secs);
    // Without a time there is one round; with one, each round has the next seed.
    for seed in iter::successors(Some(first), |seed| seed.checked_add(1)) {
        let mut passed = true;
        for (package, selection) in &chosen {
            let invocation = Invocation::cargo("test -p")
                .argument(&package.name)
                .words(&selection.to_string())
                .env("PROPTEST_RNG_SEED", seed.to_string())
                .env_if("PROPTEST_CASES", flags.random.cases);
            passed &= runner.tests(&format!("prop {} {selection}", package.name), &invocation);
        }
        if !passed || chosen.is_empty() || seconds.is_none_or(|seconds| started.elapsed() >= seconds) {
            break;
        }
    }
}

/// The given seed, or a fresh one, which is printed, so that the run can be repeated.
pub(crate) fn seed(runner: &mut Runner, given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        let seed = RandomState::new().hash_one(std::process::id());
        runner.seed(seed);
        seed
    })
}

/// Where the properties of `package` are.
fn properties(package: &Package) -> Vec<Selection> {
    if package.name == "xtask" {
        return Vec::new();
    }
    package.tests_in(|text| text.contains("proptest!"))
}
