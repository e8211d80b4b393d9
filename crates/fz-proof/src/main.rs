//! The command line of [`fz_proof`].
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fz_proof::{Campaign, Soak};

/// Proves the promises of fz on a simulated disk.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sim(Sim),
    Soak(SoakFlags),
}

/// Random workloads, faults and power cuts, each crash image opened and checked
#[derive(Args, Debug)]
struct Sim {
    /// The number of runs, with seed, seed + 1, …
    #[arg(long, value_name = "N")]
    runs: Option<u64>,

    /// Begin no run after N seconds [default: 10, with --runs no limit]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// The first seed; drawn afresh and printed if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Runs at the same time [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// A run that takes longer than N seconds hangs, which ends everything
    #[arg(long, value_name = "N", default_value = "60")]
    limit: u64,

    /// Run each seed of one thread twice, and compare
    #[arg(long)]
    twice: bool,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Load without an end; memory, descriptors and threads must stay flat
#[derive(Args, Debug)]
struct SoakFlags {
    /// The time in minutes
    #[arg(long, value_name = "N", default_value = "1")]
    minutes: f64,

    /// The seed; drawn afresh and printed if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// One JSON object on standard output; the lines for people go to standard error either way
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match Flags::parse().command {
        Command::Sim(flags) => sim(&flags),
        Command::Soak(flags) => soak(&flags),
    }
}

fn sim(flags: &Sim) -> ExitCode {
    let mut campaign = Campaign::new(flags.seed.unwrap_or_else(fresh_seed));
    if let Some(runs) = flags.runs {
        campaign = campaign.runs(runs);
    }
    if let Some(seconds) = flags.seconds.or(flags.runs.is_none().then_some(10)) {
        campaign = campaign.time(Duration::from_secs(seconds));
    }
    if let Some(workers) = flags.workers {
        campaign = campaign.workers(workers);
    }
    match campaign.twice(flags.twice).run_time_max(Duration::from_secs(flags.limit)).run() {
        Ok(report) if flags.json => say(&report.to_json()),
        Ok(report) => say(&report.to_string()),
        Err(failure) => {
            say(&if flags.json { failure.to_json() } else { failure.to_string() });
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn soak(flags: &SoakFlags) -> ExitCode {
    let seed = flags.seed.unwrap_or_else(fresh_seed);
    let Ok(time) = Duration::try_from_secs_f64(flags.minutes * 60.0) else {
        say("the minutes must be a number from 0 on");
        return ExitCode::from(2);
    };
    let mut lines = anstream::stderr();
    let outcome = Soak::new(seed).time(time).run(|line| {
        let _ = writeln!(lines, "{line}");
    });
    match outcome {
        Ok(report) if flags.json => say(&report.to_json()),
        Ok(report) => say(&report.to_string()),
        Err(message) => {
            let repeat = format!("cargo xtask soak --minutes {} --seed {seed}", flags.minutes);
            say(&if flags.json {
                serde_json::json!({ "failure": message, "repeat": repeat }).to_string()
            } else {
                format!("{message}\nto repeat: {repeat}")
            });
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    // A closed pipe is the reader's wish.
    let _ = writeln!(anstream::stdout(), "{text}");
}

fn fresh_seed() -> u64 {
    // Short enough to be typed.
    RandomState::new().hash_one(std::process::id()) >> 32
}
