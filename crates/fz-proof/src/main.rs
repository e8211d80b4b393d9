//! The command line of [`fz_proof`].
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fz_proof::Campaign;

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
}

/// Random workloads, faults and power cuts, each crash image opened and checked
#[derive(Args, Debug)]
struct Sim {
    /// So many runs, with seed, seed + 1, …
    #[arg(long, value_name = "N")]
    runs: Option<u64>,

    /// Begin no run after so many seconds [default: 10, with --runs no limit]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// The first seed; drawn afresh and printed if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Runs at the same time [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match Flags::parse().command {
        Command::Sim(flags) => sim(&flags),
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
    let mut out = anstream::stdout();
    // A closed pipe is the reader's wish.
    let _ = match campaign.run() {
        Ok(report) if flags.json => writeln!(out, "{}", report.to_json()),
        Ok(report) => writeln!(out, "{report}"),
        Err(failure) => {
            let _ = writeln!(out, "{failure}");
            return ExitCode::FAILURE;
        }
    };
    ExitCode::SUCCESS
}

fn fresh_seed() -> u64 {
    // Short enough to be typed.
    RandomState::new().hash_one(std::process::id()) >> 32
}
