//! The project's commands: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod configuration;
mod coverage;
mod crash;
mod doc;
mod flags;
mod fuzz;
mod invocation;
mod lint;
mod loom;
mod markdown;
mod mutants;
mod package;
mod prop;
mod reasons;
mod runner;
mod sanitize;
mod shell;
mod sim;
mod soak;
mod test;
mod tidy;
mod tool;
mod workflows;
mod workspace;

use std::process::ExitCode;

use flags::Command;
use runner::Runner;

fn main() -> ExitCode {
    let flags = flags::of_this_process();
    let mut runner = Runner::new(&flags.output);
    match &flags.command {
        Command::Test(flags) => test::run(&mut runner, flags),
        Command::Lint(flags) => lint::run(&mut runner, flags),
        Command::Doc(flags) => doc::run(&mut runner, flags),
        Command::Tidy(_) => tidy::run(&mut runner),
        Command::Prop(flags) => prop::run(&mut runner, flags),
        Command::Loom(flags) => loom::run(&mut runner, flags),
        Command::Mutants(flags) => mutants::run(&mut runner, flags),
        Command::Sanitize(flags) => sanitize::run(&mut runner, flags),
        Command::Coverage(_) => coverage::run(&mut runner),
        Command::Fuzz(flags) => fuzz::run(&mut runner, flags),
        Command::Package(flags) => package::run(&mut runner, flags),
        Command::Bench(flags) => bench::run(&mut runner, flags),
        Command::Crash(flags) => crash::run(&mut runner, flags),
        Command::Sim(flags) => sim::run(&mut runner, flags),
        Command::Soak(flags) => soak::run(&mut runner, flags),
        Command::Ci(flags) => ci::run(&mut runner, flags),
    }
    runner.finish()
}
