//! The packages unpacked into a workspace of their own: what is not in them is not there to compile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Steps;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package};

/// Unpacked, in bytes; far above what source code takes, far below a forgotten data file.
const BYTES_MAX: u64 = 2 << 20;

const BUILD: &str = "unpacked packages compile";
const OLDEST_DEPENDENCIES: &str = "oldest dependencies";
const OLDEST_TOOLCHAIN: &str = "oldest toolchain";

pub(super) fn run(steps: &mut Steps<'_>, packages: &[&Package]) {
    if ![BUILD, OLDEST_DEPENDENCIES, OLDEST_TOOLCHAIN].iter().any(|name| steps.wants(name)) {
        return;
    }
    if !prepare(steps.runner, packages) {
        return;
    }
    steps.run(BUILD, |runner, name| {
        runner.step(name, &cargo("check --quiet --workspace --all-targets --all-features"));
    });
    steps.run(OLDEST_TOOLCHAIN, |runner, name| oldest_toolchain(runner, name, packages));
    // Last, because it changes the lock file.
    steps.run(OLDEST_DEPENDENCIES, oldest_dependencies);
}

/// The workspace in which the packages are unpacked.
fn directory() -> PathBuf {
    workspace::target_directory().join("unpacked")
}

fn manifest_path() -> String {
    directory().join("Cargo.toml").to_string_lossy().into_owned()
}

fn cargo(words: &str) -> Invocation {
    shared(Invocation::cargo(words).words("--manifest-path").argument(manifest_path()))
}

/// In the main target directory: the dependencies are the same, and compiled there already.
fn shared(invocation: Invocation) -> Invocation {
    invocation.env("CARGO_TARGET_DIR", workspace::target_directory().to_string_lossy())
}

fn prepare(runner: &mut Runner, packages: &[&Package]) -> bool {
    let pack = Invocation::cargo("package --quiet --locked --no-verify --allow-dirty")
        .words(&workspace::select(packages.iter().copied()));
    runner.step("pack", &pack)
        && runner.check("unpack", "package --only unpacked", || {
            unpack(packages).map_err(|error| error.to_string())?;
            packages.iter().try_for_each(|package| check(package, &directory().join(&package.name)))?;
            Ok(format!("in {}", directory().display()))
        })
}

fn unpack(packages: &[&Package]) -> std::io::Result<()> {
    let directory = directory();
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    for package in packages {
        let version = workspace::manifest(&package.name)["version"].as_str().unwrap_or_default();
        let inside = format!("{}-{version}", package.name);
        let archive = workspace::target_directory().join("package").join(format!("{inside}.crate"));
        // With the time of now (-m): by the times in the archive cargo would take a changed file for the old one.
        let tar = Command::new("tar").arg("-xzmf").arg(&archive).current_dir(&directory).status()?;
        if !tar.success() {
            return Err(std::io::Error::other(format!("tar -xzmf {}: {tar}", archive.display())));
        }
        fs::rename(directory.join(inside), directory.join(&package.name))?;
    }
    fs::write(directory.join("Cargo.toml"), manifest(packages))?;
    // The versions that the workspace is tested with; cargo drops what the packages do not use.
    fs::copy(workspace::root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
    Ok(())
}

/// A workspace in which our packages, which the registry may not have yet, use each other.
fn manifest(packages: &[&Package]) -> String {
    let members = packages.iter().map(|package| format!("\"{}\"", package.name)).collect::<Vec<_>>().join(", ");
    let patches: String =
        packages.iter().map(|package| format!("{0} = {{ path = \"{0}\" }}\n", package.name)).collect();
    format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}")
}

/// What each package must hold, and that it holds no more than source code.
fn check(package: &Package, directory: &Path) -> Result<(), String> {
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
        // A link would lead out of the package.
        if !fs::symlink_metadata(directory.join(name)).is_ok_and(|file| file.is_file()) {
            return Err(format!("the package {} has no file {name}", package.name));
        }
    }
    let bytes = bytes(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    if bytes > BYTES_MAX {
        return Err(format!("the package {} holds {bytes} bytes, more than {BYTES_MAX}", package.name));
    }
    Ok(())
}

fn bytes(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { self::bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The lowest versions that the manifests allow, all features, tests and examples.
fn oldest_dependencies(runner: &mut Runner, name: &str) {
    let lock = directory().join("Cargo.lock");
    if let Err(error) = fs::remove_file(&lock) {
        runner.check(name, &format!("package --only '{name}'"), || Err(format!("{}: {error}", lock.display())));
        return;
    }
    // Only for this command: compiled with it, build scripts would take the compiler for a nightly one.
    let resolve = cargo("-Zdirect-minimal-versions generate-lockfile --quiet").env("RUSTC_BOOTSTRAP", "1");
    if runner.step("oldest dependencies resolve", &resolve) {
        runner.step(name, &cargo("check --quiet --locked --workspace --all-targets --all-features"));
    }
}

/// The libraries, which the promise is about, and not their tests.
fn oldest_toolchain(runner: &mut Runner, name: &str, packages: &[&Package]) {
    let manifest = packages.first().map(|package| workspace::manifest(&package.name));
    let version = manifest.and_then(|manifest| manifest["rust_version"].as_str()).unwrap_or_default();
    let probe = format!("rustup which cargo --toolchain {version}");
    let installed = Command::new("rustup").args(["which", "cargo", "--toolchain", version]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        let install = format!("rustup toolchain install {version} --profile minimal");
        return runner.missing(name, &format!("Rust {version} is not installed; to install it: {install}"), &probe);
    }
    let check = Invocation::new("rustup").words("run").argument(version);
    let check = check.words("cargo check --quiet --workspace --lib --all-features --manifest-path");
    runner.step(name, &shared(check.argument(manifest_path())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> &'static Package {
        workspace::packages().iter().find(|package| package.name == "fz-error").unwrap()
    }

    #[test]
    fn a_package_without_a_licence_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        for name in ["README.md", "LICENSE-MIT", "src/lib.rs"] {
            fs::write(directory.path().join(name), "text").unwrap();
        }
        assert!(check(package(), directory.path()).unwrap_err().contains("LICENSE-APACHE"));
        std::os::unix::fs::symlink("LICENSE-MIT", directory.path().join("LICENSE-APACHE")).unwrap();
        assert!(check(package(), directory.path()).is_err(), "a link is no file");
        fs::remove_file(directory.path().join("LICENSE-APACHE")).unwrap();
        fs::write(directory.path().join("LICENSE-APACHE"), "text").unwrap();
        assert_eq!(check(package(), directory.path()), Ok(()));
    }

    #[test]
    fn a_package_with_a_forgotten_data_file_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
            fs::write(directory.path().join(name), "text").unwrap();
        }
        fs::File::create(directory.path().join("src/data")).unwrap().set_len(BYTES_MAX).unwrap();
        assert!(check(package(), directory.path()).unwrap_err().contains("bytes"));
    }
}
