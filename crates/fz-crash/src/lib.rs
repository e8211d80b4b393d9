#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// Loop devices, FUSE and strace are Linux's; elsewhere there is nothing to check with.
#![cfg(target_os = "linux")]

// Each uses only those below it: run, modes, oracle, subject, disk, report, os and random.
mod disk;
mod modes;
mod oracle;
mod os;
mod random;
mod report;
mod run;
mod subject;

use std::process::ExitCode;

/// Runs the checks that the command line of this process asks for, and reports on standard output.
///
/// Blocks until they are done; starts processes, and mounts and unmounts file systems below the temporary
/// directory. Returns 0 if no check failed, else 1.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     fz_crash::main()
/// }
/// ```
#[must_use]
pub fn main() -> ExitCode {
    run::main()
}
