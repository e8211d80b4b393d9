//! The program as people and `cargo xtask crash` use it.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

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

#[test]
fn what_is_missing_is_skipped_loudly_with_the_command_that_installs_it() {
    let output = fz_crash("--mode acks").env("PATH", "/nowhere").output().unwrap();
    let text = text(&output);
    assert!(text.contains("SKIPPED acks") && text.contains("apt-get install strace"), "{text}");
    assert!(text.ends_with("0 passed, 0 failed, 2 skipped\n"), "{text}");
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
