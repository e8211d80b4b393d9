//! One line for each phase, and the closing line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Map, Value, json};

/// Failures of one phase that are shown; the rest is counted.
const SHOWN_MAX: usize = 5;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// What a phase did and found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    counts: Vec<(&'static str, u64)>,
    failures: Vec<String>,
    failed: u64,
}

impl Findings {
    /// Adds to the count `name`; the counts are shown in the order in which they first came.
    pub(crate) fn count(&mut self, name: &'static str, more: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += more,
            None => self.counts.push((name, more)),
        }
    }

    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == name).map_or(0, |&(_, count)| count)
    }

    pub(crate) fn fail(&mut self, failure: impl Into<String>) {
        self.failed += 1;
        if self.failures.len() < SHOWN_MAX {
            self.failures.push(failure.into());
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Takes over what another part of the same phase found.
    pub(crate) fn merge(&mut self, other: Self) {
        for (name, count) in other.counts {
            self.count(name, count);
        }
        self.failed += other.failed;
        let room = SHOWN_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
    }
}

/// The whole run so far.
pub(crate) struct Report {
    lines: Box<dyn Write>,
    objects: Option<Box<dyn Write>>,
    started: Instant,
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Report {
    /// Lines for people on standard output; with `json` objects there, and the lines on standard error.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::on(Box::new(anstream::stderr()), Some(Box::new(io::stdout())))
        } else {
            Self::on(Box::new(anstream::stdout()), None)
        }
    }

    fn on(lines: Box<dyn Write>, objects: Option<Box<dyn Write>>) -> Self {
        Self { lines, objects, started: Instant::now(), passed: 0, failed: 0, skipped: 0 }
    }

    /// Runs one phase; `repeat` is the command that repeats it.
    pub(crate) fn phase(&mut self, name: &str, repeat: &str, phase: impl FnOnce() -> io::Result<Findings>) {
        let started = Instant::now();
        let findings = phase().unwrap_or_else(|error| {
            let mut findings = Findings::default();
            findings.fail(format!("could not be carried out: {error}"));
            findings
        });
        self.ended(name, repeat, started.elapsed(), &findings);
    }

    fn ended(&mut self, name: &str, repeat: &str, took: Duration, findings: &Findings) {
        let passed = findings.failed == 0;
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
        let (word, colour) = if passed { ("ok", GREEN) } else { ("FAILED", RED) };
        let counts: Vec<_> = findings.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let seconds = took.as_secs_f64();
        self.line(&format!("{colour}{word:7}{colour:#} {name:28} {seconds:6.1} s  {}", counts.join(", ")));
        for failure in &findings.failures {
            self.line(failure.trim_end());
        }
        if !passed {
            self.line(&format!("{} failures in all\n{RED}to repeat:{RED:#} {repeat}", findings.failed));
        }
        let counts: Map<_, _> = findings.counts.iter().map(|&(name, count)| (name.to_owned(), count.into())).collect();
        self.object(&json!({
            "phase": name,
            "status": if passed { "passed" } else { "failed" },
            "seconds": seconds,
            "counts": counts,
            "failures": findings.failures,
            "repeat": repeat,
        }));
    }

    /// Says loudly that a phase did not run, and what it needs.
    pub(crate) fn skip(&mut self, name: &str, needs: &str) {
        self.skipped += 1;
        self.line(&format!("{YELLOW}SKIPPED{YELLOW:#} {name:28} needs {needs}"));
        self.object(&json!({ "phase": name, "status": "skipped", "needs": needs }));
    }

    /// What all random input comes from.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.line(&format!("seed {seed}"));
        self.object(&json!({ "seed": seed }));
    }

    /// A line that is no phase.
    pub(crate) fn note(&mut self, line: &str) {
        self.line(line);
    }

    /// The closing line, and what the process returns.
    pub(crate) fn finish(mut self) -> ExitCode {
        let seconds = self.started.elapsed().as_secs_f64();
        self.line(&format!("in {seconds:.1} s"));
        self.line(&format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped));
        self.object(&json!({
            "passed": self.passed, "failed": self.failed, "skipped": self.skipped, "seconds": seconds,
        }));
        ExitCode::from(u8::from(self.failed > 0))
    }

    fn line(&mut self, line: &str) {
        // A closed pipe (`| head`) is the reader's wish, no failure of the run.
        let _ = writeln!(self.lines, "{line}");
        let _ = self.lines.flush();
    }

    fn object(&mut self, object: &Value) {
        if let Some(objects) = &mut self.objects {
            let _ = writeln!(objects, "{object}");
        }
    }
}
