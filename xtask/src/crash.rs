//! `cargo xtask crash`: kills, power cuts, failing calls, files opened anew after a failure, and traced
//! acknowledgements on real kernels.
//!
//! Builds `fz-crash`, runs it, and reports its phases as steps.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::configuration::Configuration;
use crate::flags::Crash;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{mutants, workspace};

/// A command that shows, as far as one can, whether a phase can run.
const PROBE: &str = "id -u && strace -V && ls -l /dev/fuse /dev/loop-control";

/// The lines of the program that are shown when it did not come to its end.
const TAIL_LINES: usize = 20;

pub(crate) fn run(runner: &mut Runner, flags: &Crash) {
    if !cfg!(target_os = "linux") {
        return runner.missing("crash", "needs Linux", "uname");
    }
    let build = Invocation::cargo("build --release -p fz-crash");
    let build = if flags.canary { build.configured(Configuration::compiler(&[mutants::CFG])) } else { build };
    if !runner.step("build fz-crash", &build) {
        return;
    }
    let program = workspace::target_directory().join("release/fz-crash");
    let log = workspace::target_directory().join("xtask-logs/fz-crash.log");
    if let Err(error) = phases(runner, &program, &arguments(flags), &log) {
        runner.check("fz-crash", "crash", || Err(error));
    }
}

/// Whether this process may mount.
pub(crate) fn is_root() -> bool {
    // The owner of a process's directory is its effective user. Where there is no such directory, nothing here runs.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn arguments(flags: &Crash) -> Vec<String> {
    let mut arguments = vec!["--json".to_owned()];
    let mut give = |name: &str, value: Option<String>| {
        arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    };
    give("--fs", (!flags.fs.is_empty()).then(|| flags.fs.join(",")));
    give("--mode", (!flags.mode.is_empty()).then(|| flags.mode.join(",")));
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    give("--states", number(flags.states));
    give("--kills", number(flags.kills));
    give("--acks", number(flags.acks));
    give("--seed", number(flags.seed));
    give("--phase-seconds", number(flags.phase_seconds));
    give("--replay", flags.replay.as_ref().map(|kept| kept.to_string_lossy().into_owned()));
    let switches = [("--every-fault", flags.every_fault), ("--canary", flags.canary)];
    arguments.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()));
    arguments
}

/// Runs the program, whose lines for people go to `log`, and reports each phase when it ends.
fn phases(runner: &mut Runner, program: &Path, arguments: &[String], log: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // The lines for people, and a panic if there is one.
        .stderr(File::create(log).map_err(|error| format!("{}: {error}", log.display()))?)
        .spawn()
        .map_err(failed)?;
    let (mut ended, mut wrong) = (false, Ok(()));
    for line in BufReader::new(child.stdout.take().expect("it is piped")).split(b'\n') {
        let Ok(line) = line else { break };
        match serde_json::from_slice::<Value>(&line) {
            Ok(object) => {
                ended |= object["passed"].is_u64();
                phase(runner, &object);
            }
            // It goes on all the same, and holds mounts until its end.
            Err(error) if wrong.is_ok() => wrong = Err(format!("{}: {error}", String::from_utf8_lossy(&line))),
            Err(_) => {}
        }
    }
    let status = child.wait().map_err(failed)?;
    wrong?;
    // 0: all passed; 1: a phase failed, and was reported.
    if ended && matches!(status.code(), Some(0 | 1)) {
        return Ok(());
    }
    let said = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    Err(format!("fz-crash did not come to its end: {status}; all it said is in {}\n{tail}", log.display()))
}

fn phase(runner: &mut Runner, object: &Value) {
    if let Some(seed) = object["seed"].as_u64() {
        runner.seed(seed);
    }
    let Some(name) = object["phase"].as_str() else { return };
    let name = format!("crash {name}");
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let counts: Vec<String> =
        object["counts"].as_object().into_iter().flatten().map(|(name, count)| format!("{name} {count}")).collect();
    let detail = format!("{:.1} s: {}", object["seconds"].as_f64().unwrap_or_default(), counts.join(", "));
    let failures: Vec<&str> = object["failures"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let counted = object["counts"].as_object().into_iter().flatten().any(|(_, count)| count.as_u64() != Some(0));
    let repeat = text("repeat");
    let repeat = repeat.strip_prefix("cargo xtask ").unwrap_or(&repeat);
    match object["status"].as_str() {
        Some("skipped") => runner.missing(&name, &format!("needs {}", text("needs")), PROBE),
        // A time too short for the set-up, say: nothing failed, because nothing was tried. A replay looks again at
        // one disk, and counts nothing.
        Some("passed") if !counted && name != "crash replay" => {
            runner.check(&name, repeat, || Err(format!("checked nothing: {detail}")));
        }
        Some("passed") => drop(runner.check(&name, repeat, || Ok(detail))),
        _ => drop(runner.check(&name, repeat, || Err(format!("{detail}\n{}", failures.join("\n"))))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command as Chosen, Flags};

    #[test]
    fn every_flag_is_handed_on() {
        let line = "crash --fs ext4,xfs --mode power,reopen --states 9 --kills 8 --acks 7 --seed 0x10 \
                    --phase-seconds 6 --every-fault";
        let expected = "--json --fs ext4,xfs --mode power,reopen --states 9 --kills 8 --acks 7 --seed 16 \
                        --phase-seconds 6 --every-fault";
        let others = [("crash --canary", "--json --canary"), ("crash --replay d", "--json --replay d")];
        for (line, expected) in others.into_iter().chain([(line, expected)]) {
            let words = std::iter::once("cargo-xtask").chain(line.split_whitespace());
            let Chosen::Crash(flags) = Flags::parse_from(words).command else { panic!("no crash") };
            assert_eq!(arguments(&flags), expected.split_whitespace().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_program_that_says_something_else_is_waited_for_and_what_it_says_then_is_reported() {
        let mut runner = Runner::silent();
        let directory = tempfile::tempdir().unwrap();
        let ended = directory.path().join("ended");
        let script = format!(
            r#"echo no object; i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done
            echo '{{ "phase": "kill host", "status": "failed", "counts": {{}}, "failures": ["a loss"] }}'; : > {}"#,
            ended.display()
        );
        let error = phases(&mut runner, Path::new("sh"), &["-c".to_owned(), script], &directory.path().join("log"))
            .unwrap_err();
        assert!(error.contains("no object"), "{error}");
        assert!(ended.exists());
        assert_eq!(runner.failed(), 1);
    }

    #[test]
    fn a_phase_that_counted_nothing_has_failed() {
        let mut runner = Runner::silent();
        let phase_of = |counts: &str| {
            serde_json::from_str(&format!(
                r#"{{ "phase": "kill host", "status": "passed", "seconds": 0.1, "counts": {counts}, "repeat": "" }}"#
            ))
            .unwrap()
        };
        phase(&mut runner, &phase_of(r#"{ "kills": 1 }"#));
        assert_eq!(runner.failed(), 0);
        for (failed, counts) in [(1, "{}"), (2, r#"{ "kills": 0 }"#)] {
            phase(&mut runner, &phase_of(counts));
            assert_eq!(runner.failed(), failed, "{counts}");
        }
    }
}
