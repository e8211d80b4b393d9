//! `cargo xtask lint`: everything that can be said of the code without running it.

use std::collections::BTreeSet;

use crate::configuration::Configuration;
use crate::flags::Lint;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::tool::{ACTIONLINT, ADVISORIES, CLIPPY, DENY, RUSTFMT};
use crate::workspace::Selection;
use crate::{loom, mutants, tidy, workflows, workspace};

pub(crate) fn run(runner: &mut Runner, flags: &Lint) {
    if !flags.dependencies {
        code(runner);
    }
    if runner.has("dependencies", &DENY) {
        runner.step("dependencies", &Invocation::cargo("deny --all-features check bans licenses sources"));
        if runner.has("advisories", &ADVISORIES) {
            runner.step("advisories", &Invocation::cargo("deny --all-features check advisories"));
        }
    }
}

fn code(runner: &mut Runner) {
    if runner.has("format", &RUSTFMT) {
        runner.step("format", &Invocation::cargo("fmt --all -- --check"));
    }
    clippy(runner);
    tidy::run(runner);
    runner.check("workflows", "lint", workflows::check);
    if runner.has("actionlint", &ACTIONLINT) {
        runner.step("actionlint", &Invocation::new("actionlint"));
    }
}

fn clippy(runner: &mut Runner) {
    if !runner.has("clippy", &CLIPPY) {
        return;
    }
    let plain = Invocation::cargo("clippy --quiet --all-targets --all-features").words(&workspace::selection());
    runner.step("clippy", &plain.words("-- -D warnings"));
    if cfg!(target_os = "linux") {
        let bench = Invocation::cargo("clippy --quiet --all-targets -p fz-bench -- -D warnings");
        runner.step("clippy fz-bench, without its peers", &bench);
    }
    let twins =
        Invocation::cargo("check --quiet --all-targets --all-features").words(&workspace::selection_of_crates());
    runner.step("clippy of the mutants", &twins.configured(Configuration::clippy(&[mutants::CFG])));
    for checker in [&loom::LOOM, &loom::SHUTTLE] {
        // The libraries and the models: nothing else has to compile against the swapped-in types.
        let mut words = BTreeSet::from(["--lib".to_owned()]);
        for package in checker.crates() {
            words.insert(format!("-p {}", package.name));
            words.extend(checker.models(package).iter().map(Selection::target));
        }
        if words.len() > 1 {
            let models = Invocation::cargo("check --quiet")
                .words(&words.into_iter().collect::<Vec<_>>().join(" "))
                .words("--features")
                .argument(checker.feature)
                .configured(Configuration::clippy(&[checker.cfg]));
            runner.step(&format!("clippy of the {} models", checker.name), &models);
        }
    }
}
