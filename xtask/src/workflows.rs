//! The workflows and templates under `.github`, and the script under `.ci`: they parse, and they call only commands
//! that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Yaml};

use crate::{shell, workspace};

/// Scripts for a shell, whatever machine runs them.
const SCRIPTS: &str = ".ci";

/// Checks every YAML file under `.github`, and every file under `.ci`.
pub(crate) fn check() -> Result<String, String> {
    let is_yaml = |path: &Path| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let is_checked = |path: &&PathBuf| path.starts_with(SCRIPTS) || (path.starts_with(".github") && is_yaml(path));
    let files = workspace::files()?;
    let files: Vec<_> = files.iter().filter(is_checked).collect();
    let mut findings = Vec::new();
    for path in &files {
        let text = fs::read_to_string(workspace::root().join(path)).map_err(|e| format!("{}: {e}", path.display()))?;
        let problems = problems(path, &text);
        findings.extend(problems.into_iter().map(|problem| format!("{}: {problem}", path.display())));
    }
    if findings.is_empty() { Ok(format!("{} files", files.len())) } else { Err(findings.join("\n")) }
}

fn problems(path: &Path, text: &str) -> Vec<String> {
    if path.starts_with(SCRIPTS) {
        return script_problems(text);
    }
    match Yaml::load_from_str(text) {
        Err(error) => vec![format!("is not YAML: {error}")],
        Ok(documents) if path.starts_with(".github/workflows") => match documents.as_slice() {
            [workflow] => workflow_problems(workflow),
            _ => vec!["is not one workflow".to_owned()],
        },
        Ok(_) => Vec::new(),
    }
}

fn workflow_problems(workflow: &Yaml<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["name", "on", "permissions"] {
        if workflow.as_mapping_get(key).is_none() {
            problems.push(format!("`{key}` is missing"));
        }
    }
    let jobs = workflow.as_mapping_get("jobs").and_then(Yaml::as_mapping);
    if jobs.is_none_or(saphyr::Mapping::is_empty) {
        problems.push("has no jobs".to_owned());
    }
    for (name, job) in jobs.into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        problems.extend(job_problems(job).into_iter().map(|problem| format!("job {name}: {problem}")));
    }
    problems
}

fn job_problems(job: &Yaml<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    // Without a time limit a hang, which some of our checks look for, costs six hours.
    for key in ["runs-on", "timeout-minutes"] {
        if job.as_mapping_get(key).is_none() {
            problems.push(format!("`{key}` is missing"));
        }
    }
    let steps = job.as_mapping_get("steps").and_then(Yaml::as_vec);
    if steps.is_none_or(Vec::is_empty) {
        problems.push("has no steps".to_owned());
    }
    for step in steps.into_iter().flatten() {
        let text = |key: &str| step.as_mapping_get(key).and_then(Yaml::as_str);
        match (text("uses"), text("run")) {
            (Some(action), None) => problems.extend(action_problem(action, step)),
            (None, Some(script)) => {
                for script in filled(script, job) {
                    problems.extend(script_problems(&script));
                }
            }
            _ => problems.push("a step needs either `uses` or `run`".to_owned()),
        }
    }
    problems
}

/// An action is code of others with our token at hand: the same code each time, and no token where none is needed.
fn action_problem(action: &str, step: &Yaml<'_>) -> Option<String> {
    let (name, version) = action.split_once('@').unwrap_or((action, ""));
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let is_tag = version.strip_prefix('v').unwrap_or(version).split('.').all(is_number);
    let is_commit = version.len() == 40 && version.chars().all(|c| c.is_ascii_hexdigit());
    if !is_tag && !is_commit {
        return Some(format!("{action} names no version: a tag such as @v4, or a commit"));
    }
    let persists = step.as_mapping_get("with").and_then(|with| with.as_mapping_get("persist-credentials"));
    let keeps_token = name == "actions/checkout" && persists.and_then(Yaml::as_bool) != Some(false);
    keeps_token.then(|| format!("{action} leaves the token on the disk without `persist-credentials: false`"))
}

