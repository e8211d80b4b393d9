//! `cargo xtask sanitize`: the crates with `unsafe` under AddressSanitizer, threads under ThreadSanitizer.

mod threads;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::flags::Sanitize;
use crate::invocation::{End, Invocation};
use crate::runner::Runner;
use crate::{prop, tidy, workspace};

const DIRECTORY: &str = "address";

/// One byte behind a block of the heap: what the sanitizer must see.
const OVERRUN: &str = "fn main() {
    let block = std::hint::black_box(vec![0_u8; 64]);
    let behind = block.as_ptr().wrapping_add(block.len());
    println!(\"{}\", unsafe { std::ptr::read_volatile(behind) });
}
";

const FOUND: &str = "AddressSanitizer: heap-buffer-overflow";

pub(crate) fn run(runner: &mut Runner, flags: &Sanitize) {
    let crates: Vec<_> = workspace::checked(&flags.crates)
        .into_iter()
        .filter(|package| tidy::UNSAFE_CRATES.contains(&package.name.as_str()))
        .collect();
    if crates.is_empty() {
        return runner.skip("sanitize", "none of these crates holds unsafe code");
    }
    let probe = workspace::target_directory().join(DIRECTORY).join("probe");
    let Some(host) = host().filter(|host| links(host, &probe)) else {
        let detail = "rustc cannot link the sanitizers here; it can on x86_64 and aarch64 Linux and macOS; \
                      to install such a toolchain: rustup toolchain install stable";
        return runner.missing("sanitize", detail, "RUSTC_BOOTSTRAP=1 rustc -Zsanitizer=address probe.rs");
    };
    if !flags.threads {
        let planted = Invocation::new(probe.to_string_lossy());
        runner.judged("address sanitizer finds a planted overrun", &planted, |finished| {
            match (finished.end, finished.output.contains(FOUND)) {
                (End::Failure(_), true) => Ok(String::new()),
                (end, _) => Err(format!("it was not found: {end}")),
            }
        });
    }
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

/// Whether a program of one file links: else a crate's own compile error would pass for a missing sanitizer.
fn links(host: &str, probe: &Path) -> bool {
    let source = probe.with_extension("rs");
    let written = fs::create_dir_all(source.with_file_name("")).and_then(|()| fs::write(&source, OVERRUN));
    let mut compiler = Command::new("rustc");
    compiler.args(["-Zsanitizer=address", "--target", host, "-o"]).args([probe, &source]).env("RUSTC_BOOTSTRAP", "1");
    written.is_ok() && compiler.output().is_ok_and(|output| output.status.success())
}
