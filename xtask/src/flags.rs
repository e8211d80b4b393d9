//! The whole command line. A new command is one variant here, one arm in `main.rs`, one file.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::workspace::{known_crate, known_peer};

/// The project's commands. Each prints one line per step and ends with `N passed, N failed`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
#[command(after_help = "Example: cargo xtask ci

`--seconds N` is the time of a whole command: after it nothing more begins. What bounds something smaller is called \
after it: `--model-seconds`, `--check-seconds`, `--phase-seconds`.")]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) output: Output,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Stands at the end of every help.
const EXIT_CODES: &str = "Exit codes: 0 all passed · 1 a step failed, or there was none · 2 bad command line · \
                          3 only tools were missing, under --strict";

/// Parses the command line; ends the process with the help or a complaint if that is what it amounts to.
pub(crate) fn of_this_process() -> Flags {
    Flags::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

fn command() -> clap::Command {
    let with_codes = |command: clap::Command| {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        command.after_help(format!("{help}\n\n{EXIT_CODES}"))
    };
    with_codes(Flags::command()).mut_subcommands(with_codes)
}

/// How every command reports.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Output {
    /// One JSON object per step on standard output; the lines for people go to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// A missing tool fails the step (exit code 3) instead of skipping it
    #[arg(long, global = true)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Test(Test),
    Lint(Lint),
    Doc(Doc),
    Tidy(Tidy),
    Prop(Prop),
    Loom(Loom),
    Mutants(Mutants),
    Sanitize(Sanitize),
    Coverage(Coverage),
    Fuzz(Fuzz),
    Package(Package),
    Bench(Bench),
    Crash(Crash),
    Sim(Sim),
    Soak(Soak),
    Ci(Ci),
}

/// Unit, integration and doc tests of every crate, and their examples compiled
///
/// Needs nothing but the toolchain, git and bash. Without `--crate`, a short run of the models, the simulation and the
/// mutants follows.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --crate fz-mpsc
  cargo xtask test --cases 1000 --seed 7")]
pub(crate) struct Test {
    /// Only this crate (may be repeated)
    #[arg(long = "crate", value_name = "CRATE", value_parser = known_crate)]
    pub(crate) crates: Vec<String>,

    /// The crates' own tests only: no models, no mutants
    #[arg(long)]
    pub(crate) quick: bool,

    #[command(flatten)]
    pub(crate) random: Random,
}

/// Format, clippy in each configuration, the house rules, the workflows, the dependencies
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask lint
  cargo xtask lint --strict
  cargo xtask lint --dependencies")]
pub(crate) struct Lint {
    /// Only the licences, advisories and sources of the dependencies
    #[arg(long)]
    pub(crate) dependencies: bool,
}

/// rustdoc without a warning; links, commands and programs in every Markdown file checked
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask doc
  cargo xtask doc --markdown")]
pub(crate) struct Doc {
    /// Only the Markdown files: takes a second, compiles nothing
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// The house rules that a machine can check
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example: cargo xtask tidy")]
pub(crate) struct Tidy {}

/// Property tests with a given number of cases, from one printed seed
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask prop --cases 10000
  cargo xtask prop --crate fz-file --seed 42
  cargo xtask prop --seconds 60")]
pub(crate) struct Prop {
    /// Only this crate (may be repeated)
    #[arg(long = "crate", value_name = "CRATE", value_parser = known_crate)]
    pub(crate) crates: Vec<String>,

    #[command(flatten)]
    pub(crate) random: Random,

    /// Repeat with seed, seed + 1, …; begin no seed after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
}

/// Every interleaving of the concurrent types (loom), and many random schedules (shuttle)
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask loom
  cargo xtask loom --crate fz-mpsc --preemptions 3
  cargo xtask loom --crate fz-wpipe --seed 42
  cargo xtask loom --model-seconds 600")]
pub(crate) struct Loom {
    /// Only this crate (may be repeated)
    #[arg(long = "crate", value_name = "CRATE", value_parser = known_crate)]
    pub(crate) crates: Vec<String>,

