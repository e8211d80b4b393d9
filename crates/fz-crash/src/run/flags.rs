//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Crash-recovery checks on real kernels. One line for each phase, and `N passed, N failed, N skipped`.
#[derive(Debug, Parser)]
#[command(name = "fz-crash", args_conflicts_with_subcommands = true)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) run: Run,

    #[command(subcommand)]
    pub(crate) hidden: Option<Hidden>,
}

/// What the program starts itself as.
#[derive(Debug, Subcommand)]
pub(crate) enum Hidden {
    /// Runs a plan and says what was promised.
    #[command(hide = true)]
    Child {
        plan: String,
        path: PathBuf,
        #[arg(long)]
        late: bool,
        #[arg(long)]
        signals: bool,
    },
}

/// What to check, and how much of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// The file systems: the host's own under the temporary directory, or one made for the check
    #[arg(long, value_enum, value_delimiter = ',', default_value = "host,ext4")]
    pub(crate) fs: Vec<On>,

    /// Kills, power cuts, failing calls, files opened anew after a failure, traced acknowledgements
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(crate) mode: Vec<Mode>,

    /// States after a power cut, for each file system
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) states: u64,

    /// Killed processes, for each file system
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) kills: u64,

    /// Traced acknowledgements, without and with interruptions
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) acks: u64,

    /// Every failing call instead of a sample
    #[arg(long)]
    pub(crate) every_fault: bool,

    /// Only the phases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// The seed of everything random; drawn afresh and printed if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Ends each phase after N seconds, however much is left of it
    #[arg(long, value_name = "N")]
    pub(crate) phase_seconds: Option<u64>,

    /// One JSON object per phase on standard output; the lines for people go to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Runs the checks on programs broken on purpose, which they must reject
    #[arg(long)]
    pub(crate) canary: bool,

    /// Looks again at a disk that a failed check kept
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) replay: Option<PathBuf>,
}

/// What the slot file lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// Whatever the temporary directory is on
    Host,
    Ext4,
    Xfs,
    Btrfs,
    All,
}

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The process is killed
    Kill,
    /// The power is cut
    Power,
    /// System calls and disks fail
    Fault,
    /// A disk fails once, the file is opened anew and written again, and the power is cut
    Reopen,
    /// Nothing fails, or calls are interrupted; the order of calls is checked
    Acks,
    All,
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
