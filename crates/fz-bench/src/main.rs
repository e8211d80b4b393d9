//! Benchmarks of the write pipeline beside its peers: `fz-bench --help`.
//!
//! The parent process never measures. Each turn of each contestant is a child process with one
//! thing to do ([`harness::turn`]), so that peak memory, processor time and I/O counters are that
//! contestant's alone, its background threads end with it, and a hang costs one turn.

#![forbid(unsafe_code)]

mod contestant;
mod count;
mod disk;
mod flags;
mod harness;
mod lineup;
mod measure;
mod peers;
mod report;
mod suites;
mod workload;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use flags::{Command, Flags};
use harness::{hogs, rounds, turn};

/// Whatever went wrong: benchmarks only pass it on to the reader.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let outcome = match &flags.command {
        None => rounds::run(&flags.run),
        Some(Command::Count(count)) => count::run(count),
        Some(Command::Hog(hog)) => hogs::run(hog),
        Some(Command::List) => rounds::list(),
        Some(Command::Turn(flags)) => turn::run(flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "fz-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
