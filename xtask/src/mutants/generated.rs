//! `cargo xtask mutants --generated`: what the tests of the small crates do not notice, by a program's choice.
//!
//! The twins of the table are mistakes that somebody thought of. cargo-mutants makes the others: each function
//! emptied, each operator replaced, one at a time. `.cargo/mutants.toml` says what it leaves out.

use std::path::Path;
use std::{fmt, fs};

use crate::flags::Mutants;
use crate::invocation::{End, Invocation};
use crate::reasons::{self, Entry};
use crate::runner::Runner;
use crate::tool::CARGO_MUTANTS;
use crate::workspace;

/// The crates whose tests take a few seconds: these run once for each of more than a thousand mutants.
const CRATES: [&str; 4] = ["fz-error", "fz-mpsc", "fz-bufpool", "fz-file"];

/// What survives, and why.
const LIST: &str = "xtask/src/mutants/survivors.txt";

/// Seconds after which the tests of a mutant hang. The tests of one crate take about five, those of all of them, which
/// cargo-mutants runs at once and under the same limit before it changes anything, about fifteen.
const LIMIT_SECONDS: u64 = 45;

/// Cases per property: fewer than usual, because each mutant gets them.
const CASES: u32 = 32;

/// The same cases for every mutant.
const SEED: &str = "1";

/// Ends of cargo-mutants that are a result: some survived; some hung.
const RESULTS: [i32; 2] = [2, 3];

