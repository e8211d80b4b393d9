//! `cargo xtask tidy`: the house rules that a machine can check.
//!
//! Each rule takes text and returns findings, so that its tests can feed it a broken twin that it must reject.

mod kept;
mod layers;
mod readme;
mod rust;
mod text;
mod yields;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::runner::Runner;
use crate::{mutants, workspace};

/// The crates in which `unsafe` may stand.
pub(crate) const UNSAFE_CRATES: [&str; 4] = ["fz-process", "fz-mpsc", "fz-bufpool", "fz-file"];

/// A broken rule: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: PathBuf,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

pub(crate) fn run(runner: &mut Runner) {
    runner.check("tidy: Rust files", "tidy", || {
        on_files(|path| path.extension().is_some_and(|e| e == "rs"), rust::check)
    });
    runner.check("tidy: words and paths", "tidy", || on_files(text::applies, text::check));
    runner.check("tidy: loops that yield", "tidy", || on_files(yields::applies, yields::check));
    runner.check("tidy: layers", "tidy", || verdict(&layers::check(workspace::packages()), ""));
    runner.check("tidy: READMEs", "tidy", readmes);
    runner.check("tidy: cases that failed", "tidy", kept_cases);
    runner.check("tidy: mutants are in the table", "tidy", mutants::agreement);
}

/// Applies `rule` to each file of the tree that `applies` accepts.
fn on_files(applies: fn(&Path) -> bool, rule: fn(&Path, &str) -> Vec<Finding>) -> Result<String, String> {
    let mut findings = Vec::new();
    let mut files = 0;
    for path in workspace::files()?.iter().filter(|path| applies(path)) {
        let bytes = fs::read(workspace::root().join(path)).map_err(|error| format!("{}: {error}", path.display()))?;
        // What is not text (an image in the documentation) is nothing for these rules.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        findings.extend(rule(path, &text));
        files += 1;
    }
    verdict(&findings, &format!("{files} files"))
}

fn readmes() -> Result<String, String> {
    let mut findings = Vec::new();
    let packages = workspace::packages().iter().filter(|package| package.name != "xtask");
    for package in packages {
        let path = package.directory.join("README.md");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let path = path.strip_prefix(workspace::root()).unwrap_or(&path);
        findings.extend(readme::check(path, &text, &package.description));
    }
    verdict(&findings, "")
}

fn kept_cases() -> Result<String, String> {
    let exists = |path: &Path| workspace::root().join(path).is_file();
    let (files, untracked) = (workspace::files()?, workspace::untracked()?);
    let cases: Vec<_> = files.iter().filter(|path| kept::applies(path)).collect();
    let findings: Vec<_> =
        cases.iter().filter_map(|path| kept::check(path, exists, !untracked.contains(path))).collect();
    verdict(&findings, &format!("{} files", cases.len()))
}

fn verdict(findings: &[Finding], detail: &str) -> Result<String, String> {
    if findings.is_empty() {
        return Ok(detail.to_owned());
    }
    Err(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
