//! Runs a child under `strace`, with calls that fail if asked to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::oracle::trace::{self, Event, WAITS};
use crate::os::resources::Running;
use crate::os::storm;
use crate::subject::child::{self, Line};
use crate::subject::plan::Plan;
use crate::subject::workload;

/// Calls whose arguments are shown as plain numbers: the bytes that they write would be many.
const RAW: &str = "pwritev,pwritev2,pwrite64,fdatasync,fsync";

/// The calls by which a slot file comes to be and is written.
pub(crate) const CALLS: [&str; 8] =
    ["openat", "ftruncate", "fallocate", "pwritev", "fdatasync", "fsync", "renameat2", "flock"];

/// What the line of a call ends with that strace let fail.
const INJECTED: &str = "(INJECTED)";

/// A child that runs `plan` under strace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    /// Where its slot file is.
    pub(crate) directory: &'a Path,
    /// Where the trace is, and what the child said.
    pub(crate) notes: &'a Path,
    /// Each is `CALL:error=NAME:when=N`. They hit calls on the slot file, its temporary name and its directory only,
    /// not those by which the child itself is loaded.
    pub(crate) injections: &'a [String],
    /// Signals hail down on the child's threads, each call on the slot file begins with one pending, and the calls in
    /// which threads wait are traced as well.
    pub(crate) signals: bool,
}

/// A traced child.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) events: Vec<Event>,
    /// Calls that failed as asked.
    pub(crate) injected: u64,
    pub(crate) said: Vec<Line>,
    /// What strace and the child said on their standard errors, or that they hung.
    pub(crate) errors: String,
}

impl Job<'_> {
    /// The words that run it.
    pub(crate) fn command_line(&self) -> io::Result<Vec<OsString>> {
        let mut words: Vec<OsString> = ["strace", "-f", "-qq", "-s", "64"].map(OsString::from).into();
        if !self.signals {
            // Faster; but at such a stop strace can give no signal to the call.
            words.push("--seccomp-bpf".into());
        }
        let mut option = |value: String| words.extend(["-e".into(), value.into()]);
        let waits = if self.signals { format!(",{}", WAITS.join(",")) } else { String::new() };
        option(format!("trace=write,pwritev2,pwrite64,{}{waits}", CALLS.join(",")));
        option(format!("raw={RAW}"));
        option(format!("signal={}", if self.signals { storm::SIGNAL } else { "none" }));
        for injection in self.injections {
            option(format!("inject={injection}"));
        }
        if self.signals {
            // Not openat, by which the child is loaded: it has no handler then.
            for call in CALLS.iter().filter(|call| **call != "openat") {
                option(format!("inject={call}:signal={}", storm::SIGNAL));
            }
        } else {
            let own = [self.slots(), self.directory.join(".slots.creating"), self.directory.to_owned(), self.said()];
            words.extend(own.into_iter().flat_map(|path| ["-P".into(), path.into()]));
        }
        words.extend(["-o".into(), self.trace().into(), "--".into()]);
        let flags: &[&str] = if self.signals { &["--late", "--signals"] } else { &["--late"] };
        words.extend(child::command_line(self.plan, &self.slots(), flags)?);
        Ok(words)
    }

    /// Where the child's slot file is.
    pub(crate) fn slots(&self) -> PathBuf {
        self.directory.join("slots")
    }

    fn said(&self) -> PathBuf {
        self.notes.join("said")
    }

    fn trace(&self) -> PathBuf {
        self.notes.join("trace")
    }

    /// Runs it to its end, which comes: a child that hangs says so itself and ends; if even that fails, it is killed.
    pub(crate) fn run(&self) -> io::Result<Traced> {
        let words = self.command_line()?;
        let said = File::create(self.said())?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(said).stderr(Stdio::piped());
        // A group of their own, so that both can be killed.
        let (running, child) = Running::group(&mut command)?;
        let limit = 2 * workload::limit(self.plan);
        let errors = match child::end(child, limit)? {
            Some(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            None => {
                running.stop();
                format!("the run hangs: it did not end within {limit:?}, and was killed")
            }
        };
        let trace = fs::read(self.trace())?;
        let trace = String::from_utf8_lossy(&trace);
        Ok(Traced {
            events: trace::parse(&trace),
            injected: trace.lines().filter(|line| line.ends_with(INJECTED)).count() as u64,
            said: child::listen(File::open(self.said())?, |_| ())?,
            errors,
        })
    }
}