    /// LOOM_MAX_PREEMPTIONS: how often a schedule may take the processor from a running thread.
    /// Without it each model's own bound counts
    #[arg(long, value_name = "N")]
    pub(crate) preemptions: Option<u32>,

    /// SHUTTLE_RANDOM_SEED: what the random schedules come from; drawn afresh and printed if not given
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,

    /// LOOM_MAX_DURATION: explore no model for more than so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) model_seconds: Option<u64>,
}

/// Broken twins of the code: for each, the checks that must fail do fail
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask mutants
  cargo xtask mutants --only retry_failed_sync
  cargo xtask mutants --quick --json
  cargo xtask mutants --killers --only retry_failed_sync
  cargo xtask mutants --generated --only fz-mpsc/src/ring.rs")]
pub(crate) struct Mutants {
    /// Only the mutants whose name contains this (generated ones: the path, a colon, the change)
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,

    /// The first check of each mutant only
    #[arg(long, conflicts_with = "killers")]
    pub(crate) quick: bool,

    /// List the tests that fail with each mutant, to fill the table from
    #[arg(long)]
    pub(crate) killers: bool,

    /// Instead: every change that cargo-mutants makes of the small crates, under each crate's own tests. Takes hours.
    /// What survives must be listed in `xtask/src/mutants/survivors.txt`
    #[arg(long, conflicts_with_all = ["quick", "killers"])]
    pub(crate) generated: bool,

    /// A check that runs longer than so many seconds hangs, and is stopped [default: 60, with --quick or --killers 10,
    /// with --generated 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) check_seconds: Option<u64>,
}

/// The crates with `unsafe` under AddressSanitizer, plain threads on queue, pool and pipe under ThreadSanitizer
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask sanitize
  cargo xtask sanitize --crate fz-bufpool
  cargo xtask sanitize --threads --seed 7")]
pub(crate) struct Sanitize {
    /// Only this crate (may be repeated)
    #[arg(long = "crate", value_name = "CRATE", value_parser = known_crate)]
    pub(crate) crates: Vec<String>,

    /// Only the threads under ThreadSanitizer
    #[arg(long, conflicts_with = "crates")]
    pub(crate) threads: bool,

    #[command(flatten)]
    pub(crate) random: Random,
}

/// The branches of fz-file, fz-commit and fz-wpipe that no test reaches; each must have a written reason
///
/// Counts which way each condition went and which lines ran in the tests of these crates. Fails if a way or a line
/// that never did is missing in `xtask/src/coverage/unreached.txt`. Needs the llvm-profdata and llvm-cov of rustc's own
/// version of LLVM.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example: cargo xtask coverage")]
pub(crate) struct Coverage {}

/// Random files, paths and configs: each either opens, or is refused with an error and left unchanged
///
/// Linux only. Random input, not led by coverage.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo xtask fuzz
  cargo xtask fuzz --seconds 600 --seed 7")]
pub(crate) struct Fuzz {
    /// Begin no seed after so many seconds
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,

    #[command(flatten)]
    pub(crate) random: Random,
}

/// The packages as the registry would get them, and as a user would build them
///
/// Manifests and contents; every set of features; the unpacked packages compiled, with the oldest dependencies and the
/// oldest toolchain that they promise; the public API compared with `docs/api`; a publication without the upload.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask package
  cargo xtask package --only fz-wpipe
  cargo xtask package --only 'public API' --bless")]
pub(crate) struct Package {
    /// Only the steps whose name contains this, such as a crate, `features` or `oldest`
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,

    /// Write the public API to `docs/api` instead of comparing it
    #[arg(long)]
    pub(crate) bless: bool,
}

/// As `fz-bench list` shows them.
const SUITES: [&str; 9] =
    ["submit", "commit", "bandwidth", "scaling", "mixed", "open-loop", "pipes", "slow-disk", "short-pool"];

/// The pipeline beside its peers, in turns; or the instructions of one write
///
/// Needs an idle machine: close what runs beside it. Tables on the terminal; JSON, CSV and a page
/// with plots in `target/bench`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask bench --quick
  cargo xtask bench --peers frozen-core,wal-db --suite commit,submit
  cargo xtask bench --suite commit --hogs 2 --rounds 9
  cargo xtask bench --peers all --dir /data/bench
  cargo xtask bench --instructions")]
pub(crate) struct Bench {
    /// Three short rounds with fewer records: to see that all works, not for figures
    #[arg(long)]
    pub(crate) quick: bool,

