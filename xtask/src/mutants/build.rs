//! The test binaries with the mutants compiled in.
//!
//! They are run directly: a hang can be stopped by killing one process, and no `cargo` start is paid per
//! cell of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::CFG;
use super::table::{Build, Check};
use crate::configuration::Configuration;
use crate::invocation::{End, Invocation};
use crate::loom;
use crate::runner::Runner;
use crate::workspace::{self, Selection};

/// The seed of the properties among the checks.
const SEED: &str = "1";

/// What `FZ_MUTANT` says when no mutant is on: the variable is set, so that only the mutant makes a difference.
pub(super) const NO_MUTANT: &str = "none";

/// Where each package's test binaries are.
#[derive(Debug)]
pub(super) struct Binaries(BTreeMap<(Build, String, String), PathBuf>);

impl Build {
    /// The words that select the test binaries of `packages`; none if they have none of this kind.
    fn selection(self, packages: &BTreeSet<&str>) -> BTreeSet<String> {
        let mut words = BTreeSet::new();
        match self {
            Self::Plain => {
                words.insert("--tests".to_owned());
                words.extend(packages.iter().map(|package| format!("-p {package}")));
            }
            // Only the models: nothing else has to compile against the swapped-in types.
            Self::Loom => {
                for package in
                    loom::LOOM.crates().into_iter().filter(|package| packages.contains(package.name.as_str()))
                {
                    words.insert(format!("-p {}", package.name));
                    words.extend(loom::LOOM.models(package).iter().map(Selection::target));
                }
            }
        }
        words
    }

    fn configure(self, invocation: Invocation) -> Invocation {
        match self {
            Self::Plain => invocation.configured(Configuration::compiler(&[CFG])),
            Self::Loom => invocation
                .words("--release --features")
                .argument(loom::LOOM.feature)
                .configured(Configuration::compiler(&[CFG, loom::LOOM.cfg])),
        }
    }
}

impl Binaries {
    /// Builds the tests of `packages`; `None` if that failed, which is reported.
    pub(super) fn build(runner: &mut Runner, packages: &BTreeSet<&str>, builds: &BTreeSet<Build>) -> Option<Self> {
        let mut binaries = BTreeMap::new();
        for &build in builds {
            let words = build.selection(packages);
            if words.is_empty() {
                continue;
            }
            let invocation = Invocation::cargo("test --no-run --message-format=json-render-diagnostics");
            let invocation = invocation.words(&words.into_iter().collect::<Vec<_>>().join(" "));
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
    pub(super) fn invocation(&self, package: &str, check: Check, limit: Duration) -> Option<Invocation> {
        let mut binaries = self.of(package);
        let binary = binaries.find(|binary| (binary.build, binary.target) == (check.build, check.target))?;
        Some(binary.invocation().argument(check.filter).limit(limit))
    }

    /// The test binaries of `package`.
    pub(super) fn of(&self, package: &str) -> impl Iterator<Item = TestBinary<'_>> {
        self.0
            .iter()
            .filter(move |((_, owner, _), _)| owner == package)
            .map(|((build, package, target), path)| TestBinary { build: *build, package, target, path })
    }

    /// The same as a line for people.
    pub(super) fn repeat(package: &str, check: Check, mutant: &str) -> Invocation {
        let cargo = check.build.configure(Invocation::cargo("test -p").argument(package));
        let cargo =
            if check.target == "lib" { cargo.words("--lib") } else { cargo.words("--test").argument(check.target) };
        cargo.argument(check.filter).env("PROPTEST_RNG_SEED", SEED).env("FZ_MUTANT", mutant)
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct TestBinary<'a> {
    pub(super) build: Build,
    package: &'a str,
    /// `lib` for the unit tests, or the name of an integration test.
    pub(super) target: &'a str,
    path: &'a Path,
}

impl TestBinary<'_> {
    /// Runs all its tests, as cargo would run them.
    pub(super) fn invocation(&self) -> Invocation {
        let mut packages = workspace::packages().iter();
        let package = packages.find(|package| package.name == self.package).expect("cargo built it for a package");
        Invocation::new(self.path.to_string_lossy())
            .directory(&package.directory)
            // The same random input in every run, and no failing case kept: the code is broken on purpose.
            .env("PROPTEST_RNG_SEED", SEED)
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
    }

    /// Where its output may go when nobody reads it.
    pub(super) fn log(&self) -> PathBuf {
        self.path.with_extension("log")
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
