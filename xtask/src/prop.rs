//! `cargo xtask prop`: the property tests, with more cases than an ordinary test run spends.
//!
//! A property is a test whose name begins with `prop_`, or any test in a file `tests/prop*.rs`.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};
use std::{fs, iter};

use crate::flags::{Prop, Random};
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package};

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
                    .words(&selection)
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

/// The words after `cargo test -p CRATE`, one string for each selection that holds properties.
fn properties(package: &Package) -> Vec<String> {
    let named: Vec<_> = package.integration_tests().filter(|name| name.starts_with("prop")).collect();
    let mut selections: Vec<_> = named.iter().map(|name| format!("--test {name}")).collect();
    for path in package.rust_files() {
        let Ok(inside) = path.strip_prefix(&package.directory) else { continue };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !fs::read_to_string(&path).is_ok_and(|text| text.contains("fn prop_")) || named.contains(&stem.as_str()) {
            continue;
        }
        if inside.starts_with("src") {
            selections.push("--lib prop_".to_owned());
        } else if inside.starts_with("tests") && package.has("test", &stem) {
            selections.push(format!("--test {stem} prop_"));
        }
    }
    selections.sort();
    selections.dedup();
    selections
}