    /// Other projects to compile and to compare with: their names, `none` or `all` (minutes of compiling)
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_value = "none", value_parser = known_peer)]
    pub(crate) peers: Vec<String>,

    /// Only these suites: submit, commit, bandwidth, scaling, mixed, open-loop (arrivals on a clock), pipes (many in
    /// one process), slow-disk (a sync takes 0.5, 2, 8 ms longer), short-pool (64 KiB)
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    #[arg(value_parser = SUITES)]
    pub(crate) suite: Vec<String>,

    /// Only the works whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Interleaved rounds; each figure is a median, shown with the lowest and the highest [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: Option<u64>,

    /// How many processes compute beside each turn: each turn starts its own and ends them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) hogs: usize,

    /// Where the data files go, on the disk to be measured [default: target/bench/data]
    #[arg(long, value_name = "D", value_parser = absolute)]
    pub(crate) dir: Option<PathBuf>,

    /// Count the instructions of the submission path instead, and fail above the committed bound
    #[arg(long, conflicts_with_all = ["quick", "peers", "suite", "only", "rounds", "hogs", "dir"])]
    pub(crate) instructions: bool,
}

/// The ways to fail of `cargo xtask crash`.
const CRASH_MODES: [&str; 6] = ["kill", "power", "fault", "reopen", "acks", "all"];

/// Kills, power cuts, failing calls, files opened anew after a failure, traced acknowledgements: on real kernels
///
/// Linux only. Power cuts and files opened anew need root, FUSE and loop devices; failing and traced calls need
/// strace. A phase names what it misses and is skipped. Data lies in the temporary directory: set TMPDIR to choose
/// the disk.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask crash
  cargo xtask crash --mode power --fs ext4 --states 100000
  cargo xtask crash --mode kill,fault --fs all --kills 1000 --every-fault
  cargo xtask crash --mode reopen --fs ext4,xfs,btrfs --every-fault
  cargo xtask crash --mode acks --acks 100000
  cargo xtask crash --canary")]
pub(crate) struct Crash {
    /// File systems: host, ext4, xfs, btrfs, all [default: host,ext4]
    #[arg(long, value_name = "F,…", value_delimiter = ',', value_parser = ["host", "ext4", "xfs", "btrfs", "all"])]
    pub(crate) fs: Vec<String>,

    /// Ways to fail: kill, power, fault, reopen, acks, all [default: all]
    #[arg(long, value_name = "M,…", value_delimiter = ',', value_parser = CRASH_MODES)]
    pub(crate) mode: Vec<String>,

    /// States after a power cut, for each file system [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) states: Option<u64>,

    /// Killed processes, for each file system [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) kills: Option<u64>,

    /// Traced acknowledgements, without and with interruptions [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) acks: Option<u64>,

    /// Every failing call instead of a sample
    #[arg(long)]
    pub(crate) every_fault: bool,

    /// The seed of everything random; drawn afresh and printed if not given
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,

    /// End each phase after so many seconds, however much is left of it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) phase_seconds: Option<u64>,

    /// Run the checks on programs broken on purpose, which they must reject
    #[arg(long, conflicts_with_all = ["fs", "mode", "states", "kills", "acks", "every_fault", "replay"])]
    pub(crate) canary: bool,

    /// Look again at a disk that a failed check kept
    #[arg(long, value_name = "D", conflicts_with_all = ["fs", "mode", "states", "kills", "acks", "every_fault"])]
    pub(crate) replay: Option<PathBuf>,
}

/// The whole pipeline on a simulated disk: random work, faults and power cuts, every crash image checked
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask sim
  cargo xtask sim --runs 25000
  cargo xtask sim --seed 42 --runs 1
  cargo xtask sim --seconds 1200
  cargo xtask sim --canary")]
pub(crate) struct Sim {
    /// So many runs, with seed, seed + 1, …
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: Option<u64>,

