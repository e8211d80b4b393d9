//! What is in the workspace: its packages, as cargo sees them, and its files, as git does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::{fmt, fs, io};

use serde_json::Value;

/// Packages that build a dozen foreign storage engines with all features: lint and test see them without any,
/// and only the commands about benchmarks see the rest.
const HEAVY: [&str; 1] = ["fz-bench"];

/// Packages whose programs need what only Linux has: loop devices, FUSE, strace.
const LINUX_ONLY: [&str; 1] = ["fz-crash"];

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

/// What `cargo metadata` says of a member, all of it.
pub(crate) fn manifest(name: &str) -> &'static Value {
    let mut packages = list(metadata(), "packages").iter();
    packages.find(|package| package["name"] == name).expect("a member of the workspace")
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

/// Accepts a peer of the benchmarks, each of which is a feature of theirs, or `none` or `all`.
pub(crate) fn known_peer(name: &str) -> Result<String, String> {
    let features = manifest("fz-bench")["features"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut names: Vec<_> = features.filter(|name| *name != "all-peers").collect();
    names.extend(["none", "all"]);
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no such peer; the peers are {}", names.join(", ")))
}

fn light() -> impl Iterator<Item = &'static Package> {
    packages().iter().filter(|package| {
        let name = package.name.as_str();
        !HEAVY.contains(&name) && (cfg!(target_os = "linux") || !LINUX_ONLY.contains(&name))
    })
}

/// `-p a -p b …` for every checked package.
pub(crate) fn selection() -> String {
    select(light())
}

/// The same without these commands, which no configuration changes.
pub(crate) fn selection_of_crates() -> String {
    select(light().filter(|package| package.name != "xtask"))
}

pub(crate) fn select<'a>(packages: impl Iterator<Item = &'a Package>) -> String {
    packages.map(|package| format!("-p {}", package.name)).collect::<Vec<_>>().join(" ")
}

/// The files that git tracks or would track, relative to the root.
///
/// No file is an error: each check of them would pass.
pub(crate) fn files() -> Result<Vec<PathBuf>, String> {
    files_below(&root())
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let files = listed(directory, &["--cached", "--others", "--exclude-standard"])?;
    if files.is_empty() {
        let place = directory.display();
        return Err(format!("git sees no file in {place}: another repository ignores it; give it its own: git init"));
    }
    Ok(files)
}

/// The files that git would track and does not, relative to the root.
pub(crate) fn untracked() -> Result<Vec<PathBuf>, String> {
    listed(&root(), &["--others", "--exclude-standard"])
}

fn listed(directory: &Path, kinds: &[&str]) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .args(kinds)
        .current_dir(directory)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut files: Vec<PathBuf> = names.split_terminator('\0').map(PathBuf::from).collect();
    // A file deleted but still in the index is not there to be read.
    files.retain(|file| directory.join(file).is_file());
    Ok(files)
}

impl Package {
    /// Whether it has a target of this kind (`example`, `test`, `bench`, `bin`) and name.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|target| target.kind == kind && target.name == name)
    }

    /// Its Rust files, as git knows them. Without git nobody does, and each check of them would pass: that is the end.
    pub(crate) fn rust_files(&self) -> Vec<PathBuf> {
        let files = files().unwrap_or_else(|error| give_up(&error)).into_iter().map(|file| root().join(file));
        files.filter(|file| file.starts_with(&self.directory) && file.extension().is_some_and(|e| e == "rs")).collect()
    }

    /// Where the tests are that stand in its files which `holds` picks by their text, a selection for each
    /// test binary. A file that belongs to none is the end: its tests would never run, and nobody would notice.
    pub(crate) fn tests_in(&self, holds: impl Fn(&str) -> bool) -> Vec<Selection> {
        let mut binaries: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut whole = BTreeSet::new();
        for path in self.rust_files() {
            if !fs::read_to_string(&path).is_ok_and(|text| holds(&text)) {
                continue;
            }
            let inside = path.strip_prefix(&self.directory).unwrap_or(&path).with_extension("");
            let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let parts: Vec<_> = parts.iter().map(String::as_str).collect();
            match test_binary(&parts, |name| self.has("test", name)) {
                Some((binary, None)) => drop(whole.insert(binary.to_owned())),
                Some((binary, Some(module))) => binaries.entry(binary.to_owned()).or_default().push(module),
                None => {
                    give_up(&format!("{}: these tests belong to no test binary, so nothing runs them", path.display()))
                }
            }
        }
        binaries.extend(whole.into_iter().map(|binary| (binary, Vec::new())));
        binaries.into_iter().map(|(binary, modules)| Selection { binary, modules }).collect()
    }
}

