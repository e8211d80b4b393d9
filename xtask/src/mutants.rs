//! `cargo xtask mutants`: each broken twin of the code must be caught by each of its checks.
//!
//! The twins are compiled in with `--cfg fz_mutants` and chosen by the environment variable `FZ_MUTANT`
//! (`fz_error::mutants`), so that one build serves all of them. The table is in `mutants/table.rs`.

mod build;
mod generated;
mod killers;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::flags::Mutants;
use crate::invocation::End;
use crate::runner::Runner;
use crate::workspace;
use build::{Binaries, NO_MUTANT};
use table::{Build, Check, MUTANTS, Mutant};

/// What compiles them in.
pub(crate) const CFG: &str = "fz_mutants";

/// After how many seconds a check hangs. The checks take about a second each when nothing is broken.
const LIMIT_SECONDS: u64 = 60;
const LIMIT_SECONDS_QUICK: u64 = 10;

pub(crate) fn run(runner: &mut Runner, flags: &Mutants) {
    if flags.killers {
        return find_killers(runner, flags);
    }
    if flags.generated {
        return generated::run(runner, flags);
    }
    runner.check("mutants in the source are those in the table", "mutants", agreement);
    let chosen: Vec<_> =
        MUTANTS.iter().filter(|mutant| flags.only.as_ref().is_none_or(|only| mutant.name.contains(only))).collect();
    if chosen.is_empty() {
        return no_such_mutant(runner);
    }
    let checks = |mutant: &'static Mutant| &mutant.checks[..if flags.quick { 1 } else { mutant.checks.len() }];
    let limit = if flags.quick { LIMIT_SECONDS_QUICK } else { LIMIT_SECONDS };
    let limit = Duration::from_secs(flags.check_seconds.unwrap_or(limit));

    let mut baselines: BTreeMap<(&str, Check), bool> = BTreeMap::new();
    let wanted: BTreeSet<_> = chosen.iter().map(|mutant| mutant.package).collect();
    let builds: BTreeSet<_> = chosen.iter().flat_map(|mutant| checks(mutant)).map(|check| check.build).collect();
    let Some(binaries) = Binaries::build(runner, &wanted, &builds) else { return };
    let mut survivors = Vec::new();
    for mutant in chosen {
        for &check in checks(mutant) {
            let sound = *baselines.entry((mutant.package, check)).or_insert_with(|| {
                let Some(invocation) = binaries.invocation(mutant.package, check, limit) else { return true };
                let repeat = Binaries::repeat(mutant.package, check, NO_MUTANT);
                let invocation = invocation.env("FZ_MUTANT", NO_MUTANT).repeat_as(&repeat);
                runner.tests(&format!("without a mutant: {check}"), &invocation)
            });
            if sound && !kill(runner, &binaries, mutant, check, limit) {
                survivors.push(format!("{} survives {check}", mutant.name));
            }
        }
    }
    for survivor in survivors {
        runner.note(&survivor);
    }
}

fn no_such_mutant(runner: &mut Runner) {
    let reason = "no mutant has such a name; see xtask/src/mutants/table.rs";
    runner.check("mutants", "mutants", || Err(reason.to_owned()));
}

/// For each mutant in the source, in the table or not, the tests that fail with it.
fn find_killers(runner: &mut Runner, flags: &Mutants) {
    let chosen: Vec<_> = match in_source() {
        Ok(mutants) => {
            mutants.into_iter().filter(|(_, name)| flags.only.as_ref().is_none_or(|only| name.contains(only))).collect()
        }
        Err(error) => {
            runner.check("mutants", "mutants --killers", || Err(error));
            return;
        }
    };
    if chosen.is_empty() {
        return no_such_mutant(runner);
    }
    let packages = chosen.iter().map(|(package, _)| package.as_str()).collect();
    let limit = Duration::from_secs(flags.check_seconds.unwrap_or(LIMIT_SECONDS_QUICK));
    if let Some(binaries) = Binaries::build(runner, &packages, &[Build::Plain, Build::Loom].into()) {
        killers::run(runner, &binaries, &chosen, limit);
    }
}

/// One cell of the table: `mutant` under `check`, which must fail.
fn kill(runner: &mut Runner, binaries: &Binaries, mutant: &Mutant, check: Check, limit: Duration) -> bool {
    let name = format!("{} × {check}", mutant.name);
    let Some(invocation) = binaries.invocation(mutant.package, check, limit) else {
        return runner.check(&name, "mutants", || Err(format!("{} has no test binary {check}", mutant.package)));
    };
    let repeat = Binaries::repeat(mutant.package, check, mutant.name);
    let invocation = invocation.env("FZ_MUTANT", mutant.name).repeat_as(&repeat);
    runner.judged(&name, &invocation, |finished| match finished.end {
        End::Failure(_) => Ok("killed".to_owned()),
        End::Hang(_) => Ok("killed (hang)".to_owned()),
        End::Success if finished.tests() == 0 => Err("the filter matches no test".to_owned()),
        End::Success => Err("SURVIVED".to_owned()),
    })
}

