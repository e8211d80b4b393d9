//! The checks on programs broken on purpose: each must be rejected.

use std::io;
use std::process::Command;

use crate::report::{Findings, Report};

/// A mutant of [`fz_error::mutants`], the arguments of a check, and the phase that must fail.
const CANARIES: [(&str, &str, &str); 8] = [
    ("drop_one_write", "kill", "--mode kill --fs host --kills 40"),
    ("release_before_write", "kill", "--mode kill --fs host --kills 20"),
    ("ack_before_sync", "power", "--mode power --fs ext4 --states 600"),
    ("sync_before_last_write", "power", "--mode power --fs ext4 --states 600"),
    ("retry_failed_sync", "fault", "--mode fault --fs host"),
    ("skip_directory_sync", "fault", "--mode fault --fs host"),
    ("ack_before_sync", "acks", "--mode acks --fs host --acks 500"),
    ("sync_before_last_write", "acks", "--mode acks --fs host --acks 500"),
];

/// Runs this program on each of them.
pub(crate) fn check(report: &mut Report, seed: u64) {
    if !cfg!(fz_mutants) {
        report.skip("canaries", "the mutants compiled in: cargo xtask crash --canary builds them");
        return;
    }
    for (mutant, mode, arguments) in CANARIES {
        let name = format!("canary {mode} {mutant}");
        let repeat = format!("FZ_MUTANT={mutant} fz-crash {arguments} --seed {seed}");
        report.phase(&name, &repeat, || one(mutant, arguments, seed));
    }
}

fn one(mutant: &str, arguments: &str, seed: u64) -> io::Result<Findings> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments.split(' '))
        .args(["--seed", &seed.to_string()])
        .env("FZ_MUTANT", mutant)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let closing = said.lines().last().unwrap_or_default().to_owned();
    let mut findings = Findings::default();
    // The check's own verdict, and not that it could not run at all.
    let rejected = output.status.code() == Some(1) && !said.contains("could not be carried out");
    if rejected && !closing.contains(" 0 failed") {
        findings.count("rejected", 1);
    } else {
        findings.fail(format!("the mutant was not rejected:\n{said}{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(findings)
}
