//! `cargo xtask test`: every crate's own tests, one step each.

use crate::flags::{Loom, Mutants, Sim, Test};
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{loom, mutants, prop, sim, workspace};

pub(crate) fn run(runner: &mut Runner, flags: &Test) {
    let seed = prop::seed(runner, flags.random.seed);
    for package in workspace::checked(&flags.crates) {
        // Plain `cargo test` also runs the doc tests and compiles the examples.
        let invocation = Invocation::cargo("test -p")
            .argument(&package.name)
            .env_if("PROPTEST_CASES", flags.random.cases)
            .env("PROPTEST_RNG_SEED", seed.to_string());
        runner.tests(&format!("test {}", package.name), &invocation);
        with_features(runner, &package.name);
    }
    if flags.crates.is_empty() && cfg!(target_os = "linux") {
        // Without its peers, which are a quarter of an hour of compiling.
        runner.tests("test fz-bench", &Invocation::cargo("test -p fz-bench"));
    }
    if !flags.quick && flags.crates.is_empty() {
        let preemptions = Some(loom::SHORT_PREEMPTIONS);
        loom::run(runner, &Loom { preemptions, seed: Some(seed), ..Loom::default() });
        sim::run(runner, &Sim { seed: Some(seed), ..Sim::default() });
        mutants::run(runner, &Mutants { quick: true, ..Mutants::default() });
    }
}

/// The tests and doc examples that exist only with a feature, which nobody has by default.
fn with_features(runner: &mut Runner, name: &str) {
    let manifest = workspace::manifest(name);
    if manifest["features"].as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let all_features = || Invocation::cargo("test --all-features -p").argument(name);
    runner.tests(&format!("test {name} documentation, all features"), &all_features().words("--doc"));
    let targets = manifest["targets"].as_array().into_iter().flatten();
    let optional = targets.filter(|target| target["kind"][0] == "test" && !target["required-features"].is_null());
    let tests: Vec<_> = optional.filter_map(|target| Some(format!("--test {}", target["name"].as_str()?))).collect();
    if !tests.is_empty() {
        runner.tests(&format!("test {name} with features"), &all_features().words(&tests.join(" ")));
    }
}