/// Tests of one test binary of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// `lib` for the unit tests, or the name of an integration test.
    binary: String,
    /// Only the tests in these modules; all of them if there are none.
    modules: Vec<String>,
}

impl Selection {
    /// The argument that makes cargo build this binary only.
    pub(crate) fn target(&self) -> String {
        if self.binary == "lib" { "--lib".to_owned() } else { format!("--test {}", self.binary) }
    }
}

/// The words after `cargo test -p PACKAGE`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target())?;
        if self.modules.is_empty() {
            return Ok(());
        }
        write!(f, " -- {}", self.modules.join(" "))
    }
}

/// Which test binary a file of a package is compiled into, and its module there if the binary has others.
fn test_binary<'a>(path: &[&'a str], is_test: impl Fn(&str) -> bool) -> Option<(&'a str, Option<String>)> {
    match path {
        ["src", "main"] => None,
        ["src", modules @ ..] => Some(("lib", Some(module_path(modules)))),
        ["tests", binary] | ["tests", binary, "main"] if is_test(binary) => Some((binary, None)),
        ["tests", binary, modules @ ..] if is_test(binary) => Some((binary, Some(module_path(modules)))),
        _ => None,
    }
}

/// The filter for the tests of a file: `batch/tests` is `batch::tests::`.
fn module_path(parts: &[&str]) -> String {
    let parts = match parts {
        [parents @ .., "mod"] => parents,
        parts => parts,
    };
    // The tests in `lib.rs` itself stand in its module `tests`.
    if parts == ["lib"] { "tests::".to_owned() } else { parts.join("::") + "::" }
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(root())
            .output()
            .expect("cargo is running us, so it can be started");
        if !output.status.success() {
            // A broken manifest.
            give_up(&format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
    })
}

/// Nothing can be said about the workspace, so no step can be either.
fn give_up(error: &str) -> ! {
    let _ = writeln!(io::stderr(), "{error}");
    process::exit(1);
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
    fn a_tree_that_another_repository_ignores_is_not_taken_for_an_empty_one() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("ignored");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), "").unwrap();
        assert!(Command::new("git").args(["init", "--quiet"]).current_dir(outer.path()).status().unwrap().success());
        assert_eq!(files_below(&inner), Ok(vec!["file".into()]));
        fs::write(outer.path().join(".gitignore"), "ignored").unwrap();
        assert!(files_below(&inner).unwrap_err().contains("git init"));
    }

    #[test]
    fn a_file_of_unit_tests_is_selected_by_its_module() {
        assert_eq!(module_path(&["batch"]), "batch::");
        assert_eq!(module_path(&["batch", "mod"]), "batch::");
        assert_eq!(module_path(&["batch", "tests"]), "batch::tests::");
        let selection = Selection { binary: "lib".to_owned(), modules: vec![module_path(&["a"]), module_path(&["b"])] };
        assert_eq!(selection.to_string(), "--lib -- a:: b::");
        let selection = Selection { binary: "prop".to_owned(), modules: Vec::new() };
        assert_eq!(selection.to_string(), "--test prop");
    }

    #[test]
    fn a_file_of_no_test_binary_is_not_passed_over() {
        let binary = |path: &[&'static str]| test_binary(path, |name| name == "prop");
        assert_eq!(binary(&["src", "batch"]), Some(("lib", Some("batch::".to_owned()))));
        assert_eq!(binary(&["tests", "prop"]), Some(("prop", None)));
        assert_eq!(binary(&["tests", "prop", "main"]), Some(("prop", None)));
        assert_eq!(binary(&["tests", "prop", "model"]), Some(("prop", Some("model::".to_owned()))));
        for path in [&["src", "main"][..], &["tests", "loose", "model"], &["tests", "loose"], &["benches", "prop"]] {
            assert_eq!(binary(path), None, "{path:?}");
        }
    }

    #[test]
    fn an_unknown_crate_is_refused_with_those_that_exist() {
        let error = known_crate("fz-absent").unwrap_err();
        assert!(error.contains("fz-error"), "{error}");
        assert_eq!(checked(&["fz-error".to_owned()]).len(), 1);
        assert!(known_peer("all-peers").unwrap_err().contains("sled"));
    }
}
