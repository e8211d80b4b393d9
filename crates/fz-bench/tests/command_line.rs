//! The program as the project's commands and people start it.

use std::process::Command;

#[test]
fn nothing_to_measure_is_a_failure() {
    for arguments in [["--only", "no work has such a name"], ["--suite", "no suite has"], ["--peers", "no-such-peer"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_fz-bench")).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(arguments[1]), "{arguments:?}: {said}");
    }
}

#[test]
fn hogs_end_with_their_turn() {
    let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hogs");
    let out = place.join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_fz-bench"))
        .args(["--quick", "--rounds", "1", "--suite", "commit", "--only", "128 B, blocking threads: 4", "--hogs", "2"])
        .arg("--dir")
        .arg(place.join("data"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("beside 2 processes that only compute"), "{said}");
    assert!(said.contains("command: cargo xtask bench --suite commit") && said.contains("--hogs 2"), "{said}");
    let results = std::fs::read_to_string(out.join("bench.json")).unwrap();
    assert!(results.contains("\"hogs\": 2"), "{results}");
    // A hog inherits standard error: had one outlived its turn, `output` would not have returned.
}

#[test]
fn a_hog_ends_when_its_parent_is_gone() {
    // The output has an end only when the hog, which inherits it, has ended.
    let script = "\"$0\" hog --parent $$ &";
    let output = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_fz-bench")]).output().unwrap();
    assert!(output.status.success());
}
