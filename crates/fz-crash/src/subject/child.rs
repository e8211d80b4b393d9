//! The process that is killed, traced, or given failing system calls: runs a plan and says on its standard
//! output what was promised, one line for each promise, each by one system call.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::os::resources::Running;
use crate::os::storm::Storm;
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;
use crate::subject::workload::{self, Failure, Observer};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "child";

/// What a child said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Slots(u64),
    Accepted(Accepted),
    Durable(u64),
    /// The operating system's number, if there is one, and the words.
    Error(Option<i32>, String),
    /// An error that no disk may cause.
    Broken(String),
    /// How often a call that waited was interrupted by a signal.
    Interrupted(u64),
    /// It came to its end.
    Ended,
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Slots(slots) => format!("S {slots}\n"),
            Self::Accepted(a) => format!("A {} {} {} {}\n", a.tag, a.epoch, a.slot, a.count),
            Self::Durable(epoch) => format!("D {epoch}\n"),
            Self::Error(number, words) => format!("E {} {}\n", number.unwrap_or(0), words.replace('\n', " ")),
            Self::Broken(words) => format!("B {}\n", words.replace('\n', " ")),
            Self::Interrupted(times) => format!("I {times}\n"),
            Self::Ended => "Z\n".to_owned(),
        }
    }

    /// The line that tells of `failure`.
    pub(crate) fn of(failure: &Failure) -> Self {
        let words = failure.to_string();
        if failure.is_broken() { Self::Broken(words) } else { Self::Error(failure.raw_os_error(), words) }
    }

    /// `None` for a line that was cut short.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_at_checked(1)?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let mut numbers = rest.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        Some(match kind {
            "S" => Self::Slots(number()?),
            "A" => Self::Accepted(Accepted { tag: number()?, epoch: number()?, slot: number()?, count: number()? }),
            "D" => Self::Durable(number()?),
            "E" => {
                let (number, words) = rest.split_once(' ')?;
                Self::Error(number.parse().ok().filter(|&number| number != 0), words.to_owned())
            }
            "B" => Self::Broken(rest.to_owned()),
            "I" => Self::Interrupted(number()?),
            "Z" => Self::Ended,
            _ => return None,
        })
    }
}

/// Says it at once, but for what it keeps back until the end.
struct Voice {
    output: File,
    /// The accepted writes, if they need not be said at once.
    kept_back: Option<Mutex<Vec<Accepted>>>,
}

impl Voice {
    fn say(&self, line: &Line) {
        // One call, so that lines of threads do not mix. A pipe without a reader means that the check has ended:
        // the child must not write on for minutes.
        if (&self.output).write_all(line.text().as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}

impl Observer for Voice {
    fn opened(&self, slots: u64) {
        self.say(&Line::Slots(slots));
    }

    fn accepted(&self, write: Accepted) {
        match &self.kept_back {
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(write),
            None => self.say(&Line::Accepted(write)),
        }
    }

    fn durable(&self, epoch: u64) {
        self.say(&Line::Durable(epoch));
    }

    fn grown(&self, slots: u64) {
        self.say(&Line::Slots(slots));
    }
}

/// The child's own main function. With `late` it says which writes were accepted only at its end; with `signals` they
/// hail down on all of its threads.
pub(crate) fn main(plan: &str, path: &Path, late: bool, signals: bool) -> io::Result<ExitCode> {
    let plan: Plan = serde_json::from_str(plan)?;
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let voice = Voice { output, kept_back: late.then(Mutex::default) };
    let storm = signals.then(Storm::begin).transpose()?;
    let outcome = workload::run(&plan, path, &voice);
    if let Some(storm) = storm {
        voice.say(&Line::Interrupted(storm.stop()));
    }
    for write in voice.kept_back.iter().flat_map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone()) {
        voice.say(&Line::Accepted(write));
    }
    for failure in &outcome.errors {
        voice.say(&Line::of(failure));
    }
    voice.say(&Line::Ended);
    Ok(ExitCode::SUCCESS)
}

/// The words that start a child.
pub(crate) fn command_line(plan: &Plan, path: &Path, flags: &[&str]) -> io::Result<Vec<std::ffi::OsString>> {
    let mut words = vec![std::env::current_exe()?.into(), SUBCOMMAND.into(), serde_json::to_string(plan)?.into()];
    words.push(path.into());
    words.extend(flags.iter().map(Into::into));
    Ok(words)
}

/// Starts a child; this process reads its standard output.
pub(crate) fn start(words: &[std::ffi::OsString]) -> io::Result<(Running, Child)> {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::group(&mut command)
}

/// The end of a process, with what it said on its standard error; `None` if it does not come within `limit`.
pub(crate) fn end(child: Child, limit: Duration) -> io::Result<Option<Output>> {
    let (sender, end) = channel();
    // The thread stays behind if the process does: a wait for a process cannot be ended.
    thread::Builder::new().name("fz-crash-end".to_owned()).spawn(move || sender.send(child.wait_with_output()))?;
    end.recv_timeout(limit).ok().transpose()
}

/// Everything that a child says until its end. Each line goes to `hear` at once, too.
pub(crate) fn listen(from: impl Read, mut hear: impl FnMut(&Line)) -> io::Result<Vec<Line>> {
    let mut from = BufReader::new(from);
    let mut lines = Vec::new();
    let mut said = Vec::new();
    // A last line without its end was never said.
    while from.read_until(b'\n', &mut said)? > 0 && said.pop() == Some(b'\n') {
        if let Some(line) = Line::parse(&String::from_utf8_lossy(&said)) {
            hear(&line);
            lines.push(line);
        }
        said.clear();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let lines = [
            Line::Slots(7),
            Line::Accepted(Accepted { tag: 165, epoch: 2, slot: 3, count: 4 }),
            Line::Durable(2),
            Line::Error(Some(5), "no luck".to_owned()),
            Line::Error(None, "no number".to_owned()),
            Line::Broken("a hang".to_owned()),
            Line::Interrupted(9),
            Line::Ended,
        ];
        let text: String = lines.iter().map(Line::text).collect();
        let mut heard = Vec::new();
        assert_eq!(listen(text.as_bytes(), |line| heard.push(line.clone())).unwrap(), lines);
        assert_eq!(heard, lines);
    }

    #[test]
    fn a_line_that_was_cut_short_is_not_heard() {
        assert_eq!(listen("D 12\nD 345".as_bytes(), |_| ()).unwrap(), [Line::Durable(12)]);
        assert_eq!(Line::parse("A 1 2"), None);
    }

    #[test]
    fn a_process_that_does_not_end_is_not_waited_for_for_ever() {
        let mut waits = Command::new("cat");
        let child = waits.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        // Taken apart, since waiting for it would close it.
        let mut child = child;
        let input = child.stdin.take();
        assert!(end(child, Duration::from_millis(20)).unwrap().is_none());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
        drop(input);
    }
}
