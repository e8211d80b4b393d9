//! One line for each phase, and the closing line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Map, Value, json};

use crate::os::resources;

/// Failures of one phase that are shown; the rest is counted. After this many a phase begins nothing new.
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

    /// Whether a phase is to end, at its deadline or because it has failed often enough: where each failure is one
    /// that is waited for, all of them would take hours.
    pub(crate) fn is_over(&self, until: Option<Instant>) -> bool {
        self.failed >= SHOWN_MAX as u64 || until.is_some_and(|until| Instant::now() >= until)
    }

    /// Fails a phase that has come to its end, and not to its deadline, without having counted each of `names`: it
    /// checked nothing.
    pub(crate) fn require(&mut self, until: Option<Instant>, names: &[&str]) {
        if self.failed > 0 || self.is_over(until) {
            return;
        }
        for name in names {
            if self.counted(name) == 0 {
                self.fail(format!("checked nothing: {name} 0"));
            }
        }
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
    /// What the names of phases that are to run contain.
    only: String,
    started: Instant,
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Report {
    /// Lines for people on standard output; with `json` objects there, and the lines on standard error. Phases whose
    /// names do not contain `only` are passed over.
    pub(crate) fn new(json: bool, only: &str) -> Self {
        if json {
            Self::on(Box::new(anstream::stderr()), Some(Box::new(io::stdout())), only)
        } else {
            Self::on(Box::new(anstream::stdout()), None, only)
        }
    }

    fn on(lines: Box<dyn Write>, objects: Option<Box<dyn Write>>, only: &str) -> Self {
        let (only, started) = (only.to_owned(), Instant::now());
        Self { lines, objects, only, started, passed: 0, failed: 0, skipped: 0 }
    }

    /// Runs one phase; `repeat` is the command that repeats it.
    pub(crate) fn phase(&mut self, name: &str, repeat: &str, phase: impl FnOnce() -> io::Result<Findings>) {
        if !name.contains(&self.only) {
            return;
        }
        let started = Instant::now();
        let findings = phase().unwrap_or_else(|error| {
            let mut findings = Findings::default();
            findings.fail(format!("could not be carried out: {error}"));
            findings
        });
        resources::halt_if_stopping();
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
        if !name.contains(&self.only) {
            return;
        }
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
        if self.passed + self.failed + self.skipped == 0 {
            self.failed += 1;
            self.line(&format!("{RED}FAILED{RED:#}  no phase's name contains {:?}", self.only));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn report(only: &str) -> Report {
        Report::on(Box::new(io::sink()), None, only)
    }

    #[test]
    fn only_the_phases_that_were_asked_for_run() {
        let mut report = report("disk");
        let mut ran = Vec::new();
        for name in ["fault disk ext4", "fault full ext4"] {
            report.phase(name, "", || {
                ran.push(name);
                Ok(Findings::default())
            });
        }
        report.skip("kill ext4", "nothing");
        assert_eq!((ran, report.passed, report.skipped), (vec!["fault disk ext4"], 1, 0));
        assert_eq!(report.finish(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_phase_that_counted_nothing_has_failed_unless_it_was_cut_short() {
        let now = Instant::now();
        for (acks, until, failed) in [(1, None, 0), (0, None, 1), (0, Some(now), 0), (0, now.checked_add(HOUR), 1)] {
            let mut findings = Findings::default();
            findings.count("kills", 1);
            findings.count("acks", acks);
            findings.require(until, &["kills", "acks"]);
            assert_eq!(findings.failed(), failed, "{acks} {until:?}");
        }
    }

    #[test]
    fn a_run_without_a_phase_has_failed() {
        assert_eq!(report("no such name").finish(), ExitCode::FAILURE);
    }
}