pub(super) fn run(runner: &mut Runner, flags: &Mutants) {
    if !runner.has("generated mutants", &CARGO_MUTANTS) {
        return;
    }
    // Before the hours of work.
    let mut listed = None;
    let is_list = runner.check("reasons of the survivors", "mutants --generated", || {
        let text = fs::read_to_string(workspace::root().join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
        let entries = reasons::parse(&text).map_err(|error| format!("{LIST}: {error}"))?;
        Ok(format!("{} in {LIST}", listed.insert(entries).len()))
    });
    let Some(listed) = listed.filter(|_| is_list) else { return };
    let directory = workspace::target_directory().join("generated");
    let results = directory.join("mutants.out");
    // The last run's would be moved aside, and pile up.
    let _ = fs::remove_dir_all(&results);
    let mut outcome = None;
    let ran = runner.judged("generated mutants", &invocation(flags, &directory), |finished| match finished.end {
        End::Failure(status) if !status.code().is_some_and(|code| RESULTS.contains(&code)) => Err(status.to_string()),
        _ => Ok(outcome.insert(Outcome::read(&results)?).to_string()),
    });
    let Some(outcome) = outcome.filter(|_| ran) else { return };
    for name in CRATES {
        let own = outcome.of(name);
        if own.all().next().is_some() {
            runner.note(&format!("        {name:11} {own}"));
        }
    }
    let repeat = flags.only.as_ref().map_or(String::new(), |only| format!(" --only '{only}'"));
    for name in &outcome.hung {
        runner.note(&format!("        hangs: {name}"));
    }
    let whole = flags.only.is_none();
    let repeat = format!("mutants --generated{repeat}");
    runner.check("each survivor has its reason", &repeat, || verdict(&outcome, &listed, whole));
}

fn invocation(flags: &Mutants, directory: &Path) -> Invocation {
    let limit = flags.check_seconds.unwrap_or(LIMIT_SECONDS);
    let invocation = Invocation::cargo("mutants --no-times --colors never")
        .words(&CRATES.map(|name| format!("--package {name}")).join(" "))
        .words(&format!("--timeout {limit} --output"))
        .argument(directory.to_string_lossy())
        .env("CARGO_TARGET_DIR", directory.join("target").to_string_lossy())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("PROPTEST_CASES", CASES.to_string())
        .env("PROPTEST_RNG_SEED", SEED)
        // No broken twin is on; but the case that fails a property is not kept, to be tried with the next mutant too.
        .env("RUSTFLAGS", "--cfg fz_mutants");
    match &flags.only {
        Some(only) => invocation.argument("--re").argument(pattern(only)),
        None => invocation,
    }
}

/// A mutant is `path:line:column: change`; its name here has no numbers, which every edit above it changes.
fn pattern(only: &str) -> String {
    let is_special = |c: char| c.is_ascii_punctuation() && !"_<>".contains(c);
    let escape = |text: &str| -> String {
        text.chars().flat_map(|c| [is_special(c).then_some('\\'), Some(c)]).flatten().collect()
    };
    only.split_once(": ")
        .map_or_else(|| escape(only), |(path, change)| format!("{}:[0-9]+:[0-9]+: {}", escape(path), escape(change)))
}

/// The mutants by what came of them, without their lines and columns.
#[derive(Debug, Default)]
struct Outcome {
    caught: Vec<String>,
    hung: Vec<String>,
    unviable: Vec<String>,
    survived: Vec<String>,
}

impl Outcome {
    fn read(directory: &Path) -> Result<Self, String> {
        let names = |file: &str| {
            let path = directory.join(file);
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(text.lines().map(name).collect())
        };
        Ok(Self {
            caught: names("caught.txt")?,
            hung: names("timeout.txt")?,
            unviable: names("unviable.txt")?,
            survived: names("missed.txt")?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        [&self.caught, &self.hung, &self.unviable, &self.survived].into_iter().flatten()
    }

    /// Those of one crate.
    fn of(&self, package: &str) -> Self {
        let folder = format!("crates/{package}/");
        let own = |names: &[String]| names.iter().filter(|name| name.starts_with(&folder)).cloned().collect();
        Self {
            caught: own(&self.caught),
            hung: own(&self.hung),
            unviable: own(&self.unviable),
            survived: own(&self.survived),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [caught, hung, unviable, survived] =
            [&self.caught, &self.hung, &self.unviable, &self.survived].map(Vec::len);
        let all = caught + hung + unviable + survived;
        write!(f, "{all}: {caught} caught, {hung} hang, {unviable} do not compile, {survived} survive")
    }
}

/// `crates/x/src/y.rs:1:2: replace + with -` without the `1:2:`.
fn name(line: &str) -> String {
    let Some((place, change)) = line.split_once(": ") else { return line.to_owned() };
    format!("{}: {change}", place.split(':').next().unwrap_or(place))
}

/// Each survivor is in the list, as often as it survives; and if `whole`, each entry of the list is a mutant.
/// An entry may be caught: some are in some runs.
fn verdict(outcome: &Outcome, listed: &[Entry], whole: bool) -> Result<String, String> {
    if outcome.all().next().is_none() {
        return Err("there is no such mutant".to_owned());
    }
    let listed: Vec<_> = listed.iter().map(|entry| (entry.line, format!("{}/{}", entry.folder, entry.text))).collect();
    let advice = format!("write a test that fails with it, or its reason into {LIST}");
    let unlisted = reasons::unlisted(&outcome.survived, &listed, |(_, name), survivor| name == survivor);
    let mut findings: Vec<_> = unlisted.iter().map(|survivor| format!("{survivor}: {advice}")).collect();
    let gone = listed.iter().filter(|(_, name)| whole && !outcome.all().any(|mutant| mutant == name));
    findings.extend(gone.map(|(line, name)| format!("{LIST}:{line}: there is no such mutant any more: {name}")));
    if findings.is_empty() { Ok(format!("{} reasons", listed.len())) } else { Err(findings.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "crates/x\n  src/y.rs: replace + with -\n    = why\n";

    fn outcome(survived: &[&str], caught: &[&str]) -> Outcome {
        let names = |lines: &[&str]| lines.iter().map(|line| name(line)).collect();
        Outcome { survived: names(survived), caught: names(caught), ..Outcome::default() }
    }

    fn judge(outcome: &Outcome) -> Result<String, String> {
        verdict(outcome, &reasons::parse(LISTED).unwrap(), true)
    }

    #[test]
    fn a_listed_survivor_is_accepted_wherever_it_stands() {
        assert!(judge(&outcome(&["crates/x/src/y.rs:1:2: replace + with -"], &[])).is_ok());
        assert!(judge(&outcome(&[], &["crates/x/src/y.rs:3:4: replace + with -"])).is_ok());
    }

    #[test]
    fn one_reason_is_for_one_survivor() {
        let twice = ["crates/x/src/y.rs:1:2: replace + with -", "crates/x/src/y.rs:1:9: replace + with -"];
        assert!(judge(&outcome(&twice, &[])).unwrap_err().contains("write a test"));
        assert!(judge(&outcome(&twice[..1], &twice[1..])).is_ok());
    }

    #[test]
    fn an_unlisted_survivor_and_a_stale_entry_are_found() {
        let findings = judge(&outcome(&["crates/x/src/z.rs:1:2: replace f with ()"], &[])).unwrap_err();
        assert!(findings.contains("z.rs: replace f with ()") && findings.contains("survivors.txt:2"), "{findings}");
    }

    #[test]
    fn the_counts_are_those_of_the_crate() {
        let outcome =
            outcome(&["crates/x/src/y.rs:1:2: a", "crates/xy/src/y.rs:1:2: a"], &["crates/x/src/y.rs:1:3: b"]);
        assert_eq!(outcome.of("x").to_string(), "2: 1 caught, 0 hang, 0 do not compile, 1 survive");
    }

    #[test]
    fn a_run_without_mutants_proves_nothing() {
        assert!(judge(&Outcome::default()).is_err());
    }

    #[test]
    fn a_name_without_numbers_chooses_its_mutants() {
        assert_eq!(pattern("x/src/y.rs: replace + with -"), r"x\/src\/y\.rs:[0-9]+:[0-9]+: replace \+ with \-");
        assert_eq!(pattern("ring.rs"), r"ring\.rs");
    }
}
