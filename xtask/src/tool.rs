//! Programs beyond the toolchain, and how to get them.

use std::process::{Command, Stdio};

/// A program that a step needs.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// A command that succeeds if the tool is there.
    pub(crate) probe: &'static str,
    /// The command that installs it.
    pub(crate) install: &'static str,
}

pub(crate) const RUSTFMT: Tool =
    Tool { name: "rustfmt", probe: "cargo fmt --version", install: "rustup component add rustfmt" };

pub(crate) const CLIPPY: Tool =
    Tool { name: "clippy", probe: "cargo clippy --version", install: "rustup component add clippy" };

pub(crate) const DENY: Tool =
    Tool { name: "cargo-deny", probe: "cargo deny --version", install: "cargo install --locked cargo-deny" };

/// What is known of published versions. Comes over the network, and is kept.
pub(crate) const ADVISORIES: Tool =
    Tool { name: "the advisory database", probe: "cargo deny fetch db", install: "cargo deny fetch db" };

pub(crate) const ACTIONLINT: Tool = Tool {
    name: "actionlint",
    probe: "actionlint -version",
    install: "go install github.com/rhysd/actionlint/cmd/actionlint@latest",
};

/// Reads what the compiler of the day writes, so its version goes with the compiler's.
pub(crate) const PUBLIC_API: Tool = Tool {
    name: "cargo-public-api",
    probe: "cargo public-api --version",
    install: "cargo install --locked cargo-public-api",
};

pub(crate) const CARGO_MUTANTS: Tool =
    Tool { name: "cargo-mutants", probe: "cargo mutants --version", install: "cargo install --locked cargo-mutants" };

impl Tool {
    pub(crate) fn is_installed(&self) -> bool {
        let mut words = self.probe.split(' ');
        words.next().is_some_and(|program| {
            Command::new(program)
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_installed_if_its_probe_succeeds() {
        let cargo = Tool { name: "cargo", probe: "cargo --version", install: "" };
        let absent = Tool { name: "absent", probe: "a-program-that-does-not-exist --version", install: "" };
        let failing = Tool { name: "failing", probe: "false", install: "" };
        assert!(cargo.is_installed());
        assert!(!absent.is_installed());
        assert!(!failing.is_installed());
    }
}
