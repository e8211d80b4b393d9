//! One command to run: what it is, how to repeat it by hand, and what came of it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::configuration::{self, Configuration};
use crate::workspace;

/// A program, its arguments and what it finds in its environment.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: PathBuf,
    limit: Option<Duration>,
    repeat_as: Option<String>,
    configuration: Option<Configuration>,
}

/// How a command ended, and everything it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) end: End,
    pub(crate) output: String,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    Failure(ExitStatus),
    /// Stopped at its time limit.
    Hang(Duration),
}

impl Invocation {
    /// `program`, run at the root of the workspace.
    pub(crate) fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: workspace::root(),
            limit: None,
            repeat_as: None,
            configuration: None,
        }
    }

    /// `cargo <words>`, the words separated by spaces.
    pub(crate) fn cargo(words: &str) -> Self {
        Self::new("cargo").words(words)
    }

    pub(crate) fn words(mut self, words: &str) -> Self {
        self.arguments.extend(words.split_whitespace().map(str::to_owned));
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn env_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.env(name, value.to_string()),
            None => self,
        }
    }

    /// Compiles with `flags` besides the caller's own `RUSTFLAGS`, in the target directory `name`.
    ///
    /// A directory of its own, because cargo would otherwise compile everything anew each time the
    /// flags change back and forth.
    pub(crate) fn rustflags(self, flags: &str, name: &str) -> Self {
        let own = std::env::var("RUSTFLAGS").unwrap_or_default();
        let flags = format!("{own} {flags}").trim().to_owned();
        let directory = workspace::target_directory().join(name);
        self.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", directory.to_string_lossy())
    }

    /// Compiles our crates in `configuration`.
    pub(crate) fn configured(self, configuration: Configuration) -> Self {
        let invocation = self.env(configuration::VARIABLE, configuration.path());
        Self { configuration: Some(configuration), ..invocation }
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Stop it after `limit`, and call that a hang.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Show `command` as the way to repeat it, where the invocation itself is no good to people.
    pub(crate) fn repeat_as(mut self, command: &Self) -> Self {
        self.repeat_as = Some(command.to_string());
        self
    }

    /// Runs it to its end; its output goes to the file `log` as well.
    ///
    /// Through a file and not a pipe: nothing has to be drained while we wait with a limit, both streams
    /// keep their order, and the whole output is still there afterwards.
    pub(crate) fn run(&self, log: &Path) -> io::Result<Finished> {
        if let Some(configuration) = &self.configuration {
            configuration.write()?;
        }
        fs::create_dir_all(log.parent().unwrap_or(Path::new(".")))?;
        let file = File::create(log)?;
        let started = Instant::now();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let status = match self.limit {
            None => Some(child.wait()?),
            Some(limit) => child.wait_timeout(limit)?,
        };
        let end = match status {
            Some(status) if status.success() => End::Success,
            Some(status) => End::Failure(status),
            None => {
                child.kill()?;
                child.wait()?;
                End::Hang(self.limit.unwrap_or_default())
            }
        };
        let took = started.elapsed();
        let output = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        Ok(Finished { end, output, took })
    }
}

/// The line to paste into a shell.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = &self.repeat_as {
            return f.write_str(line);
        }
        let quote =
            |word: &str| shlex::try_quote(word).map_or_else(|_| format!("{word:?}"), std::borrow::Cow::into_owned);
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quote(value))?;
        }
        f.write_str(&quote(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quote(argument)))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => write!(f, "succeeded"),
            Self::Failure(status) => write!(f, "{status}"),
            Self::Hang(limit) => write!(f, "did not end within {} s and was stopped", limit.as_secs()),
        }
    }
}

impl Finished {
    /// How many tests the test harness reports as run, whether they passed or failed.
    pub(crate) fn tests(&self) -> u32 {
        self.output
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("test result: "))
            .flat_map(|line| line.split([';', '.']))
            .filter_map(|part| {
                let (number, word) = part.trim().split_once(' ')?;
                let number = number.parse::<u32>().ok()?;
                matches!(word, "passed" | "failed").then_some(number)
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_keeps_the_environment_and_the_quotes() {
        let invocation = Invocation::cargo("test -p fz-mpsc").argument("a b").env("RUSTFLAGS", "--cfg fz_loom");
        assert_eq!(invocation.to_string(), "RUSTFLAGS='--cfg fz_loom' cargo test -p fz-mpsc 'a b'");
    }

    #[test]
    fn a_command_past_its_limit_is_stopped_and_called_a_hang() {
        let log = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(20);
        // `cat` on a fifo that nobody writes to never ends by itself.
        let fifo = log.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let invocation = Invocation::new("cat").argument(fifo.to_string_lossy()).limit(limit);
        assert_eq!(invocation.run(&log.path().join("log")).unwrap().end, End::Hang(limit));
    }

    #[test]
    fn tests_are_counted_over_all_binaries() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 9 ignored; 0 measured\n\
                      test result: FAILED. 3 passed; 1 failed; 0 ignored; 7 measured; 12 filtered out\n";
        let finished = Finished { end: End::Success, output: output.to_owned(), took: Duration::ZERO };
        assert_eq!(finished.tests(), 6);
    }
}
