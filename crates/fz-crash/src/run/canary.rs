//! The checks on programs broken on purpose: each must be rejected.

use std::collections::BTreeSet;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::os::resources::{Directory, Running};
use crate::report::{Findings, Report};
use crate::subject::child;

/// A check that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(170);

/// A mutant of [`fz_error::mutants`], the arguments of a check, and the phase that must fail.
const CANARIES: [(&str, &str, &str); 19] = [
    ("drop_one_write", "kill", "--mode kill --fs host --kills 40"),
    ("release_before_write", "kill", "--mode kill --fs host --kills 40"),
    ("reverse_batch", "kill", "--mode kill --fs host --kills 40"),
    ("wake_first_waiter_only", "kill", "--mode kill --fs host --kills 100"),
    ("ack_before_sync", "power", "--mode power --fs ext4 --states 600"),
    ("sync_before_last_write", "power", "--mode power --fs ext4 --states 600"),
    ("skip_directory_sync", "power", "--mode power --fs ext4 --states 600"),
    ("skip_the_drop_of_clean_pages", "reopen", "--mode reopen --fs ext4"),
    ("trust_an_aborted_journal", "reopen", "--mode reopen --fs ext4"),
    ("retry_failed_sync", "fault", "--mode fault --fs host"),
    ("retry_failed_sync", "fault", "--mode fault --fs ext4"),
    ("resume_at_wrong_byte", "fault", "--mode fault --fs host"),
    ("eintr_is_failure", "fault", "--mode fault --fs host"),
    ("close_skips_tail", "fault", "--mode fault --fs host"),
    // Hang, both of them.
    ("clear_error_on_success", "fault", "--mode fault --fs host"),
    ("forget_waiters_on_poison", "fault", "--mode fault --fs host"),
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
    let mut sound = BTreeSet::new();
    for (mutant, mode, arguments) in CANARIES {
        if sound.insert(arguments) {
            let repeat = format!("fz-crash {arguments} --seed {seed}");
            report.phase(&format!("canary {mode} without a mutant"), &repeat, || one(None, arguments, seed));
        }
        let name = format!("canary {mode} {mutant}");
        let repeat = format!("FZ_MUTANT={mutant} fz-crash {arguments} --seed {seed}");
        report.phase(&name, &repeat, || one(Some(mutant), arguments, seed));
    }
}

fn one(mutant: Option<&str>, arguments: &str, seed: u64) -> io::Result<Findings> {
    // What a failing check keeps to be looked at is of no use here.
    let place = Directory::new(&std::env::temp_dir())?;
    let mut check = Command::new(std::env::current_exe()?);
    check
        .args(arguments.split(' '))
        .args(["--seed", &seed.to_string()])
        .env("FZ_MUTANT", mutant.unwrap_or_default())
        .env("TMPDIR", place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (running, check) = Running::process(&mut check)?;
    let mut findings = Findings::default();
    let Some(output) = child::end(check, LIMIT)? else {
        // It cleans up, in `place`, which goes after that.
        running.stop();
        findings.fail(format!("the check did not end within {LIMIT:?}: where the program hangs, so does the check"));
        return Ok(findings);
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let closing = said.lines().last().unwrap_or_default().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let ran = !said.contains("could not be carried out") && closing.ends_with(", 0 skipped");
    // The check's own verdict, and not that it could not run at all.
    match (mutant, output.status.code()) {
        (Some(_), Some(1)) if ran => findings.count("rejected", 1),
        // A hang of its own threads ends the whole check.
        (Some(_), Some(130)) if complaint.contains("the run hangs") => findings.count("rejected", 1),
        (None, Some(0)) if ran => findings.count("accepted", 1),
        (Some(_), Some(0)) if ran => findings.fail(format!("the mutant was not rejected:\n{said}")),
        _ => findings.fail(format!("{}:\n{said}{complaint}", output.status)),
    }
    Ok(findings)
}
