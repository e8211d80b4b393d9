//! Compiling our crates, and only ours, with `--cfg` flags: the mutants, the model checkers.
//!
//! `RUSTFLAGS` would reach every dependency as well and compile each of them anew for each configuration. Cargo's
//! workspace wrapper stands before the compiler for members of the workspace only, and keeps what they compile to
//! apart by the wrapper's path; so there is one small script for each configuration. A configuration changes no
//! dependency: a model checker becomes one by a feature.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::workspace;

/// How cargo is told about the wrapper.
pub(crate) const VARIABLE: &str = "RUSTC_WORKSPACE_WRAPPER";

/// A set of `--cfg` flags, for the compiler or for clippy.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    path: PathBuf,
    script: String,
}

impl Configuration {
    /// Compiles with `cfgs`.
    pub(crate) fn compiler(cfgs: &[&str]) -> Self {
        Self::new("rustc", cfgs, "\"$@\"", "")
    }

    /// Checks with clippy, and `cfgs`, and no warning allowed. To be used with `cargo check`.
    pub(crate) fn clippy(cfgs: &[&str]) -> Self {
        Self::new("clippy", cfgs, "clippy-driver \"$@\"", " -D warnings")
    }

    /// Bash, because it hands on every variable: others drop those that are no names of their own, such as
    /// `CARGO_BIN_EXE_fz-crash`.
    fn new(name: &str, cfgs: &[&str], program: &str, flags: &str) -> Self {
        let path = workspace::target_directory().join("xtask-wrappers").join(format!("{name}-{}", cfgs.join("-")));
        let cfgs: String = cfgs.iter().map(|cfg| format!(" --cfg {cfg}")).collect();
        Self { path, script: format!("#!/usr/bin/env bash\nexec {program}{cfgs}{flags}\n") }
    }

    /// The value of [`VARIABLE`].
    pub(crate) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Puts the script where [`path`](Self::path) says.
    pub(crate) fn write(&self) -> io::Result<()> {
        // A newer file would be a newer compiler to cargo, for which it compiles everything anew.
        if fs::read_to_string(&self.path).is_ok_and(|there| there == self.script) {
            return Ok(());
        }
        fs::create_dir_all(self.path.with_file_name(""))?;
        fs::write(&self.path, &self.script)?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o755))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::{End, Invocation};

    #[test]
    fn the_wrapper_adds_its_flags_to_what_it_runs() {
        let configuration = Configuration::compiler(&["fz_a", "fz_b"]);
        configuration.write().unwrap();
        let log = tempfile::tempdir().unwrap();
        let run = Invocation::new(configuration.path()).words("echo x").run(&log.path().join("log")).unwrap();
        assert_eq!((run.end, run.output.trim()), (End::Success, "x --cfg fz_a --cfg fz_b"));
    }

    #[test]
    fn the_wrapper_hands_every_variable_on() {
        let configuration = Configuration::compiler(&["fz_a"]);
        configuration.write().unwrap();
        let log = tempfile::tempdir().unwrap();
        let prints = Invocation::new(configuration.path()).words("bash -c").argument("printenv CARGO_BIN_EXE_fz-x");
        let run = prints.env("CARGO_BIN_EXE_fz-x", "here").run(&log.path().join("log")).unwrap();
        assert_eq!((run.end, run.output.trim()), (End::Success, "here"));
    }

    #[test]
    fn each_configuration_has_a_wrapper_of_its_own() {
        let paths = [
            Configuration::compiler(&["fz_a"]).path(),
            Configuration::compiler(&["fz_a", "fz_b"]).path(),
            Configuration::clippy(&["fz_a"]).path(),
        ];
        assert!(paths[0] != paths[1] && paths[0] != paths[2] && paths[1] != paths[2]);
    }
}
