//! `cargo xtask bench`: the pipeline beside its peers, or the instructions of one write.

use std::borrow::Cow;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::flags::Bench;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::tool::Tool;
use crate::workspace;

/// What one allocate + copy + write of 128 bytes may take: the measured number and 15 % for other
/// compilers. Lower it when the path gets shorter.
const INSTRUCTIONS_PER_WRITE_MAX: f64 = 231.0;

/// The instructions of this many writes, less those of no write, are counted.
const WRITES: u32 = 100_000;

/// How much of what a counter said is shown when it gave no number.
const TAIL_LINES: usize = 20;

const VALGRIND: Tool = Tool { name: "valgrind", probe: "valgrind --version", install: "apt-get install valgrind" };

pub(crate) fn run(runner: &mut Runner, flags: &Bench) {
    if !cfg!(target_os = "linux") {
        return runner.missing("fz-bench", "needs Linux: what a turn costs is read from /proc and /sys", "uname");
    }
    let feature = |peer: &String| match peer.as_str() {
        "none" => None,
        "all" => Some("all-peers".to_owned()),
        peer => Some(peer.to_owned()),
    };
    let features: Vec<_> = flags.peers.iter().filter_map(feature).collect();
    let build = Invocation::cargo("build --release -p fz-bench --features").argument(features.join(","));
    if !runner.step("build fz-bench", &build) {
        return;
    }
    let program = workspace::target_directory().join("release/fz-bench");
    if flags.instructions { instructions(runner, &program) } else { suites(runner, flags, &program) }
}

/// Runs the suites; their progress and tables go straight to the terminal.
fn suites(runner: &mut Runner, flags: &Bench, program: &Path) {
    let out = workspace::target_directory().join("bench");
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).arg("--peers").arg(flags.peers.join(",")).arg("--out").arg(&out);
    command.arg("--dir").arg(flags.dir.clone().unwrap_or_else(|| out.join("data")));
    if !flags.suite.is_empty() {
        command.arg("--suite").arg(flags.suite.join(","));
    }
    if let Some(text) = &flags.only {
        command.arg("--only").arg(text);
    }
    if flags.quick {
        command.arg("--quick");
    }
    if let Some(rounds) = flags.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    if flags.hogs > 0 {
        command.arg("--hogs").arg(flags.hogs.to_string());
    }
    if runner.is_for_programs() {
        // Standard output is for the objects of our steps; the results are in a file, which the step names.
        command.arg("--json").stdout(Stdio::null());
    }
    runner.check("suites", &repeat(flags), || match command.status() {
        Ok(status) if status.success() => Ok(format!("in {}", out.join("bench.json").display())),
        Ok(status) => Err(format!("fz-bench: {status}; it says why above")),
        Err(error) => Err(format!("{}: {error}", program.display())),
    });
}

fn repeat(flags: &Bench) -> String {
    let mut line = format!("bench --peers {}", flags.peers.join(","));
    if flags.quick {
        line += " --quick";
    }
    if !flags.suite.is_empty() {
        line += &format!(" --suite {}", flags.suite.join(","));
    }
    if let Some(text) = &flags.only {
        line += &format!(" --only {}", quoted(text));
    }
    if let Some(rounds) = flags.rounds {
        line += &format!(" --rounds {rounds}");
    }
    if flags.hogs > 0 {
        line += &format!(" --hogs {}", flags.hogs);
    }
    if let Some(directory) = &flags.dir {
        line += &format!(" --dir {}", quoted(&directory.to_string_lossy()));
    }
    line
}

/// A word for a shell.
fn quoted(word: &str) -> Cow<'_, str> {
    // Only a NUL cannot be quoted, and no argument holds one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// Counts what the processor does for one write: the same on a busy machine as on an idle one.
fn instructions(runner: &mut Runner, program: &Path) {
    let name = "instructions per write";
    let counter: fn(&Path, u32) -> Result<f64, String> = if perf(program, 0).is_ok() {
        perf
    } else if runner.has(name, &VALGRIND) {
        callgrind
    } else {
        return;
    };
    runner.check(name, "bench --instructions", || {
        let each = (counter(program, WRITES)? - counter(program, 0)?) / f64::from(WRITES);
        if each > INSTRUCTIONS_PER_WRITE_MAX {
            return Err(format!(
                "{each:.1} instructions for one allocate + copy + write, where {INSTRUCTIONS_PER_WRITE_MAX} are \
                 allowed; make the path shorter, or raise the bound in xtask/src/bench.rs and say why"
            ));
        }
        Ok(format!("{each:.1}, at most {INSTRUCTIONS_PER_WRITE_MAX}"))
    });
}

/// perf-stat(1); virtual machines often have no counter.
fn perf(program: &Path, writes: u32) -> Result<f64, String> {
    let counter = ["perf", "stat", "-x,", "-e", "instructions:u", "--"];
    count(&counter, program, writes, |line| line.contains("instructions:u").then(|| line.split(',').next())?)
}

/// valgrind(1) runs the program on a simulated processor.
fn callgrind(program: &Path, writes: u32) -> Result<f64, String> {
    let counter = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
    count(&counter, program, writes, |line| Some(line.split_once("Collected :")?.1))
}

/// The number that `counter` writes to standard error about a run of `fz-bench count`: `number` finds it in its line.
fn count(counter: &[&str], program: &Path, writes: u32, number: fn(&str) -> Option<&str>) -> Result<f64, String> {
    let mut command = Command::new(counter[0]);
    command.args(&counter[1..]).arg(program).args(["count", "--writes", &writes.to_string()]);
    let output = command.output().map_err(|error| format!("{}: {error}", counter[0]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let failed = |what: &str| {
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("{} {}: {what}; the end of what it said:\n{tail}", counter.join(" "), program.display())
    };
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    lines.iter().find_map(|line| number(line)?.trim().parse().ok()).ok_or_else(|| failed("no number in its output"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command as Chosen, Flags};

    #[test]
    fn the_line_to_repeat_repeats_the_same() {
        let full =
            "bench --peers sled,redb --quick --suite commit --only '128 B, tasks' --rounds 9 --hogs 2 --dir '/a disk'";
        for line in ["bench --peers none", full] {
            let words = shlex::split(line).unwrap();
            let Chosen::Bench(flags) = Flags::parse_from(std::iter::once("x".to_owned()).chain(words)).command else {
                panic!("no bench")
            };
            assert_eq!(repeat(&flags), line);
        }
    }

    #[test]
    fn a_counter_gives_its_number_or_says_why_not() {
        let counted =
            |script: &str| count(&["bash", "-c", script], Path::new("program"), 7, |line| line.strip_prefix("n "));
        assert_eq!(counted("echo words >&2; echo n 42 >&2"), Ok(42.0));
        let failure = counted("echo the cause >&2; exit 3").unwrap_err();
        assert!(failure.contains("exit status: 3") && failure.contains("the cause"), "{failure}");
        let failure = counted("echo n x >&2").unwrap_err();
        assert!(failure.contains("no number") && failure.ends_with("n x"), "{failure}");
        assert!(count(&["a-program-that-does-not-exist"], Path::new("program"), 7, |line| Some(line)).is_err());
    }
}
