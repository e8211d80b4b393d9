//! `cargo xtask ci`: what must pass before a change is merged.

use crate::flags::{Ci, Crash, Doc, Lint, Loom, Mutants, Prop, Random, Sanitize, Sim, Test};
use crate::runner::Runner;
use crate::{crash, doc, lint, loom, mutants, prop, sanitize, sim, test};

/// Cases per property in the short and in the long run.
const CASES: [u32; 2] = [1_000, 20_000];

/// How long the long run simulates.
const SIM_SECONDS_LONG: u64 = 600;

pub(crate) fn run(runner: &mut Runner, flags: &Ci) {
    let random = Random { seed: Some(prop::seed(runner, flags.random.seed)), ..flags.random.clone() };
    let cases = flags.random.cases.unwrap_or(CASES[usize::from(flags.long)]);
    lint::run(runner, &Lint::default());
    doc::run(runner, &Doc::default());
    // The short run of models, simulation and mutants is left to the long ones below.
    test::run(runner, &Test { quick: flags.long, random: random.clone(), ..Test::default() });
    let with_cases = Random { cases: Some(cases), ..random.clone() };
    prop::run(runner, &Prop { random: with_cases, ..Prop::default() });
    if flags.long {
        loom::run(runner, &Loom { seed: random.seed, ..Loom::default() });
        mutants::run(runner, &Mutants::default());
        sim::run(runner, &Sim { seconds: Some(SIM_SECONDS_LONG), seed: random.seed, ..Sim::default() });
        sim::run(runner, &Sim { canary: true, ..Sim::default() });
        sanitize::run(runner, &Sanitize { random: random.clone(), ..Sanitize::default() });
        reopen(runner, random.seed);
    }
}

/// Opens files anew after a failure on each file system. Mounting needs root, which no other step of this command
/// does: without it the step is skipped even under `--strict`, and left to a run of `cargo xtask crash` as root.
fn reopen(runner: &mut Runner, seed: Option<u64>) {
    if !crash::is_root() {
        return runner.skip("crash --mode reopen", "needs root: sudo -E cargo xtask crash --mode reopen --fs all");
    }
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let fs = words(&["ext4", "xfs", "btrfs"]);
    crash::run(runner, &Crash { mode: words(&["reopen"]), fs, seed, ..Crash::default() });
}
