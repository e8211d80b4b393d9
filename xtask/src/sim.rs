//! `cargo xtask sim`: random workloads, faults and power cuts on the simulated disk.
//!
//! Builds `fz-proof` and runs it. `--canary` runs it on broken twins of the code, which it must reject: for
//! each the second kind of check, beside the tests of the twin's own crate.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::configuration::Configuration;
use crate::flags::Sim;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{mutants, workspace};

/// The mutants that break a promise which the simulation checks.
const CANARIES: [&str; 12] = [
    "ack_before_sync",
    "sync_before_last_write",
    "drop_one_write",
    "reverse_batch",
    "older_batch_after_newer",
    "retry_failed_sync",
    "clear_error_on_success",
    "skip_directory_sync",
    "release_before_write",
    "close_skips_tail",
    "resume_at_wrong_byte",
    "eintr_is_failure",
];

/// Each was seen in the first 46 runs from each of three seeds.
const CANARY_RUNS: u64 = 500;

/// Some twins hang. A run takes some milliseconds.
const CANARY_LIMIT_SECONDS: u64 = 10;

pub(crate) fn run(runner: &mut Runner, flags: &Sim) {
    if !build(runner, flags.canary) {
        return;
    }
    let arguments = arguments(flags);
    if flags.canary { canaries(runner, &arguments) } else { report(runner, "sim", &arguments, summary) }
}

/// Builds the program; `broken`: with the mutants in it.
pub(crate) fn build(runner: &mut Runner, broken: bool) -> bool {
    let build = Invocation::cargo("build --release -p fz-proof");
    let build = if broken { build.configured(Configuration::compiler(&[mutants::CFG])) } else { build };
    runner.step("build fz-proof", &build)
}

fn arguments(flags: &Sim) -> Vec<String> {
    let number = |name: &str, number: Option<u64>| number.map(|number| format!("--{name} {number}"));
    let runs = flags.runs.or(flags.canary.then_some(CANARY_RUNS));
    let seed = flags.seed.or(flags.canary.then_some(1));
    let limit = flags.canary.then_some(CANARY_LIMIT_SECONDS);
    let given = [number("runs", runs), number("seconds", flags.seconds), number("seed", seed), number("limit", limit)];
    given.into_iter().flatten().flat_map(|words| words.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn summary(report: &Value) -> String {
    format!("{} runs, {} crash states, {} distinct", report["runs"], report["states"], report["distinct"])
}

/// Runs `command` of the program as one step, whose table goes to the people, and whose summary into the step.
pub(crate) fn report(runner: &mut Runner, command: &str, arguments: &[String], summary: fn(&Value) -> String) {
    let line = format!("{command} {}", arguments.join(" "));
    let mut text = String::new();
    runner.check(command, line.trim_end(), || {
        let report = proof(command, arguments, None)?;
        report["text"].as_str().unwrap_or_default().clone_into(&mut text);
        Ok(summary(&report))
    });
    if !text.is_empty() {
        runner.note(&text);
    }
}

/// Each broken twin must be rejected.
fn canaries(runner: &mut Runner, arguments: &[String]) {
    for mutant in CANARIES {
        runner.check(&format!("sim × {mutant}"), "sim --canary", || match proof("sim", arguments, Some(mutant)) {
            Ok(report) => Err(format!("SURVIVED {}", summary(&report))),
            Err(failure) if failure.contains("to repeat: ") => {
                // `A: …`: the promise, and what was found.
                let found = failure.lines().find(|line| line.get(1..3) == Some(": "));
                Ok(found.unwrap_or("rejected").chars().take(100).collect())
            }
            Err(other) => Err(other),
        });
    }
}

/// Runs the program: its report, or what went wrong. What it says on the way goes to standard error.
fn proof(command: &str, arguments: &[String], mutant: Option<&str>) -> Result<Value, String> {
    let program = workspace::target_directory().join("release/fz-proof");
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
    let output = Command::new(&program)
        .arg(command)
        .arg("--json")
        .args(arguments)
        .envs(mutant.map(|mutant| ("FZ_MUTANT", mutant)))
        .stdin(Stdio::null())
        .stderr(if mutant.is_some() { Stdio::piped() } else { Stdio::inherit() })
        .output()
        .map_err(|error| failed(&error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A hang ends the process, which has time for a line on standard error only.
    let said = || format!("{}\n{}", failed(&output.status), String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_str(text.trim()).map_err(|_| said())?;
    match object["failure"].as_str() {
        Some(failure) => Err(failure.to_owned()),
        None if output.status.success() => Ok(object),
        None => Err(failed(&output.status)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command as Chosen, Flags};

    #[test]
    fn every_flag_is_handed_on() {
        let parsed = |line: &str| match Flags::parse_from(line.split_whitespace()).command {
            Chosen::Sim(flags) => arguments(&flags).join(" "),
            _ => panic!("no sim"),
        };
        assert_eq!(parsed("x sim --seed 0x10 --seconds 9 --runs 8"), "--runs 8 --seconds 9 --seed 16");
        assert_eq!(parsed("x sim"), "");
        assert_eq!(parsed("x sim --canary"), format!("--runs {CANARY_RUNS} --seed 1 --limit 10"));
    }
}
