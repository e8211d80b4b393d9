//! `cargo xtask doc`: the documentation builds without a warning, what it points to is there, and its programs run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::flags::Doc;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::{markdown, shell, workspace};

pub(crate) fn run(runner: &mut Runner, flags: &Doc) {
    if !flags.markdown {
        let rustdoc = Invocation::cargo("doc --quiet --no-deps --all-features").words(&workspace::selection());
        runner.step("rustdoc", &rustdoc.env("RUSTDOCFLAGS", "-D warnings"));
    }
    runner.check("links in Markdown", "doc --markdown", || on_markdown(links));
    runner.check("commands in Markdown", "doc --markdown", || on_markdown(commands));
    runner.check("programs in Markdown", "doc --markdown", || {
        let compiled = compiled()?;
        on_markdown(|path, text| programs(path, text, &compiled))
    });
}

/// Applies `check`, which gives (line, finding), to each Markdown file of the tree.
fn on_markdown(check: impl Fn(&Path, &str) -> Checked) -> Result<String, String> {
    let mut findings = Vec::new();
    let mut count = 0;
    for path in workspace::files()?.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(workspace::root().join(path)).map_err(|e| format!("{}: {e}", path.display()))?;
        let checked = check(path, &text);
        count += checked.count;
        findings.extend(checked.findings.iter().map(|(line, text)| format!("{}:{line}: {text}", path.display())));
    }
    if findings.is_empty() { Ok(format!("{count} checked")) } else { Err(findings.join("\n")) }
}

/// How many things one file has, and what is wrong with which.
#[derive(Debug, Default)]
struct Checked {
    count: usize,
    findings: Vec<(usize, String)>,
}

fn links(path: &Path, text: &str) -> Checked {
    let mut checked = Checked::default();
    for link in markdown::links(text) {
        checked.count += 1;
        if let Err(reason) = resolve(path, text, &link.target) {
            checked.findings.push((link.line, reason));
        }
    }
    checked
}

/// Whether a relative link of the file `from` leads to a file of the tree, and its anchor to a heading.
fn resolve(from: &Path, text: &str, target: &str) -> Result<(), String> {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let there = if file.is_empty() {
        text.to_owned()
    } else {
        let path = workspace::root().join(from).with_file_name("").join(file);
        // A code forge shows a directory with its README below.
        let path = if path.is_dir() && !anchor.is_empty() { path.join("README.md") } else { path };
        if !path.exists() {
            return Err(format!("the link {target} leads nowhere"));
        }
        if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
            return Ok(());
        }
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?
    };
    if anchor.is_empty() || markdown::anchors(&there).iter().any(|heading| heading == anchor) {
        return Ok(());
    }
    Err(format!("the link {target} names a heading that is not there"))
}

fn commands(_path: &Path, text: &str) -> Checked {
    let mut checked = Checked::default();
    for script in markdown::shell_scripts(text).into_iter().chain(markdown::inline_commands(text)) {
        for (line, command) in shell::cargo_commands(&script.text) {
            checked.count += 1;
            if let Err(reason) = shell::check(&command) {
                checked.findings.push((script.line + line, format!("`{}`: {reason}", command.join(" "))));
            }
        }
    }
    checked
}

/// The texts whose programs are compiled and run elsewhere: the crates' READMEs, which are their documentation,
/// their examples and their tests.
fn compiled() -> Result<Vec<String>, String> {
    let holds_programs = |path: &&PathBuf| {
        path.starts_with("crates")
            && (path.ends_with("README.md")
                || path.components().any(|part| part.as_os_str() == "examples" || part.as_os_str() == "tests"))
    };
    let read = |path: &PathBuf| {
        fs::read_to_string(workspace::root().join(path)).map_err(|error| format!("{}: {error}", path.display()))
    };
    workspace::files()?.iter().filter(holds_programs).map(read).collect()
}

