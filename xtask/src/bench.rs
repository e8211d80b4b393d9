//! `cargo xtask bench`: the pipeline beside its peers, or the instructions of one write.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::flags::Bench;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::tool::Tool;
use crate::workspace;

/// What one allocate + copy + write of 128 bytes may take: the measured number and 15 % for other
/// compilers. Lower it when the path gets shorter.
const INSTRUCTIONS_PER_WRITE_MAX: f64 = 413.0;

/// The instructions of this many writes, less those of no write, are counted.
const WRITES: u32 = 100_000;

const VALGRIND: Tool = Tool { name: "valgrind", probe: "valgrind --version", install: "apt-get install valgrind" };

pub(crate) fn run(runner: &mut Runner, flags: &Bench) {
    if !cfg!(target_os = "linux") {
        return runner.missing("fz-bench", "needs Linux: what a turn costs is read from /proc and /sys", "uname");
    }
    let features = match flags.peers.as_slice() {
        [word] if word == "none" => String::new(),
        [word] if word == "all" => "all-peers".to_owned(),
        names => names.join(","),
    };
    let build = Invocation::cargo("build --release -p fz-bench --features").argument(features);
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
        line += &format!(" --only '{text}'");
    }
    if let Some(directory) = &flags.dir {
        line += &format!(" --dir {}", directory.display());
    }
    line
}

/// Counts what the processor does for one write: the same on a busy machine as on an idle one.
fn instructions(runner: &mut Runner, program: &Path) {
    let name = "instructions per write";
    let counter: fn(&Path, u32) -> Option<f64> = if perf(program, 0).is_some() {
        perf
    } else if runner.has(name, &VALGRIND) {
        callgrind
    } else {
        return;
    };
    runner.check(name, "bench --instructions", || {
        let count = |writes| counter(program, writes).ok_or("no number in the counter's output".to_owned());
        let each = (count(WRITES)? - count(0)?) / f64::from(WRITES);
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
fn perf(program: &Path, writes: u32) -> Option<f64> {
    let output = count(Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "--"]), program, writes)?;
    output.lines().find(|line| line.contains("instructions:u"))?.split(',').next()?.parse().ok()
}

/// valgrind(1) runs the program on a simulated processor.
fn callgrind(program: &Path, writes: u32) -> Option<f64> {
    let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = count(Command::new("valgrind").args(arguments), program, writes)?;
    output.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// What the counter writes about a run of `fz-bench count`, if it succeeded.
fn count(counter: &mut Command, program: &Path, writes: u32) -> Option<String> {
    let output = counter.arg(program).args(["count", "--writes", &writes.to_string()]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command as Chosen, Flags};

    #[test]
    fn the_line_to_repeat_repeats_the_same() {
        for line in ["bench --peers none", "bench --peers a,b --quick --suite commit --only '128 B, tasks' --dir d"] {
            let words = shlex::split(line).unwrap();
            let Chosen::Bench(flags) = Flags::parse_from(std::iter::once("x".to_owned()).chain(words)).command else {
                panic!("no bench")
            };
            assert_eq!(repeat(&flags), line);
        }
    }
}
