//! What is in the workspace: its packages, as cargo sees them, and its files, as git does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Packages that build a dozen foreign storage engines: only commands about benchmarks touch them.
const HEAVY: [&str; 1] = ["fz-bench"];

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) directory: PathBuf,
    /// Goes to the registry; `publish = false` keeps a package at home.
    pub(crate) published: bool,
    pub(crate) targets: Vec<Target>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only tests, examples and benches see it.
    pub(crate) dev: bool,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask lies in the workspace").to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    text(metadata(), "target_directory").into()
}

/// Every member of the workspace.
pub(crate) fn packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    PACKAGES.get_or_init(|| list(metadata(), "packages").iter().map(package).collect())
}

/// The members that every check covers, or those of them that `only` names.
pub(crate) fn checked(only: &[String]) -> Vec<&'static Package> {
    light().filter(|package| only.is_empty() || only.contains(&package.name)).collect()
}

/// Accepts the name of a checked crate; the parser of every `--crate`.
pub(crate) fn known_crate(name: &str) -> Result<String, String> {
    if light().any(|package| package.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = light().map(|package| package.name.as_str()).collect();
    Err(format!("there is no such crate; the crates are {}", names.join(", ")))
}

fn light() -> impl Iterator<Item = &'static Package> {
    packages().iter().filter(|package| !HEAVY.contains(&package.name.as_str()))
}

/// `-p a -p b …` for every checked package.
pub(crate) fn selection() -> String {
    light().map(|package| format!("-p {}", package.name)).collect::<Vec<_>>().join(" ")
}

/// The files that git tracks or would track, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut files: Vec<PathBuf> = names.split_terminator('\0').map(PathBuf::from).collect();
    // A file deleted but still in the index is not there to be read.
    files.retain(|file| root().join(file).is_file());
    Ok(files)
}

impl Package {
    /// Whether it has a target of this kind (`example`, `test`, `bench`, `bin`) and name.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|target| target.kind == kind && target.name == name)
    }

    /// Its Rust files, as git knows them.
    pub(crate) fn rust_files(&self) -> Vec<PathBuf> {
        let files = files().unwrap_or_default().into_iter().map(|file| root().join(file));
        files.filter(|file| file.starts_with(&self.directory) && file.extension().is_some_and(|e| e == "rs")).collect()
    }

    /// The names of its integration tests.
    pub(crate) fn integration_tests(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(|target| target.kind == "test").map(|target| target.name.as_str())
    }
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(root())
            .output()
            .expect("cargo is running us, so it can be started");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
    })
}

fn package(package: &Value) -> Package {
    let manifest = PathBuf::from(text(package, "manifest_path"));
    Package {
        name: text(package, "name").to_owned(),
        description: package["description"].as_str().unwrap_or_default().to_owned(),
        directory: manifest.parent().expect("a manifest lies in a directory").to_owned(),
        published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        targets: list(package, "targets").iter().map(target).collect(),
        dependencies: list(package, "dependencies").iter().map(dependency).collect(),
    }
}

fn target(target: &Value) -> Target {
    let kind = target["kind"][0].as_str().unwrap_or_default().to_owned();
    Target { kind, name: text(target, "name").to_owned() }
}

fn dependency(dependency: &Value) -> Dependency {
    Dependency { name: text(dependency, "name").to_owned(), dev: dependency["kind"] == "dev" }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata without the text {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("cargo metadata without the list {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_knows_its_own_members_and_files() {
        let xtask = packages().iter().find(|package| package.name == "xtask").unwrap();
        assert!(xtask.has("bin", "xtask") && !xtask.published);
        assert!(xtask.dependencies.iter().any(|dependency| dependency.name == "clap" && !dependency.dev));
        assert!(files().unwrap().contains(&PathBuf::from("xtask/Cargo.toml")));
    }

    #[test]
    fn an_unknown_crate_is_refused_with_those_that_exist() {
        let error = known_crate("fz-absent").unwrap_err();
        assert!(error.contains("fz-error"), "{error}");
        assert_eq!(checked(&["fz-error".to_owned()]).len(), 1);
    }
}
