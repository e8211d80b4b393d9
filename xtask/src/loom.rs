//! `cargo xtask loom`: the concurrent types under two model checkers.
//!
//! A file that calls the checker is a model: in `tests/` a test binary of its own, in `src/` a module of
//! unit tests. Nothing else of the crate's tests runs, because only models may use the swapped-in types.

use std::fs;

use crate::flags::Loom;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package};

/// The bound of the short runs: nearly all known concurrency bugs need no more preemptions.
pub(crate) const SHORT_PREEMPTIONS: u32 = 2;

/// A model checker and how it is compiled in.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) name: &'static str,
    pub(crate) rustflags: &'static str,
    pub(crate) directory: &'static str,
    /// A file that contains one of these holds models.
    calls: &'static [&'static str],
}

/// Explores every interleaving, up to a bound on preemptions.
pub(crate) const LOOM: Checker =
    Checker { name: "loom", rustflags: "--cfg fz_loom", directory: "loom", calls: &["loom::model", "model::Builder"] };

/// Tries many random interleavings of programs too large for loom.
pub(crate) const SHUTTLE: Checker = Checker {
    name: "shuttle",
    rustflags: "--cfg fz_shuttle",
    directory: "shuttle",
    calls: &["shuttle::check", "shuttle::Runner"],
};

pub(crate) fn run(runner: &mut Runner, flags: &Loom) {
    for checker in [&LOOM, &SHUTTLE] {
        for package in checker.crates() {
            if !flags.crates.is_empty() && !flags.crates.contains(&package.name) {
                continue;
            }
            for selection in checker.models(package) {
                let invocation = Invocation::cargo("test --release -p")
                    .argument(&package.name)
                    .words(&selection)
                    .env_if("LOOM_MAX_PREEMPTIONS", flags.preemptions)
                    .env_if("LOOM_MAX_DURATION", flags.seconds)
                    .rustflags(checker.rustflags, checker.directory);
                runner.tests(&format!("{} {} {selection}", checker.name, package.name), &invocation);
            }
        }
    }
    for name in &flags.crates {
        let has_models = |checker: &Checker| checker.crates().iter().any(|package| package.name == *name);
        if ![LOOM, SHUTTLE].iter().any(has_models) {
            runner.skip(&format!("models of {name}"), "the crate has none");
        }
    }
}

impl Checker {
    /// The crates that have models for it.
    pub(crate) fn crates(&self) -> Vec<&'static Package> {
        let mut packages = workspace::checked(&[]);
        packages.retain(|package| package.name != "xtask" && !self.models(package).is_empty());
        packages
    }

    /// The words after `cargo test -p CRATE`, one string for each test binary with models.
    fn models(&self, package: &Package) -> Vec<String> {
        let holds_models = |path: &std::path::Path| {
            fs::read_to_string(path).is_ok_and(|text| self.calls.iter().any(|call| text.contains(call)))
        };
        let mut unit = Vec::new();
        let mut selections = Vec::new();
        for path in package.rust_files() {
            if !holds_models(&path) {
                continue;
            }
            let Ok(inside) = path.strip_prefix(&package.directory) else { continue };
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if inside.starts_with("tests") {
                selections.push(format!("--test {stem}"));
            } else if inside.starts_with("src") {
                unit.push(stem);
            }
        }
        if !unit.is_empty() {
            selections.push(format!("--lib -- {}", unit.join(" ")));
        }
        selections.sort();
        selections
    }
}
