//! Processes that only compute, beside a turn: `--hogs N`.
//!
//! A database seldom has a machine for itself. Each turn starts its own, waits until all of them compute, and ends
//! them with it, so that the parent's own work between turns is not slowed and no turn inherits a warm one.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::flags::Hog;

/// How much a hog computes between two looks at its parent: some milliseconds.
const STEPS: u64 = 10_000_000;

/// The running ones; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Hogs(Vec<Child>);

impl Hogs {
    /// Returns when all `number` of them compute.
    pub(crate) fn start(number: usize) -> Outcome<Self> {
        let mut hogs = Self(Vec::new());
        for _ in 0..number {
            let mut hog = Command::new(std::env::current_exe()?);
            hog.args(["hog", "--parent", &std::process::id().to_string()]);
            hogs.0.push(hog.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        }
        for hog in &mut hogs.0 {
            let output = hog.stdout.as_mut().ok_or("a hog without an output")?;
            output.read_exact(&mut [0])?;
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            // One that has ended already has nothing to be ended.
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// The hog's own process. Ends by itself when the parent is gone.
pub(crate) fn run(flags: &Hog) -> Outcome<()> {
    let mut output = std::io::stdout();
    output.write_all(b"\n")?;
    output.flush()?;
    let mut sum: u64 = 0;
    while parent_id() == flags.parent {
        for step in 0..STEPS {
            sum = black_box(sum.wrapping_add(step));
        }
    }
    Ok(())
}
