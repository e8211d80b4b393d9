//! The switch behind which the broken twins of the test suite are compiled.
//!
//! Not part of the public API. In every ordinary build [`active`] is a constant `false` and the
//! broken branch is removed; with `--cfg fz_mutants` the environment variable `FZ_MUTANT` names
//! the one that is on.

/// Whether the mutant `name` is switched on.
#[cfg(not(fz_mutants))]
#[must_use]
#[inline(always)]
pub const fn active(_name: &str) -> bool {
    false
}

/// Whether the mutant `name` is switched on.
#[cfg(fz_mutants)]
#[must_use]
pub fn active(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("FZ_MUTANT").ok()).as_deref() == Some(name)
}
