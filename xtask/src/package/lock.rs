//! What a user's lock file gets from our crates: every package in it is one that the user has to trust and to update.
//!
//! Cargo locks the dependencies of every target and `cfg`, whether or not they are built, but not those of features
//! that are off. So a checker of ours that only a `cfg` of ours selects would stand in each user's lock file.

use std::fs;
use std::path::{Path, PathBuf};

use super::Steps;
use crate::invocation::{End, Invocation};
use crate::runner::Runner;
use crate::workspace;

/// The crates that a user of the pipe names.
const CRATES: [&str; 3] = ["fz-wpipe", "fz-bufpool", "fz-file"];

/// Packages in the lock file of a project with these dependencies, without the project: 33 when this was set, and 96
/// with the model checkers.
const PACKAGES_MAX: usize = 40;

const STEP: &str = "lock file of a user";
const CANARY: &str = "lock file of a user, with the model checkers, is rejected";

pub(super) fn run(steps: &mut Steps<'_>) {
    steps.run(STEP, |runner, name| step(runner, name, "", verdict));
    steps.run(CANARY, |runner, name| {
        step(runner, name, ", features = [\"_shuttle\"]", |lock| match verdict(lock) {
            Ok(detail) => Err(format!("{detail}: the bound lets them pass")),
            Err(_) => Ok(String::new()),
        });
    });
}

fn step(runner: &mut Runner, name: &str, features: &str, judge: impl FnOnce(&str) -> Result<String, String>) {
    let directory = workspace::target_directory().join("user");
    if let Err(error) = write(&directory, features) {
        let detail = format!("{}: {error}", directory.display());
        runner.check(name, &format!("package --only '{name}'"), || Err(detail));
        return;
    }
    let resolve = Invocation::cargo("tree --quiet --depth 0 --manifest-path")
        .argument(directory.join("Cargo.toml").to_string_lossy());
    runner.judged(name, &resolve, |finished| match finished.end {
        End::Success => judge(&fs::read_to_string(directory.join("Cargo.lock")).unwrap_or_default()),
        end => Err(end.to_string()),
    });
}

fn write(directory: &Path, features: &str) -> std::io::Result<()> {
    fs::create_dir_all(directory.join("src"))?;
    fs::write(directory.join("src/lib.rs"), "")?;
    let dependencies: String = CRATES
        .iter()
        .map(|name| {
            let path: PathBuf = workspace::root().join("crates").join(name);
            // Of the three, the pipe has each of the features and hands them on.
            let features = if *name == CRATES[0] { features } else { "" };
            format!("{name} = {{ path = {path:?}{features} }}\n")
        })
        .collect();
    let package = "[package]\nname = \"user\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n";
    fs::write(directory.join("Cargo.toml"), format!("{package}{dependencies}"))?;
    // The versions that the workspace is tested with; cargo drops those that the project does not use.
    fs::copy(workspace::root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
    Ok(())
}

fn verdict(lock: &str) -> Result<String, String> {
    let locked = lock.lines().filter(|line| *line == "[[package]]").count();
    match locked.checked_sub(1) {
        None | Some(0) => Err("the lock file is empty".to_owned()),
        Some(packages) if packages > PACKAGES_MAX => Err(format!(
            "{packages} packages, {PACKAGES_MAX} is the limit; cargo tree -e normal --target all names them"
        )),
        Some(packages) => Ok(format!("{packages} packages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_with_too_many_packages_or_none_is_rejected() {
        let lock = |packages: usize| "[[package]]\nname = \"a\"\n".repeat(packages + 1);
        assert_eq!(verdict(&lock(PACKAGES_MAX)), Ok(format!("{PACKAGES_MAX} packages")));
        assert!(verdict(&lock(PACKAGES_MAX + 1)).is_err());
        assert!(verdict(&lock(0)).is_err() && verdict("").is_err());
    }
}
