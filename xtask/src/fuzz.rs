//! `cargo xtask fuzz`: files, paths and configs at random, each opened, for as long as you like.
//!
//! Random input from strategies, not led by coverage: the libFuzzer way needs a C++ compiler and a
//! nightly toolchain, which nobody needs for anything else here.

use std::iter;
use std::time::{Duration, Instant};

use crate::flags::Fuzz;
use crate::invocation::Invocation;
use crate::prop;
use crate::runner::Runner;

/// Cases per property and seed: some seconds.
const CASES: u32 = 2_000;

pub(crate) fn run(runner: &mut Runner, flags: &Fuzz) {
    if !cfg!(target_os = "linux") {
        return runner.missing("fuzz", "needs Linux", "uname");
    }
    let first = prop::seed(runner, flags.random.seed);
    let time = Duration::from_secs(flags.seconds);
    let started = Instant::now();
    for seed in iter::successors(Some(first), |seed| seed.checked_add(1)) {
        let invocation = Invocation::cargo("test -p fz-wpipe --test open_anything")
            .env("PROPTEST_RNG_SEED", seed.to_string())
            .env("PROPTEST_CASES", flags.random.cases.unwrap_or(CASES).to_string());
        if !runner.tests(&format!("fuzz, seed {seed}"), &invocation) || started.elapsed() >= time {
            break;
        }
    }
}
