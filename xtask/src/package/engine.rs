//! The engine of fz-sim's README in a project of its own, which has the simulator as a dev-dependency only.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::Steps;
use crate::invocation::Invocation;
use crate::{markdown, workspace};

const ENGINE: &str = "engine with the simulator as a dev-dependency";
const TEST: &str = "engine's power test";

/// The comments in the program with which its two files begin.
const FILES: [&str; 2] = ["// src/lib.rs", "// tests/power.rs"];

pub(super) fn run(steps: &mut Steps<'_>) {
    if ![ENGINE, TEST].iter().any(|name| steps.wants(name)) {
        return;
    }
    let written = steps.runner.check("write the engine", "package --only engine", || {
        let readme = fs::read_to_string(workspace::root().join("crates/fz-sim/README.md"));
        let files = split(&readme.map_err(|error| error.to_string())?)?;
        write(&files).map_err(|error| format!("{}: {error}", directory().display()))?;
        Ok(format!("in {}", directory().display()))
    });
    if !written {
        return;
    }
    // The library alone: without its dev-dependencies.
    steps.run(ENGINE, |runner, name| {
        runner.step(name, &cargo("check --quiet --lib"));
    });
    steps.run(TEST, |runner, name| {
        runner.step(name, &cargo("test --quiet"));
    });
}

fn directory() -> PathBuf {
    workspace::target_directory().join("engine")
}

fn cargo(words: &str) -> Invocation {
    let manifest = directory().join("Cargo.toml").to_string_lossy().into_owned();
    let shared = workspace::target_directory().to_string_lossy().into_owned();
    Invocation::cargo(words).words("--manifest-path").argument(manifest).env("CARGO_TARGET_DIR", shared)
}

/// The engine and its test, from the README's program.
fn split(readme: &str) -> Result<[String; 2], String> {
    let [engine, test] = FILES;
    let programs = markdown::rust_programs(readme);
    let program = programs.iter().find(|program| program.text.starts_with(engine));
    let text = &program.ok_or(format!("no program of the README begins with {engine}"))?.text;
    let at = text.find(test).ok_or(format!("the README's engine has no {test}"))?;
    Ok([text[..at].to_owned(), text[at..].to_owned()])
}

fn write([engine, test]: &[String; 2]) -> io::Result<()> {
    let directory = directory();
    fs::create_dir_all(directory.join("src"))?;
    fs::create_dir_all(directory.join("tests"))?;
    let path = |name: &str| workspace::root().join("crates").join(name).to_string_lossy().into_owned();
    let manifest = format!(
        "[package]\nname = \"engine\"\nedition = \"2024\"\n\n[dependencies]\nfz-file = {{ path = {:?} }}\n\n\
         [dev-dependencies]\nfz-sim = {{ path = {:?} }}\n\n[workspace]\n",
        path("fz-file"),
        path("fz-sim"),
    );
    fs::write(directory.join("Cargo.toml"), manifest)?;
    // The versions that the workspace is tested with; cargo drops those that the engine does not use.
    fs::copy(workspace::root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
    fs::write(directory.join("src/lib.rs"), engine)?;
    fs::write(directory.join("tests/power.rs"), as_test(test))
}

/// The statements of the README's test, in a test.
fn as_test(test: &str) -> String {
    format!("use engine::save;\n\n#[test]\nfn power() {{\n{test}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_split_at_its_test() {
        let readme = "```rust\n// src/lib.rs: it\nfn save() {}\n// tests/power.rs: that\nsave();\n```\n";
        let [engine, test] = split(readme).unwrap();
        assert_eq!((&*engine, &*test), ("// src/lib.rs: it\nfn save() {}\n", "// tests/power.rs: that\nsave();\n"));
        assert!(as_test(&test).ends_with("fn power() {\n// tests/power.rs: that\nsave();\n}\n"));
    }

    #[test]
    fn a_program_without_its_test_is_rejected() {
        assert!(split("```rust\n// src/lib.rs\nfn save() {}\n```\n").unwrap_err().contains("tests/power.rs"));
        assert!(split("```rust\nfn save() {}\n```\n").unwrap_err().contains("src/lib.rs"));
    }
}
