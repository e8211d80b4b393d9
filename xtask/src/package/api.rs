//! The public API of each crate, in `docs/api`: what a change adds or breaks is then seen in its review.

use std::fs;
use std::path::PathBuf;

use super::Steps;
use crate::invocation::{End, Finished, Invocation};
use crate::runner::Runner;
use crate::tool::PUBLIC_API;
use crate::workspace::{self, Package};

const STEP: &str = "public API";

pub(super) fn run(steps: &mut Steps<'_>, packages: &[&Package], bless: bool) {
    let name = |package: &Package| format!("{STEP} {}", package.name);
    let wanted: Vec<&Package> = packages.iter().copied().filter(|package| steps.wants(&name(package))).collect();
    if wanted.is_empty() {
        return;
    }
    if !steps.runner.has(STEP, &PUBLIC_API) {
        steps.begun += 1;
        return;
    }
    // The tool alone would want a nightly toolchain; it reads as well what the installed one writes. With a target
    // directory of its own, because build scripts ask for RUSTC_BOOTSTRAP, and would run anew each time.
    let json = Invocation::cargo("doc --quiet --locked --lib --no-deps --all-features")
        .words(&workspace::select(wanted.iter().copied()))
        .env("RUSTDOCFLAGS", "-Zunstable-options --output-format json")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", directory().to_string_lossy());
    if !steps.runner.step("rustdoc as JSON", &json) {
        steps.begun += 1;
        return;
    }
    for package in wanted {
        steps.run(&name(package), |runner, name| compare(runner, name, package, bless));
    }
}

fn directory() -> PathBuf {
    workspace::target_directory().join("api")
}

fn compare(runner: &mut Runner, name: &str, package: &Package, bless: bool) {
    let json = directory().join("doc").join(format!("{}.json", package.name.replace('-', "_")));
    // Without the automatic implementations: some of them come and go with the compiler's version.
    let list = Invocation::cargo("public-api --color never -ss --rustdoc-json").argument(json.to_string_lossy());
    let path = workspace::root().join("docs/api").join(format!("{}.txt", package.name));
    runner.judged(name, &list, |finished| match finished.end {
        End::Success if bless => write(&path, finished),
        End::Success => verdict(&fs::read_to_string(&path).unwrap_or_default(), &finished.output),
        end => Err(end.to_string()),
    });
}

fn write(path: &PathBuf, finished: &Finished) -> Result<String, String> {
    let written = fs::create_dir_all(path.with_file_name("")).and_then(|()| fs::write(path, &finished.output));
    written.map(|()| format!("written to {}", path.display())).map_err(|error| format!("{}: {error}", path.display()))
}

/// Lines gone and lines added, by their text: an order that changes is no change of the API.
fn verdict(committed: &str, now: &str) -> Result<String, String> {
    let lacks = |text: &str, line: &str| !text.lines().any(|other| other == line);
    let gone = committed.lines().filter(|line| lacks(now, line)).map(|line| format!("- {line}"));
    let added = now.lines().filter(|line| lacks(committed, line)).map(|line| format!("+ {line}"));
    let changes: Vec<_> = gone.chain(added).collect();
    if now.trim().is_empty() {
        return Err("the list is empty".to_owned());
    }
    if changes.is_empty() {
        return Ok(format!("{} items", now.lines().count()));
    }
    let advice = "the public API differs from docs/api; if that is intended, run: \
                  cargo xtask package --only 'public API' --bless";
    Err(format!("{advice}\n{}", changes.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_api_is_accepted_in_any_order() {
        assert_eq!(verdict("a\nb\n", "b\na\n"), Ok("2 items".to_owned()));
    }

    #[test]
    fn what_is_gone_and_what_is_new_is_rejected_and_named() {
        assert!(verdict("a\nb\n", "a\n").unwrap_err().ends_with("\n- b"));
        assert!(verdict("a\n", "a\nb\n").unwrap_err().ends_with("\n+ b"));
        assert!(verdict("", "a\n").is_err());
        assert!(verdict("", "").is_err());
    }
}