/// A script with each value that the job's matrix has for `${{ matrix.KEY }}`.
fn filled(script: &str, job: &Yaml<'_>) -> Vec<String> {
    let mut scripts = vec![script.to_owned()];
    let matrix = job.as_mapping_get("strategy").and_then(|strategy| strategy.as_mapping_get("matrix"));
    let Some(matrix) = matrix.and_then(Yaml::as_mapping) else { return scripts };
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, listed) in matrix {
        let Some(key) = key.as_str() else { continue };
        for value in listed.as_vec().into_iter().flatten() {
            match value.as_mapping() {
                // `include`: mappings with keys of their own.
                Some(pairs) => {
                    for (key, value) in pairs {
                        values.entry(key.as_str().unwrap_or_default()).or_default().extend(value.as_str());
                    }
                }
                None => values.entry(key).or_default().extend(value.as_str()),
            }
        }
    }
    for (key, values) in values {
        let place = format!("${{{{ matrix.{key} }}}}");
        let fill = |script: String| -> Vec<String> {
            if !script.contains(&place) {
                return vec![script];
            }
            values.iter().map(|value| script.replace(&place, value)).collect()
        };
        scripts = scripts.into_iter().flat_map(fill).collect();
    }
    scripts
}

fn script_problems(script: &str) -> Vec<String> {
    let commands = shell::cargo_commands(script).into_iter();
    commands
        .filter_map(|(_, command)| {
            let reason = shell::check(&command).err()?;
            Some(format!("`{}`: {reason}", command.join(" ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "
name: tests
on: [push]
permissions: { contents: read }
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    strategy:
      matrix:
        mode: [kill]
        include:
          - fs: ext4
          - fs: xfs
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: some/action@v1.2
      - run: cargo xtask test
      - run: sudo env A=b cargo xtask crash --fs ${{ matrix.fs }} --mode ${{ matrix.mode }}
";

    fn findings(text: &str) -> usize {
        problems(Path::new(".github/workflows/tests.yml"), text).len()
    }

    #[test]
    fn a_sound_workflow_is_accepted() {
        assert_eq!(problems(Path::new(".github/workflows/tests.yml"), SOUND), [""; 0]);
    }

    #[test]
    fn each_broken_twin_is_rejected() {
        let twins = [
            ("on: [push]", "on: [push"),
            ("on: [push]\n", ""),
            ("permissions: { contents: read }\n", ""),
            ("    runs-on: ubuntu-latest\n", ""),
            ("    timeout-minutes: 10\n", ""),
            ("checkout@v4", "checkout"),
            ("checkout@v4", "checkout@main"),
            ("persist-credentials: false", "fetch-depth: 1"),
            ("some/action@v1.2", "some/action@v1-beta"),
            ("fs: xfs", "fs: zfs"),
            ("mode: [kill]", "mode: [maim]"),
            ("--mode", "--modes"),
            ("cargo xtask test", "cargo xtask absent"),
            ("run: cargo", "runs: cargo"),
        ];
        for (sound, broken) in twins {
            assert!(SOUND.contains(sound));
            // A script is looked at once for each file system of the matrix.
            let each = if broken == "mode: [maim]" || broken == "--modes" { 2 } else { 1 };
            assert_eq!(findings(&SOUND.replace(sound, broken)), each, "{sound} → {broken}");
        }
    }

    #[test]
    fn those_of_this_tree_are_sound() {
        let checked = check().unwrap();
        assert!(checked.ends_with(" files"), "{checked}");
    }

    #[test]
    fn a_script_with_a_command_that_is_not_there_is_rejected() {
        let script = |text: &str| problems(Path::new(".ci/run"), text).len();
        assert_eq!((script("#!/bin/sh\ncargo xtask ci\n"), script("#!/bin/sh\ncargo xtask ci --absent\n")), (0, 1));
    }
}
