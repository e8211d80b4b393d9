//! The workflows and templates under `.github`: they parse, and they call only commands that exist.

use std::fs;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Yaml};

use crate::{shell, workspace};

/// Checks every YAML file under `.github`.
pub(crate) fn check() -> Result<String, String> {
    let is_yaml = |path: &&PathBuf| {
        path.starts_with(".github")
            && path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
    };
    let files = workspace::files()?;
    let files: Vec<_> = files.iter().filter(is_yaml).collect();
    let mut findings = Vec::new();
    for path in &files {
        let text = fs::read_to_string(workspace::root().join(path)).map_err(|e| format!("{}: {e}", path.display()))?;
        let problems = problems(path, &text);
        findings.extend(problems.into_iter().map(|problem| format!("{}: {problem}", path.display())));
    }
    if findings.is_empty() { Ok(format!("{} YAML files", files.len())) } else { Err(findings.join("\n")) }
}

fn problems(path: &Path, text: &str) -> Vec<String> {
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
            (Some(action), None) if !action.contains('@') => problems.push(format!("{action} names no version")),
            (Some(_), None) => {}
            (None, Some(script)) => problems.extend(script_problems(script)),
            _ => problems.push("a step needs either `uses` or `run`".to_owned()),
        }
    }
    problems
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
    steps:
      - uses: actions/checkout@v4
      - run: cargo xtask test
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
            ("cargo xtask test", "cargo xtask absent"),
            ("run: cargo", "runs: cargo"),
        ];
        for (sound, broken) in twins {
            assert!(SOUND.contains(sound));
            assert_eq!(findings(&SOUND.replace(sound, broken)), 1, "{sound} → {broken}");
        }
    }
}
