//! Shell commands that stand in documents and workflows: would they run?

use clap::Parser;

use crate::flags::Flags;
use crate::workspace::{self, Package};

/// Subcommands of cargo, and of the tools that the documents mention, that need no look at their name.
const SUBCOMMANDS: [&str; 16] = [
    "add",
    "bench",
    "build",
    "check",
    "clippy",
    "deny",
    "doc",
    "fmt",
    "install",
    "metadata",
    "package",
    "publish",
    "run",
    "semver-checks",
    "test",
    "tree",
];

/// Programs that run the command among their arguments.
const WRAPPERS: [&str; 3] = ["env", "nice", "sudo"];

/// The `cargo` commands of a script, in words, each with its line (from 1).
pub(crate) fn cargo_commands(script: &str) -> Vec<(usize, Vec<String>)> {
    let mut commands = Vec::new();
    let mut open = String::new();
    for (index, line) in script.lines().enumerate() {
        if let Some(continued) = line.trim_end().strip_suffix('\\') {
            open.push_str(continued);
            continue;
        }
        let line = std::mem::take(&mut open) + line;
        let line = line.trim_start().trim_start_matches("$ ");
        let Some(words) = shlex::split(line) else { continue };
        for command in words.split(|word| word == "&&" || word == "|" || word == ";") {
            let mut command = command.iter().skip_while(|word| is_assignment(word)).peekable();
            let is_wrapped = command.peek().is_some_and(|program| WRAPPERS.contains(&program.as_str()));
            let command = command.skip_while(|word| is_wrapped && *word != "cargo");
            let command: Vec<_> = command.cloned().collect();
            if command.first().is_some_and(|program| program == "cargo") {
                commands.push((index + 1, command));
            }
        }
    }
    commands
}

/// `NAME=value` before a command.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Whether a `cargo …` command is one that this workspace has.
pub(crate) fn check(command: &[String]) -> Result<(), String> {
    // A toolchain, or a variable whose value only the shell knows.
    let unknown = |word: &&str| word.starts_with(['+', '$']);
    let words: Vec<&str> = command.iter().skip(1).map(String::as_str).filter(|word| !unknown(word)).collect();
    match words.split_first() {
        Some((&"xtask", _)) => match Flags::try_parse_from(&words) {
            // `--help` comes as an error as well, but one for standard output.
            Err(error) if error.use_stderr() => Err(error.to_string().trim_end().to_owned()),
            _ => Ok(()),
        },
        Some((subcommand, arguments)) if SUBCOMMANDS.contains(subcommand) => arguments_exist(subcommand, arguments),
        Some((subcommand, _)) => Err(format!("cargo has no command {subcommand} that this project uses")),
        None => Err("no command".to_owned()),
    }
}

fn arguments_exist(subcommand: &str, arguments: &[&str]) -> Result<(), String> {
    let ours = arguments.split(|word| *word == "--").next().unwrap_or_default();
    let mut packages: Vec<&Package> = Vec::new();
    let mut named = Vec::new();
    let mut words = ours.iter();
    while let Some(word) = words.next() {
        let (flag, value) = word.split_once('=').map_or((*word, None), |(flag, value)| (flag, Some(value)));
        let mut value = || value.or_else(|| words.next().copied()).unwrap_or_default();
        match flag {
            "-p" | "--package" => packages.push(find_package(value())?),
            "--example" | "--test" | "--bench" | "--bin" => named.push((flag.trim_start_matches('-'), value())),
            name if subcommand == "add" && name.starts_with("fz-") => packages.push(find_package(name)?),
            _ => {}
        }
    }
    for (kind, name) in named {
        let mut candidates = workspace::packages().iter();
        let chosen = |package: &&Package| packages.is_empty() || packages.iter().any(|p| p.name == package.name);
        if !candidates.any(|package| chosen(&package) && package.has(kind, name)) {
            return Err(format!("there is no {kind} {name}"));
        }
    }
    Ok(())
}

fn find_package(name: &str) -> Result<&'static Package, String> {
    workspace::packages().iter().find(|package| package.name == name).ok_or(format!("there is no crate {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(script: &str) -> Vec<bool> {
        cargo_commands(script).iter().map(|(_, command)| check(command).is_ok()).collect()
    }

    #[test]
    fn commands_are_found_behind_prompts_assignments_and_line_ends() {
        let script = "$ cargo a # why\nRUSTFLAGS='--cfg x' cargo \\\n  b c\necho cargo\ncd x && cargo d\n\
                      sudo ls\nA=1 sudo --b env \"PATH=$PATH\" cargo e\n";
        let found = cargo_commands(script);
        let words: Vec<_> = found.iter().map(|(line, words)| (*line, words.join(" "))).collect();
        let expected = [(1, "cargo a"), (3, "cargo b c"), (5, "cargo d"), (7, "cargo e")];
        assert_eq!(words, expected.map(|(line, command)| (line, command.to_owned())));
    }

    #[test]
    fn an_xtask_command_must_parse() {
        assert_eq!(verdicts("cargo xtask tidy\ncargo xtask ci --long\ncargo xtask test --help"), [true, true, true]);
        assert_eq!(verdicts("cargo xtask absent\ncargo xtask ci --absent\ncargo xtask"), [false, false, false]);
        assert_eq!(verdicts("cargo xtask test --crate fz-error\ncargo xtask test --crate fz-absent"), [true, false]);
    }

    #[test]
    fn packages_and_targets_must_exist() {
        assert_eq!(verdicts("cargo run -p xtask --bin xtask -- --bin absent\ncargo add fz-error"), [true, true]);
        assert_eq!(verdicts("cargo test -p fz-absent\ncargo run --bin absent\ncargo add fz-absent"), [false; 3]);
        assert_eq!(verdicts("cargo run -p fz-error --bin xtask\ncargo absent"), [false, false]);
    }
}
