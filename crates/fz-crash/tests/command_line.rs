//! The program as people and `cargo xtask crash` use it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fz_crash(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fz-crash"));
    command.args(arguments.split(' '));
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn killed_processes_are_checked_and_counted_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        fz_crash("--mode kill --fs host --kills 6 --seed 1 --json").env("TMPDIR", directory.path()).output().unwrap();
    let text = text(&output);
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(output.status.success(), "{text}");
    assert_eq!((&objects[0]["seed"], &objects[1]["counts"]["kills"]), (&1.into(), &6.into()));
    assert_eq!((&objects[2]["passed"], &objects[2]["failed"]), (&1.into(), &0.into()));
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

/// A check was told to stop, and its child wrote on for minutes into a file that had no name any more.
#[test]
fn a_child_that_nobody_listens_to_ends() {
    let directory = tempfile::tempdir().unwrap();
    let plan = r#"{"seed": 1, "round": 1, "slot_size": 512, "slots": 16, "writers": 2, "writes": 30000, "count_max": 1,
        "wait_every": 8, "grow_every": 0, "distinct": false, "preallocation": 2, "queue_capacity": 16,
        "interval_micros": 0, "full_sync": false}"#;
    let mut child = fz_crash("child")
        .arg(plan)
        .arg(directory.path().join("slots"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "S 16\n");
    drop(said);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_missing_is_skipped_loudly_with_the_command_that_installs_it() {
    let output = fz_crash("--mode acks").env("PATH", "/nowhere").output().unwrap();
    let text = text(&output);
    assert!(text.contains("SKIPPED acks") && text.contains("apt-get install strace"), "{text}");
    assert!(text.ends_with("0 passed, 0 failed, 4 skipped\n"), "{text}");
}

#[test]
fn a_power_cut_on_the_hosts_own_file_system_is_skipped_and_not_passed() {
    let output = fz_crash("--mode power --fs host").output().unwrap();
    assert!(text(&output).ends_with("0 passed, 0 failed, 1 skipped\n"), "{}", text(&output));
}

#[test]
fn a_phase_that_cannot_be_carried_out_has_failed() {
    let output = fz_crash("--replay a-directory-that-does-not-exist").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).ends_with("0 passed, 1 failed, 0 skipped\n"), "{}", text(&output));
}
