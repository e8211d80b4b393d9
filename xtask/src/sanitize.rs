//! `cargo xtask sanitize`: the crates with `unsafe` under AddressSanitizer, threads under ThreadSanitizer.

mod threads;

use std::path::PathBuf;
use std::process::Command;

use crate::flags::Sanitize;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{prop, tidy, workspace};

const DIRECTORY: &str = "address";

pub(crate) fn run(runner: &mut Runner, flags: &Sanitize) {
    let crates: Vec<_> = workspace::checked(&flags.crates)
        .into_iter()
        .filter(|package| tidy::UNSAFE_CRATES.contains(&package.name.as_str()))
        .collect();
    if crates.is_empty() {
        return runner.skip("sanitize", "none of these crates holds unsafe code");
    }
    let Some(host) = host().filter(|host| can_sanitize(host)) else {
        let detail = "rustc cannot link the sanitizers here; it can on x86_64 and aarch64 Linux and macOS; \
                      to install such a toolchain: rustup toolchain install stable";
        return runner.missing("sanitize", detail, "RUSTC_BOOTSTRAP=1 rustc -Zsanitizer=address probe.rs");
    };
    let seed = prop::seed(runner, flags.random.seed);
    for package in crates.into_iter().filter(|_| !flags.threads) {
        // Not the doc tests: rustdoc would need the flag as well, and they hold no unsafe code of ours.
        let invocation = Invocation::cargo("test --lib --tests -p")
            .argument(&package.name)
            .words("--target")
            .argument(&host)
            .env("RUSTC_BOOTSTRAP", "1")
            // Tests ask for absurd amounts of memory: that must be an error of ours, not the end of the run.
            .env("ASAN_OPTIONS", "allocator_may_return_null=1")
            .env("PROPTEST_RNG_SEED", seed.to_string())
            .env_if("PROPTEST_CASES", flags.random.cases)
            .rustflags("-Zsanitizer=address", DIRECTORY);
        runner.tests(&format!("address sanitizer {}", package.name), &invocation);
    }
    if flags.crates.is_empty() {
        threads::run(runner, &host, seed);
    }
}

/// The target triple of this machine.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
}

/// Whether an empty program links: else a crate's own compile error would pass for a missing sanitizer.
fn can_sanitize(host: &str) -> bool {
    let directory = workspace::target_directory().join(DIRECTORY);
    let source = directory.join("probe.rs");
    let prepared = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&source, "fn main() {}"));
    prepared.is_ok() && compile(host, &source, &directory.join("probe"))
}

fn compile(host: &str, source: &PathBuf, program: &PathBuf) -> bool {
    let compiled = Command::new("rustc")
        .args(["-Zsanitizer=address", "--target", host, "-o"])
        .args([program, source])
        .env("RUSTC_BOOTSTRAP", "1")
        .output();
    compiled.is_ok_and(|output| output.status.success())
        && Command::new(program).status().is_ok_and(|status| status.success())
}