    /// Begin no run after so many seconds [default: 10, with --runs no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,

    /// The first seed; drawn afresh and printed if not given
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,

    /// Run it on programs broken on purpose, each of which it must reject
    #[arg(long)]
    pub(crate) canary: bool,
}

/// Load at the limit of the pool, with faults and cancelled tasks: nothing may grow
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask soak
  cargo xtask soak --minutes 60 --seed 7")]
pub(crate) struct Soak {
    /// So many minutes [default: 1]
    #[arg(long, value_name = "N", value_parser = minutes)]
    pub(crate) minutes: Option<f64>,

    /// The seed; drawn afresh and printed if not given
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,
}

/// What must pass before a change is merged
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:
  cargo xtask ci
  cargo xtask ci --long --strict")]
pub(crate) struct Ci {
    /// The long forms: deeper models, more cases, every check of every mutant, ten minutes of simulation and its
    /// canaries, the sanitizers
    #[arg(long)]
    pub(crate) long: bool,

    #[command(flatten)]
    pub(crate) random: Random,
}

/// Where random input comes from. The seed is printed, so that every run can be repeated.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Random {
    /// The seed of all random input; drawn afresh and printed if not given
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,

    /// Cases per property; the properties' own number if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cases: Option<u32>,
}

/// More than none: a run of no minutes would find nothing and say that all is well.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && f64::is_finite(minutes) => Ok(minutes),
        _ => Err("a number of minutes above 0, such as 0.5".to_owned()),
    }
}

/// A path as the caller means it: commands run at the root of the workspace.
fn absolute(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}

/// Decimal, or hexadecimal with `0x`.
fn seed(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_that_parses() {
        for command in command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.ends_with(EXIT_CODES), "{help}");
            let examples: Vec<_> = help.lines().filter_map(|line| Some(&line[line.find("cargo xtask")?..])).collect();
            assert!(!examples.is_empty(), "{} has no example in its help", command.get_name());
            for example in examples {
                let words = shlex::split(example).expect("balanced quotes").into_iter().skip(1);
                Flags::try_parse_from(words).unwrap_or_else(|error| panic!("`{example}`: {error}"));
            }
        }
    }

    #[test]
    fn what_would_check_nothing_or_be_ignored_is_a_bad_command_line() {
        let refused = [
            "prop --cases 0",
            "prop --seconds 0",
            "loom --seconds 9",
            "sim --runs 0",
            "soak --minutes 0",
            "crash --kills 0",
            "crash --states 0",
            "crash --acks 0",
            "crash --canary --mode kill",
            "crash --replay D --fs ext4",
            "bench --instructions --suite commit",
            "bench --peers sleds",
            "bench --suite commits",
            "mutants --killers --quick",
            "mutants --generated --quick",
        ];
        for line in refused {
            let words = std::iter::once("xtask").chain(line.split(' '));
            assert!(Flags::try_parse_from(words).is_err(), "`{line}` was accepted");
        }
        for line in
            ["soak --minutes 0.5", "crash --canary --seed 7", "bench --instructions", "bench --peers all,rocksdb"]
        {
            let words = std::iter::once("xtask").chain(line.split(' '));
            Flags::try_parse_from(words).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        }
    }

    #[test]
    fn seconds_mean_the_same_to_every_command() {
        for command in command().get_subcommands() {
            let flags = command.get_arguments().filter(|flag| flag.get_long() == Some("seconds"));
            for help in flags.filter_map(clap::Arg::get_help).map(ToString::to_string) {
                let means = help.to_lowercase();
                assert!(means.contains("begin no ") && means.contains("after so many seconds"), "{help}");
            }
        }
    }

    #[test]
    fn a_seed_is_decimal_or_hexadecimal() {
        assert_eq!(seed("0x10"), Ok(16));
        assert_eq!(seed("10"), Ok(10));
        assert!(seed("ten").is_err());
    }

    #[test]
    fn a_directory_is_relative_to_the_caller() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("x").unwrap(), here.join("x"));
        assert_eq!(absolute("/x").unwrap(), PathBuf::from("/x"));
    }
}
