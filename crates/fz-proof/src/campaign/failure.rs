//! The report of a failed run.

use std::fmt;

/// A promise that did not hold, and how to see it again.
///
/// ```
/// use fz_proof::Campaign;
///
/// if let Err(failure) = Campaign::new(42).runs(3).run() {
///     println!("seed {}, {}: {}", failure.seed(), failure.message(), failure.repeat());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    seed: u64,
    is_exact: bool,
    /// Only a second run of the seed shows it.
    is_of_two: bool,
    message: String,
    trace: Vec<String>,
}

impl Failure {
    pub(crate) fn new(seed: u64, is_exact: bool, message: String, trace: Vec<String>) -> Self {
        Self { seed, is_exact, is_of_two: false, message, trace }
    }

    /// The second run was another than the first.
    pub(crate) fn not_replayed(seed: u64) -> Self {
        let message = format!("seed {seed} is one of one thread, and did not replay");
        Self { is_of_two: true, ..Self::new(seed, true, message, Vec::new()) }
    }

    pub(crate) fn hang(seed: u64, limit: std::time::Duration) -> Self {
        let message = format!("D: the run of seed {seed} did not end within {limit:?}: a thread waits for ever");
        Self::new(seed, false, message, Vec::new())
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the seed replays the run call by call. If not, the run had several threads, and
    /// their interleaving is the scheduler's.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The promise, and the finding that breaks it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The failure and how to repeat it, as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "seed": self.seed,
            "is_exact": self.is_exact,
            "failure": self.to_string(),
            "repeat": self.repeat(),
        })
        .to_string()
    }

    /// The command that runs the seed again.
    #[must_use]
    pub fn repeat(&self) -> String {
        let seed = self.seed;
        if self.is_of_two {
            return format!("cargo run --release -p fz-proof -- sim --seed {seed} --runs 1 --twice");
        }
        format!("cargo xtask sim --seed {seed} --runs 1")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "{}", self.message)?;
        if !self.is_exact {
            writeln!(f, "(a run of several threads: the seed repeats the work, not the interleaving)")?;
        }
        write!(f, "to repeat: {}", self.repeat())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command ran the seed once, which cannot show that a second run differs.
    #[test]
    fn a_run_that_did_not_replay_is_repeated_twice() {
        assert!(Failure::not_replayed(7).to_string().ends_with("sim --seed 7 --runs 1 --twice"));
        let broken = Failure::new(7, true, "A: lost".to_owned(), Vec::new());
        assert_eq!(broken.repeat(), "cargo xtask sim --seed 7 --runs 1");
    }
}
