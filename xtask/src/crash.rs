//! `cargo xtask crash`: kills, power cuts, failing calls and traced acknowledgements on real kernels.
//!
//! Builds `fz-crash`, runs it, and reports its phases as steps.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::configuration::Configuration;
use crate::flags::Crash;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{mutants, workspace};

/// What shows whether a phase can run, as far as one command can.
const PROBE: &str = "test -w /dev/fuse -a -w /dev/loop-control";

pub(crate) fn run(runner: &mut Runner, flags: &Crash) {
    let build = Invocation::cargo("build --release -p fz-crash");
    let build = if flags.canary { build.configured(Configuration::compiler(&[mutants::CFG])) } else { build };
    if !runner.step("build fz-crash", &build) {
        return;
    }
    let program = workspace::target_directory().join("release/fz-crash");
    if let Err(error) = phases(runner, &program, &arguments(flags)) {
        runner.check("fz-crash", "crash", || Err(error));
    }
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
    give("--seconds", number(flags.seconds));
    give("--replay", flags.replay.as_ref().map(|kept| kept.to_string_lossy().into_owned()));
    let switches = [("--every-fault", flags.every_fault), ("--canary", flags.canary)];
    arguments.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()));
    arguments
}

/// Runs the program, and reports each phase when it ends.
fn phases(runner: &mut Runner, program: &Path, arguments: &[String]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut ended = false;
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line.map_err(failed)?;
        let object: Value = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        ended |= object["passed"].is_u64();
        phase(runner, &object);
    }
    let status = child.wait().map_err(failed)?;
    if ended { Ok(()) } else { Err(format!("fz-crash did not come to its end: {status}")) }
}

fn phase(runner: &mut Runner, object: &Value) {
    if let Some(seed) = object["seed"].as_u64() {
        runner.note(&format!("seed {seed} (repeat the same input with --seed {seed})"));
    }
    let Some(name) = object["phase"].as_str() else { return };
    let name = format!("crash {name}");
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let counts: Vec<String> =
        object["counts"].as_object().into_iter().flatten().map(|(name, count)| format!("{name} {count}")).collect();
    let detail = format!("{:.1} s: {}", object["seconds"].as_f64().unwrap_or_default(), counts.join(", "));
    let failures: Vec<&str> = object["failures"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let repeat = text("repeat");
    let repeat = repeat.strip_prefix("cargo xtask ").unwrap_or(&repeat);
    match object["status"].as_str() {
        Some("skipped") => runner.missing(&name, &format!("needs {}", text("needs")), PROBE),
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
        let line = "cargo-xtask crash --fs ext4,xfs --mode power --states 9 --kills 8 --acks 7 --seed 0x10 --seconds 6 \
                    --replay d --every-fault --canary";
        let Chosen::Crash(flags) = Flags::parse_from(line.split_whitespace()).command else { panic!("no crash") };
        let expected = "--json --fs ext4,xfs --mode power --states 9 --kills 8 --acks 7 --seed 16 --seconds 6 --replay d \
                        --every-fault --canary";
        assert_eq!(arguments(&flags), expected.split_whitespace().collect::<Vec<_>>());
    }
}
