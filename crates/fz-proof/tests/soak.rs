//! The soak test for some seconds: long runs are `cargo xtask soak`.
#![cfg(target_os = "linux")] // what a process holds is read from /proc

use std::time::Duration;

use fz_proof::Soak;

#[test]
fn h_pipes_that_come_and_go_leave_nothing_behind() {
    let mut lines = 0;
    let report =
        Soak::new(1).time(Duration::from_secs(3)).run(|_| lines += 1).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.pipes() > 0, "{report}");
    assert!(lines > 1, "memory, descriptors and threads were read {lines} times, and never compared");
}
