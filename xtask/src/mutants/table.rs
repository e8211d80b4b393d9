//! Which mutant is killed by which checks.

use std::fmt;

/// A broken twin: its name in `mutants::active("…")`, its crate, and two or more checks that each fail with it.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) checks: &'static [Check],
}

/// A test binary of the mutant's crate, and a filter on the names of its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) build: Build,
    /// `lib` for the unit tests, or the name of an integration test.
    pub(crate) target: &'static str,
    pub(crate) filter: &'static str,
}

/// How the tests of a check are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Build {
    /// As `cargo test` does.
    Plain,
    /// Against loom.
    Loom,
}

/// Unit tests.
pub(crate) const fn lib(filter: &'static str) -> Check {
    Check { build: Build::Plain, target: "lib", filter }
}

/// Tests in `tests/<target>.rs`.
pub(crate) const fn test(target: &'static str, filter: &'static str) -> Check {
    Check { build: Build::Plain, target, filter }
}

/// Loom models in `tests/<target>.rs`, or among the unit tests if `target` is `lib`.
pub(crate) const fn loom(target: &'static str, filter: &'static str) -> Check {
    Check { build: Build::Loom, target, filter }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", if self.build == Build::Loom { "loom " } else { "" }, self.target, self.filter)
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Loom { " against loom" } else { "" })
    }
}

/// All of them, by crate. In a quick run only the first check counts: put the fastest first.
pub(crate) const MUTANTS: &[Mutant] = &[];
