//! The program as the project's commands and people start it.

use std::process::Command;

#[test]
fn nothing_to_measure_is_a_failure() {
    for arguments in [["--only", "no work has such a name"], ["--suite", "no suite has"], ["--peers", "nobody-has"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_fz-bench")).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(arguments[1]), "{arguments:?}: {said}");
    }
}
