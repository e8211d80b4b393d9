//! `cargo xtask mutants --killers`: which tests fail with which mutant, to fill the table from.

use std::time::Duration;

use super::build::{Binaries, NO_MUTANT, TestBinary};
use super::table::Build;
use crate::invocation::End;
use crate::runner::Runner;

/// One step for each mutant, whose detail lists the tests that fail with it and pass without.
pub(super) fn run(runner: &mut Runner, binaries: &Binaries, mutants: &[(String, String)], limit: Duration) {
    for (package, mutant) in mutants {
        runner.check(mutant, &format!("mutants --killers --only {mutant}"), || {
            let mut killers = Vec::new();
            for binary in binaries.of(package) {
                for test in tests(&binary)? {
                    let end = outcome(&binary, &test, mutant, limit)?;
                    if end != End::Success && outcome(&binary, &test, NO_MUTANT, limit)? == End::Success {
                        killers.push(line(&binary, &test, end));
                    }
                }
            }
            if killers.is_empty() { Err("no test fails with it".to_owned()) } else { Ok(killers.concat()) }
        });
    }
}

/// The killer as the table writes it.
fn line(binary: &TestBinary<'_>, test: &str, end: End) -> String {
    let hang = if matches!(end, End::Hang(_)) { " // hangs" } else { "" };
    match (binary.build, binary.target) {
        (Build::Plain, target) => format!("\n    test(\"{target}\", \"{test}\"),{hang}"),
        (Build::Loom, target) => format!("\n    loom(\"{target}\", \"{test}\"),{hang}"),
    }
}

fn tests(binary: &TestBinary<'_>) -> Result<Vec<String>, String> {
    let listing = binary.invocation().words("--list --format terse");
    let finished = listing.run(&binary.log()).map_err(|error| format!("{listing}: {error}"))?;
    Ok(finished.output.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn outcome(binary: &TestBinary<'_>, test: &str, mutant: &str, limit: Duration) -> Result<End, String> {
    let invocation = binary.invocation().argument(test).words("--exact").env("FZ_MUTANT", mutant).limit(limit);
    Ok(invocation.run(&binary.log()).map_err(|error| format!("{invocation}: {error}"))?.end)
}
