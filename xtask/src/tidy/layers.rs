//! Dependencies point down only.

use super::Finding;
use crate::workspace::{self, Package};

/// A package, the packages of ours that it may use, and those that only its tests and examples may use besides.
type Layer = (&'static str, &'static [&'static str], &'static [&'static str]);

const LAYERS: &[Layer] = &[
    ("fz-process", &[], &[]),
    ("fz-error", &[], &[]),
    ("fz-file", &["fz-process", "fz-error"], &["fz-sim"]),
    ("fz-bufpool", &["fz-process", "fz-error"], &[]),
    ("fz-mpsc", &["fz-process", "fz-error"], &[]),
    ("fz-commit", &["fz-process", "fz-error"], &[]),
    ("fz-wpipe", &["fz-process", "fz-error", "fz-file", "fz-bufpool", "fz-mpsc", "fz-commit"], &["fz-sim"]),
    ("fz-sim", &["fz-process", "fz-error", "fz-file"], &["fz-bufpool", "fz-mpsc", "fz-commit", "fz-wpipe"]),
    (
        "fz-proof",
        &["fz-process", "fz-error", "fz-file", "fz-bufpool", "fz-mpsc", "fz-commit", "fz-wpipe", "fz-sim"],
        &[],
    ),
    (
        "fz-bench",
        &["fz-process", "fz-error", "fz-file", "fz-bufpool", "fz-mpsc", "fz-commit", "fz-wpipe", "fz-sim"],
        &[],
    ),
    ("fz-crash", &["fz-process", "fz-error", "fz-file", "fz-bufpool", "fz-commit", "fz-wpipe"], &[]),
    ("xtask", &["fz-process", "fz-error", "fz-file", "fz-bufpool", "fz-mpsc", "fz-commit", "fz-wpipe", "fz-sim"], &[]),
];

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let directory = package.directory.strip_prefix(workspace::root()).unwrap_or(&package.directory);
        let manifest = directory.join("Cargo.toml");
        let mut found = |message: String| findings.push(Finding::new(&manifest, 1, message));
        let Some((_, uses, tests_use)) = LAYERS.iter().find(|(name, ..)| *name == package.name) else {
            found(format!("{} has no layer; add it to xtask/src/tidy/layers.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let ours = packages.iter().any(|package| package.name == name);
            let allowed = uses.contains(&name) || (dependency.dev && tests_use.contains(&name)) || name == package.name;
            if ours && !allowed {
                let whose = if dependency.dev { "tests" } else { "code" };
                found(format!("{}'s {whose} must not depend on {name}: dependencies point down only", package.name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn packages(of: &str, on: &str, dev: bool) -> Vec<Package> {
        let package = |name: &str, dependencies| Package {
            name: name.to_owned(),
            description: String::new(),
            directory: "/".into(),
            published: true,
            targets: Vec::new(),
            dependencies,
        };
        vec![package(of, vec![Dependency { name: on.to_owned(), dev }]), package(on, Vec::new())]
    }

    #[test]
    fn a_dependency_that_points_down_is_accepted() {
        assert_eq!(check(&packages("fz-wpipe", "fz-mpsc", false)), []);
        assert_eq!(check(&packages("fz-wpipe", "fz-sim", true)), []);
    }

    #[test]
    fn a_dependency_that_points_up_or_aside_is_rejected() {
        for (of, on) in [("fz-mpsc", "fz-bufpool"), ("fz-file", "fz-wpipe"), ("fz-error", "fz-file")] {
            assert_eq!(check(&packages(of, on, false)).len(), 1, "{of} on {on}");
        }
    }

    #[test]
    fn code_may_not_use_what_only_tests_may() {
        assert_eq!(check(&packages("fz-wpipe", "fz-sim", false)).len(), 1);
    }

    #[test]
    fn no_crate_has_two_layers() {
        let names: std::collections::BTreeSet<_> = LAYERS.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), LAYERS.len(), "the second would be dead");
    }

    #[test]
    fn a_crate_without_a_layer_is_rejected() {
        assert_eq!(check(&packages("fz-new", "fz-error", false)).len(), 1);
    }
}
