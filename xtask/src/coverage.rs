//! `cargo xtask coverage`: what the tests of the crates with error paths never reach, each with a reason.
//!
//! rustc counts a branch of a condition only; the arms of a `match` and the way out of a `?` are regions of
//! their own. So both are looked at: a condition that was never true or never false, and code that never ran.

mod gaps;
mod list;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::invocation::{End, Invocation};
use crate::runner::Runner;
use crate::workspace;
use gaps::{Gap, Measured};

/// The crates whose errors come from the world.
const CRATES: [&str; 3] = ["fz-file", "fz-commit", "fz-wpipe"];

const DIRECTORY: &str = "coverage";

/// The gaps that there are, with their reasons.
const LIST: &str = "xtask/src/coverage/unreached.txt";

/// The programs of LLVM that read what the compiler's own LLVM wrote.
struct Llvm {
    profdata: PathBuf,
    cov: PathBuf,
}

pub(crate) fn run(runner: &mut Runner) {
    let version = rustc("-vV", "LLVM version: ").unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default().to_owned();
    let Some(llvm) = Llvm::find(&major) else {
        let detail = format!(
            "llvm-profdata and llvm-cov of LLVM {major}, which this rustc writes for, are not installed; \
             to install them: apt-get install -y llvm-{major}, or: rustup component add llvm-tools"
        );
        return runner.missing("coverage", &detail, &format!("llvm-cov-{major} --version"));
    };
    let directory = workspace::target_directory().join(DIRECTORY);
    let profiles = directory.join("profiles");
    // What an earlier build left would be merged as well.
    let _ = fs::remove_dir_all(&profiles);
    let Some(binaries) = tests(runner, &profiles) else { return };
    let measured = measure(&llvm, &directory, &binaries);
    if let Ok(measured) = &measured {
        for line in measured.table() {
            runner.note(&line);
        }
    }
    runner.check("coverage: each gap has its reason", "coverage", || verdict(&measured?));
}

/// Runs the tests of the crates, built to count. Returns the test binaries.
fn tests(runner: &mut Runner, profiles: &Path) -> Option<Vec<PathBuf>> {
    let mut binaries = Vec::new();
    let invocation = Invocation::cargo("test --lib --tests")
        .words(&CRATES.map(|name| format!("-p {name}")).join(" "))
        .env("RUSTC_BOOTSTRAP", "1")
        // A process for itself each, and each binary: tests start tests.
        .env("LLVM_PROFILE_FILE", profiles.join("%m-%p.profraw").to_string_lossy())
        .rustflags("-Cinstrument-coverage -Zcoverage-options=branch", DIRECTORY);
    let passed = runner.judged("coverage: tests", &invocation, |finished| {
        binaries = named_binaries(&finished.output);
        match finished.end {
            End::Success => Ok(format!("{} tests", finished.tests())),
            end => Err(end.to_string()),
        }
    });
    passed.then_some(binaries)
}

/// The programs that cargo says it runs: `Running tests/x.rs (target/debug/deps/x-0123)`.
fn named_binaries(output: &str) -> Vec<PathBuf> {
    let named = |line: &str| {
        Some(line.trim_start().strip_prefix("Running ")?.rsplit_once('(')?.1.strip_suffix(')')?.to_owned())
    };
    output.lines().filter_map(named).map(|path| workspace::root().join(path)).collect()
}

fn measure(llvm: &Llvm, directory: &Path, binaries: &[PathBuf]) -> Result<Measured, String> {
    let merged = directory.join("merged.profdata");
    let mut profiles = Vec::new();
    for entry in fs::read_dir(directory.join("profiles")).map_err(|error| error.to_string())? {
        profiles.push(entry.map_err(|error| error.to_string())?.path());
    }
    // A test that kills a process leaves a profile cut short: only if all are is something wrong.
    let mut merge = Command::new(&llvm.profdata);
    merge.args(["merge", "-sparse", "-failure-mode=all", "-o"]).arg(&merged).args(profiles);
    output_of(&mut merge)?;
    let mut export = Command::new(&llvm.cov);
    export.args(["export", "-skip-expansions", "-instr-profile"]).arg(&merged);
    for binary in binaries {
        export.arg("-object").arg(binary);
    }
    let report: Value = serde_json::from_slice(&output_of(&mut export)?).map_err(|error| error.to_string())?;
    let sources = CRATES.map(|name| workspace::root().join("crates").join(name).join("src"));
    gaps::measure(&report, &workspace::root(), &sources)
}

fn output_of(command: &mut Command) -> Result<Vec<u8>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Every gap has an entry of its own in the list, and every entry of the list a line.
fn verdict(measured: &Measured) -> Result<String, String> {
    let path = workspace::root().join(LIST);
    let text = fs::read_to_string(&path).map_err(|error| format!("{LIST}: {error}"))?;
    let listed = list::parse(&text).map_err(|error| format!("{LIST}: {error}"))?;
    let lines = |folder: &str, text: &str| measured.lines(folder, text);
    let (unlisted, stale) = list::compare(&measured.gaps, &listed, lines);
    if unlisted.is_empty() && stale.is_empty() {
        let reached = listed.len() - measured.gaps.len();
        return Ok(format!("{} gaps, {} reasons; {reached} listed ones reached", measured.gaps.len(), listed.len()));
    }
    let unlisted =
        unlisted.iter().map(|gap: &&Gap| format!("{gap}: write a test that reaches it, or its reason into {LIST}"));
    let stale = stale.iter().map(|entry| format!("{LIST}:{}: its line is gone: {}", entry.line, entry.text));
    Err(unlisted.chain(stale).collect::<Vec<_>>().join("\n"))
}

impl Llvm {
    fn find(major: &str) -> Option<Self> {
        let component = rustc("--print=sysroot", "").zip(rustc("-vV", "host: "));
        let component = component.map(|(sysroot, host)| Path::new(&sysroot).join("lib/rustlib").join(host).join("bin"));
        let named = |suffix: &str| Self {
            profdata: format!("llvm-profdata{suffix}").into(),
            cov: format!("llvm-cov{suffix}").into(),
        };
        let candidates = [
            component.map(|bin| Self { profdata: bin.join("llvm-profdata"), cov: bin.join("llvm-cov") }),
            Some(named(&format!("-{major}"))),
            Some(named("")),
        ];
        candidates.into_iter().flatten().find(|llvm| llvm.is_of(major))
    }

    /// Another version of LLVM cannot read what this one writes.
    fn is_of(&self, major: &str) -> bool {
        let version = |program: &Path| output_of(Command::new(program).arg("--version")).unwrap_or_default();
        [&self.profdata, &self.cov].into_iter().all(|program| {
            let text = String::from_utf8_lossy(&version(program)).into_owned();
            text.contains(&format!("LLVM version {major}."))
        })
    }
}

/// What follows `label` in a line that rustc prints.
fn rustc(argument: &str, label: &str) -> Option<String> {
    let text = String::from_utf8(output_of(Command::new("rustc").arg(argument)).ok()?).ok()?;
    text.lines().find_map(|line| line.strip_prefix(label)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binaries_are_those_that_cargo_runs() {
        let output = "   Running unittests src/lib.rs (target/debug/deps/x-1)\nrunning 2 tests\n   \
                      Running tests/y.rs (/t/y-2)\n";
        assert_eq!(named_binaries(output), [workspace::root().join("target/debug/deps/x-1"), "/t/y-2".into()]);
    }

    #[test]
    fn a_missing_llvm_is_not_found() {
        assert!(Llvm::find("0").is_none());
    }
}
