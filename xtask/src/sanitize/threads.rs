//! The second part: plain threads on queue, pool and pipe under ThreadSanitizer.
//!
//! The standard library that comes with the toolchain is not instrumented, so only a program made for it
//! can be judged (`fz-proof/examples/races.rs`); what that library's own locks order is in `suppressions.txt`.

use crate::configuration::Configuration;
use crate::invocation::{End, Invocation};
use crate::mutants;
use crate::runner::Runner;
use crate::workspace;

const DIRECTORY: &str = "thread";

/// The library's own code takes part without the sanitizer, which the compiler would refuse as another ABI.
const FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

const ROUNDS: u32 = 20;

/// Two owners of the same bytes: what the sanitizer must see.
const PLANTED: &str = "overlapping_allocation";

const FOUND: &str = "WARNING: ThreadSanitizer: data race";

pub(super) fn run(runner: &mut Runner, host: &str, seed: u64) {
    let suppressions = workspace::root().join("xtask/src/sanitize/suppressions.txt");
    let program = Invocation::cargo("run --release -p fz-proof --example races --target")
        .argument(host)
        .words("--")
        .argument(ROUNDS.to_string())
        .argument(seed.to_string())
        .env("RUSTC_BOOTSTRAP", "1")
        .env("TSAN_OPTIONS", format!("halt_on_error=1 suppressions={}", suppressions.display()))
        .rustflags(FLAGS, DIRECTORY);
    runner.judged("thread sanitizer", &program, |finished| match finished.end {
        End::Success => Ok(finished.output.lines().last().unwrap_or_default().to_owned()),
        end => Err(end.to_string()),
    });
    let planted = program.env("FZ_MUTANT", PLANTED).configured(Configuration::compiler(&[mutants::CFG]));
    runner.judged("thread sanitizer finds a planted race", &planted, |finished| {
        match (finished.end, finished.output.contains(FOUND)) {
            (End::Failure(_), true) => Ok(PLANTED.to_owned()),
            (end, _) => Err(format!("{PLANTED} was not found: {end}")),
        }
    });
}
