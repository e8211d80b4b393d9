//! Every set of features compiles without a warning, by itself and with the tests.

use super::Steps;
use crate::invocation::Invocation;
use crate::tool::CLIPPY;
use crate::workspace::{self, Package};

/// All sets of so many features would be too many: name the sets that matter instead.
const FEATURES_MAX: usize = 6;

pub(super) fn run(steps: &mut Steps<'_>, packages: &[&Package]) {
    for package in packages {
        for set in sets(&of(package)) {
            // The library first alone: what only the tests depend on may enable what the library forgot to.
            for targets in ["--lib", "--all-targets"] {
                let invocation = Invocation::cargo("clippy")
                    .words("--quiet --locked --no-default-features -p")
                    .argument(&package.name)
                    .words(targets)
                    .words("--features")
                    .argument(set.join(","))
                    .words("-- -D warnings");
                let shown = if set.is_empty() { "none".to_owned() } else { set.join("+") };
                steps.run(&format!("features {} {shown} {targets}", package.name), |runner, name| {
                    // Not `cargo check` instead: its warnings would pass.
                    if runner.has(name, &CLIPPY) {
                        runner.step(name, &invocation);
                    }
                });
            }
        }
    }
}

fn of(package: &Package) -> Vec<String> {
    let features = workspace::manifest(&package.name)["features"].as_object();
    let names = features.into_iter().flatten().map(|(name, _)| name.clone());
    // A feature that begins with an underscore is for the project's own checks, which compile it.
    names.filter(|name| name != "default" && !name.starts_with('_')).collect()
}

fn sets(features: &[String]) -> Vec<Vec<String>> {
    assert!(features.len() <= FEATURES_MAX, "2^{} sets of features are too many to compile", features.len());
    let set =
        |mask: u32| (0..).zip(features).filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, f)| f.clone()).collect();
    (0..1 << features.len()).map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_features_is_there_once() {
        assert_eq!(sets(&[]), [[""; 0]]);
        let sets = sets(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(sets, [vec![], vec!["a"], vec!["b"], vec!["a", "b"]]);
    }
}
