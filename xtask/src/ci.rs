//! `cargo xtask ci`: what must pass before a change is merged.

use crate::flags::{Ci, Doc, Lint, Loom, Mutants, Prop, Random, Sanitize, Test};
use crate::runner::Runner;
use crate::{doc, lint, loom, mutants, prop, sanitize, test};

/// Cases per property in the short and in the long run.
const CASES: [u32; 2] = [1_000, 20_000];

pub(crate) fn run(runner: &mut Runner, flags: &Ci) {
    let random = Random { seed: Some(prop::seed(runner, &flags.random)), ..flags.random.clone() };
    let cases = flags.random.cases.unwrap_or(CASES[usize::from(flags.long)]);
    lint::run(runner, &Lint::default());
    doc::run(runner, &Doc::default());
    if !flags.no_test {
        test::run(runner, &Test { quick: true, random: random.clone(), ..Test::default() });
    }
    let preemptions = if flags.long { None } else { Some(loom::SHORT_PREEMPTIONS) };
    loom::run(runner, &Loom { preemptions, ..Loom::default() });
    let with_cases = Random { cases: Some(cases), ..random.clone() };
    prop::run(runner, &Prop { random: with_cases, ..Prop::default() });
    mutants::run(runner, &Mutants { quick: !flags.long, ..Mutants::default() });
    if flags.long {
        sanitize::run(runner, &Sanitize { random, ..Sanitize::default() });
    }
}