/// Whether each Rust program can be copied, and those of the root README, CONTRIBUTING and `docs` are compiled.
fn programs(path: &Path, text: &str, compiled: &[String]) -> Checked {
    let mut checked = Checked::default();
    let is_at_the_root = ["README.md", "CONTRIBUTING.md"].iter().any(|name| path == Path::new(name));
    let must_be_compiled = is_at_the_root || path.starts_with("docs");
    for program in markdown::rust_programs(text) {
        checked.count += 1;
        let is_hidden = |line: &str| line.trim() == "#" || line.trim_start().starts_with("# ");
        if let Some(at) = program.text.lines().position(is_hidden) {
            let finding = "rustdoc hides this line, and nobody else does: who copies the program copies it, too";
            checked.findings.push((program.line + 1 + at, finding.to_owned()));
        }
        if must_be_compiled && !compiled.iter().any(|text| text.contains(&program.text)) {
            let finding =
                "this program stands, verbatim, in no README, example or test of a crate: nothing compiles it";
            checked.findings.push((program.line, finding.to_owned()));
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(check: fn(&Path, &str) -> Checked, text: &str) -> Vec<usize> {
        check(Path::new("README.md"), text).findings.iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn a_link_to_a_file_and_a_heading_that_exist_is_accepted() {
        let text = "# Its title\n[a](xtask/Cargo.toml) [b](#its-title) [c](https://example.com/x)\n";
        assert_eq!(findings(links, text), [0; 0]);
        assert_eq!(links(Path::new("README.md"), text).count, 3);
    }

    #[test]
    fn a_dead_link_is_rejected() {
        assert_eq!(findings(links, "\n[a](xtask/absent.md)\n"), [2]);
        assert_eq!(findings(links, "[a][r]\n\n[r]: absent.md\n"), [1]);
        assert_eq!(findings(links, "# Title\n[a](#absent)\n"), [2]);
        assert_eq!(findings(links, "[a](crates/fz-wpipe) [b](crates/fz-wpipe#examples)\n"), [0; 0]);
        assert_eq!(findings(links, "[a](crates/fz-wpipe#absent)\n[b](crates#absent)\n"), [1, 2]);
    }

    #[test]
    fn a_command_that_would_not_run_is_rejected() {
        assert_eq!(findings(commands, "```sh\ncargo xtask tidy\n```\n"), [0; 0]);
        assert_eq!(findings(commands, "`cargo xtask tidy`, `cargo xtask`\n\n`cargo xtask tidy --absent`\n"), [3]);
        assert_eq!(findings(commands, "text\n\n```sh\ncargo xtask tidy\ncargo xtask absent\n```\n"), [5]);
    }

    #[test]
    fn a_program_that_nothing_compiles_is_rejected() {
        let compiled = ["```rust\nfn main() {}\n```\n".to_owned()];
        let found = |path: &str, text: &str| {
            let checked = programs(Path::new(path), text, &compiled);
            (checked.count, checked.findings.iter().map(|(line, _)| *line).collect::<Vec<_>>())
        };
        let text = "```rust\nfn main() {}\n```\n\n```rust\nfn main() { panic!() }\n```\n";
        assert_eq!(found("README.md", text), (2, vec![5]));
        assert_eq!(found("docs/DURABILITY.md", text), (2, vec![5]));
        // A crate's README is compiled itself.
        assert_eq!(found("crates/fz-file/README.md", text), (2, vec![]));
    }

    #[test]
    fn a_program_with_a_line_that_only_rustdoc_hides_is_rejected() {
        let found = |text: &str| {
            programs(Path::new("crates/x/README.md"), text, &[])
                .findings
                .iter()
                .map(|(line, _)| *line)
                .collect::<Vec<_>>()
        };
        assert_eq!(found("```rust\n#[test]\nfn f() {}\n```\n"), [0; 0]);
        assert_eq!(found("text\n```rust\nf();\n# Ok(())\n```\n"), [4]);
    }

    #[test]
    fn the_first_program_of_the_root_readme_is_compiled() {
        let text = fs::read_to_string(workspace::root().join("README.md")).unwrap();
        let checked = programs(Path::new("README.md"), &text, &compiled().unwrap());
        assert!(checked.count > 0 && checked.findings.is_empty(), "{checked:?}");
        let broken = text.replacen("fz_wpipe", "fz_absent", 1);
        assert_eq!(programs(Path::new("README.md"), &broken, &compiled().unwrap()).findings.len(), 1);
    }
}
