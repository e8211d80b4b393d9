//! `cargo xtask test`: every crate's own tests, one step each.

use crate::flags::{Loom, Mutants, Test};
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{loom, mutants, workspace};

pub(crate) fn run(runner: &mut Runner, flags: &Test) {
    for package in workspace::checked(&flags.crates) {
        // Plain `cargo test` also runs the doc tests and compiles the examples.
        let invocation = Invocation::cargo("test -p")
            .argument(&package.name)
            .env_if("PROPTEST_CASES", flags.random.cases)
            .env_if("PROPTEST_RNG_SEED", flags.random.seed);
        runner.tests(&format!("test {}", package.name), &invocation);
    }
    if !flags.quick && flags.crates.is_empty() {
        loom::run(runner, &Loom { preemptions: Some(loom::SHORT_PREEMPTIONS), ..Loom::default() });
        mutants::run(runner, &Mutants { quick: true, ..Mutants::default() });
    }
}
