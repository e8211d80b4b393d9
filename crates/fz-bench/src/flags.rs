//! The whole command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The write pipeline beside its peers, in turns, in one run, on one machine
///
/// Prints a table for each suite and writes JSON, CSV and one HTML page with plots. Peers are
/// compiled in by cargo features; `cargo xtask bench` does that for you.
#[derive(Debug, Parser)]
#[command(name = "fz-bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  fz-bench --quick
  fz-bench --suite commit,submit --peers none
  fz-bench --suite commit --only '128 B' --hogs 2 --rounds 9
  fz-bench --dir /data/bench --json

Exit codes: 0 all were measured · 1 a contestant failed or hung, or there was nothing to measure · 2 bad command line")]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes 100,000 times and exits: for a tool that counts instructions around it
    Count(Count),
    /// Computes until it is ended; a turn with `--hogs` starts it
    #[command(hide = true)]
    Hog(Hog),
    /// Shows the suites, and the contestants that are compiled in
    List,
    /// One contestant's turn; the parent starts it
    #[command(hide = true)]
    Turn(Turn),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// Three short rounds with fewer records: to see that all works, not for figures
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only these suites: submit, commit, bandwidth, scaling, mixed, open-loop (arrivals on a clock), pipes (many in
    /// one process), slow-disk (a sync takes 0.5, 2, 8 ms longer), short-pool (64 KiB)
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    pub(crate) suite: Vec<String>,

    /// Which of the compiled-in peers take part: their names, `none` or `all`
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_value = "all")]
    pub(crate) peers: Vec<String>,

    /// Only the works with this in their names
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Rounds [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: Option<u64>,

    /// How many processes compute beside each turn, and do nothing else
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) hogs: usize,

    /// Where the data files go; on the disk that is to be measured
    #[arg(long, value_name = "D", default_value = "target/bench/data")]
    pub(crate) dir: PathBuf,

    /// Where the results go
    #[arg(long, value_name = "D", default_value = "target/bench")]
    pub(crate) out: PathBuf,

    /// The results as JSON on standard output; the tables go to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Count {
    /// How many writes; compare two counts to be rid of what starting costs
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) writes: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Hog {
    /// The process without which it ends.
    #[arg(long)]
    pub(crate) parent: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Turn {
    #[arg(long)]
    pub(crate) work: String,
    #[arg(long)]
    pub(crate) contestant: String,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Flags::command().debug_assert();
    }
}
