//! What a failed run says.

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
    message: String,
    trace: Vec<String>,
}

impl Failure {
    pub(crate) fn new(seed: u64, is_exact: bool, message: String, trace: Vec<String>) -> Self {
        Self { seed, is_exact, message, trace }
    }

    pub(crate) fn hang(seed: u64, limit: std::time::Duration) -> Self {
        let message = format!("D: the run of seed {seed} did not end within {limit:?}: somebody waits for ever");
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

    /// What was promised, and what was found.
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
        format!("cargo xtask sim --seed {} --runs 1", self.seed)
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
