//! The test binaries with the mutants compiled in.
//!
//! They are run directly: a hang can be stopped by killing one process, and no `cargo` start is paid per
//! cell of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::table::{Build, Check};
use super::{DIRECTORY, RUSTFLAGS};
use crate::invocation::{End, Invocation};
use crate::loom;
use crate::runner::Runner;
use crate::workspace;

/// Where each package's test binaries are.
#[derive(Debug)]
pub(crate) struct Binaries(BTreeMap<(Build, String, String), PathBuf>);

impl Build {
    fn configure(self, invocation: Invocation) -> Invocation {
        match self {
            Self::Plain => invocation.rustflags(RUSTFLAGS, DIRECTORY),
            Self::Loom => {
                let flags = format!("{RUSTFLAGS} {}", loom::LOOM.rustflags);
                invocation.words("--release").rustflags(&flags, "mutants-loom")
            }
        }
    }
}

impl Binaries {
    /// Builds the tests of `packages`; `None` if that failed, which is reported.
    pub(crate) fn build(runner: &mut Runner, packages: &BTreeSet<&str>, builds: &BTreeSet<Build>) -> Option<Self> {
        let mut binaries = BTreeMap::new();
        for &build in builds {
            let mut invocation = Invocation::cargo("test --no-run --tests --message-format=json-render-diagnostics");
            for package in packages {
                invocation = invocation.words("-p").argument(*package);
            }
            let built = runner.judged(&format!("build the mutants{build}"), &build.configure(invocation), |finished| {
                if finished.end != End::Success {
                    return Err(finished.end.to_string());
                }
                for message in finished.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                    if let Some((package, target, path)) = executable(&message) {
                        binaries.insert((build, package, target), path);
                    }
                }
                Ok(String::new())
            });
            if !built {
                return None;
            }
        }
        Some(Self(binaries))
    }

    /// How to run `check`; `None` if `package` has no such test binary.
    pub(crate) fn invocation(&self, package: &str, check: Check, limit: Duration) -> Option<Invocation> {
        let binary = self.0.get(&(check.build, package.to_owned(), check.target.to_owned()))?;
        let directory = &workspace::packages().iter().find(|candidate| candidate.name == package)?.directory;
        Some(
            Invocation::new(binary.to_string_lossy())
                .argument(check.filter)
                .directory(directory)
                // Same random input in every run, and no failing case kept in the source: the code is broken on purpose.
                .env("PROPTEST_RNG_SEED", "1")
                .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
                .limit(limit),
        )
    }

    /// The same as a line for people.
    pub(crate) fn repeat(package: &str, check: Check, mutant: Option<&str>) -> Invocation {
        let cargo = check.build.configure(Invocation::cargo("test -p").argument(package));
        let cargo =
            if check.target == "lib" { cargo.words("--lib") } else { cargo.words("--test").argument(check.target) };
        cargo.argument(check.filter).env("PROPTEST_RNG_SEED", "1").env_if("FZ_MUTANT", mutant)
    }
}

/// Package, test target and path of the test binary that a message of cargo announces.
fn executable(message: &Value) -> Option<(String, String, PathBuf)> {
    let path = message["executable"].as_str()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let package = workspace::packages().iter().find(|package| manifest.starts_with(&package.directory))?;
    let target = &message["target"];
    let name = if target["kind"][0] == "test" { target["name"].as_str()? } else { "lib" };
    Some((package.name.clone(), name.to_owned(), path.into()))
}