/// Every mutant in the source is in the table, with two checks or more, under its crate or one that depends on it; and
/// the reverse.
pub(crate) fn agreement() -> Result<String, String> {
    agree(&in_source()?, MUTANTS, depends_on)
}

/// Whether the tests of `package` reach the code of `other`, which is then compiled with the same mutant.
fn depends_on(package: &str, other: &str) -> bool {
    let package = workspace::packages().iter().find(|member| member.name == package);
    package.is_some_and(|package| package.dependencies.iter().any(|dependency| dependency.name == other))
}

/// Every mutant that the source can switch on, with its crate.
fn in_source() -> Result<BTreeSet<(String, String)>, String> {
    let mut in_source = BTreeSet::new();
    for package in workspace::packages().iter().filter(|package| package.name != "xtask") {
        // Not in tests: what they ask for need not exist.
        for path in package.rust_files().iter().filter(|path| path.starts_with(package.directory.join("src"))) {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let names = switches(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            in_source.extend(names.into_iter().map(|name| (package.name.clone(), name)));
        }
    }
    Ok(in_source)
}

fn agree(
    in_source: &BTreeSet<(String, String)>,
    table: &[Mutant],
    depends_on: impl Fn(&str, &str) -> bool,
) -> Result<String, String> {
    let tests = |mutant: &Mutant, package: &str, name: &str| {
        mutant.name == name && (mutant.package == package || depends_on(mutant.package, package))
    };
    let mut findings = Vec::new();
    for (package, name) in in_source {
        if !table.iter().any(|mutant| tests(mutant, package, name)) {
            findings.push(format!(
                "{package} has the mutant {name}; add it, with its checks, to xtask/src/mutants/table.rs"
            ));
        }
    }
    for mutant in table {
        if !in_source.iter().any(|(package, name)| tests(mutant, package, name)) {
            findings
                .push(format!("the table has {} of {}, which switches on nothing there", mutant.name, mutant.package));
        }
    }
    for mutant in table {
        let different: BTreeSet<_> = mutant.checks.iter().collect();
        if different.len() < 2 || different.len() < mutant.checks.len() {
            findings.push(format!("{} needs two different checks or more: one may fail by chance", mutant.name));
        }
    }
    if findings.is_empty() { Ok(format!("{} mutants", in_source.len())) } else { Err(findings.join("\n")) }
}

/// The names that `mutants::active("…")` asks for in a Rust file.
fn switches(text: &str) -> Result<Vec<String>, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
    let mut names = Vec::new();
    collect(tokens, &mut names);
    Ok(names)
}

fn collect(tokens: TokenStream, names: &mut Vec<String>) {
    let mut after_active = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            let argument = group.stream().to_string();
            let literal = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match literal {
                Some(name) if after_active && group.delimiter() == Delimiter::Parenthesis => {
                    names.push(name.to_owned());
                }
                _ => collect(group.stream(), names),
            }
        }
        after_active = matches!(&token, TokenTree::Ident(ident) if ident == "active");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [Mutant; 1] =
        [Mutant { name: "listed", package: "fz-x", checks: &[table::test("lib", "one"), table::test("two", "three")] }];

    fn source(names: &[&str]) -> BTreeSet<(String, String)> {
        names.iter().map(|name| ("fz-x".to_owned(), (*name).to_owned())).collect()
    }

    fn never(_: &str, _: &str) -> bool {
        false
    }

    #[test]
    fn a_switch_of_a_dependency_may_be_tested_above_it() {
        let above = |package: &str, other: &str| (package, other) == ("fz-x", "fz-y");
        let below = BTreeSet::from([("fz-y".to_owned(), "listed".to_owned())]);
        assert!(agree(&below, &LISTED, above).is_ok());
        assert!(agree(&below, &LISTED, never).unwrap_err().contains("fz-y has the mutant listed"));
        assert!(agree(&source(&["listed"]), &LISTED, above).is_ok());
    }

    #[test]
    fn a_switch_is_found_in_code_and_not_in_comments_or_strings() {
        let text = r#"fn f() { /* active("no") */ if fz_error::mutants::active("yes") { log("active(\"no\")"); } }"#;
        assert_eq!(switches(text).unwrap(), ["yes"]);
    }

    #[test]
    fn the_table_must_have_what_the_source_has() {
        assert!(agree(&source(&["listed"]), &LISTED, never).is_ok());
        assert!(agree(&source(&["listed", "forgotten"]), &LISTED, never).unwrap_err().contains("forgotten"));
    }

    #[test]
    fn the_source_must_have_what_the_table_has() {
        assert!(agree(&source(&[]), &LISTED, never).unwrap_err().contains("listed"));
    }

    #[test]
    fn a_mutant_needs_two_checks() {
        const LONELY: [&[Check]; 2] =
            [&[table::test("lib", "one")], &[table::test("lib", "one"), table::test("lib", "one")]];
        for checks in LONELY {
            let table = [Mutant { name: "listed", package: "fz-x", checks }];
            assert!(agree(&source(&["listed"]), &table, never).unwrap_err().contains("two different checks"));
        }
    }
}
