//! Words and paths that must stand in no file of the tree.
//!
//! They are spelled in two halves here, so that the rule can be applied to itself.

use std::path::Path;

use super::Finding;

/// Marks of unfinished work: finish it, or open an issue.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

/// Hosts of package registries: cargo knows where to ask, nothing else should.
const REGISTRIES: [&str; 2] = [concat!("crates", ".io"), concat!("rs", "proxy.cn")];

/// Cargo itself writes the registry into its lock file.
pub(super) fn applies(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name != "Cargo.lock")
}

pub(super) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut found = |message: String| findings.push(Finding::new(path, index + 1, message));
        for mark in MARKS.iter().filter(|mark| contains(line, mark, is_word, is_word)) {
            found(format!("{mark} marks unfinished work; finish it or open an issue"));
        }
        for prefix in MACHINE_PATHS.iter().filter(|prefix| contains(line, prefix, continues_a_path, |_| false)) {
            found(format!("{prefix}… is a path of one machine"));
        }
        for host in REGISTRIES.iter().filter(|host| line.contains(*host)) {
            found(format!("{host} is a registry's host; say `cargo add` or the Rust registry"));
        }
    }
    findings
}

/// Whether `needle` stands in `line`, not after a character `before` nor before a character `after`.
fn contains(line: &str, needle: &str, before: fn(char) -> bool, after: fn(char) -> bool) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(before)
            && !line[at + needle.len()..].chars().next().is_some_and(after)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn continues_a_path(c: char) -> bool {
    is_word(c) || "-.~})>*".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(Path::new("file.md"), text).len()
    }

    #[test]
    fn clean_text_is_accepted() {
        assert_eq!(findings("The target/work/ directory, $HOME/work/, and 0xXXXX are fine.\n"), 0);
    }

    #[test]
    fn each_mark_is_rejected() {
        for mark in MARKS {
            assert_eq!(findings(&format!("// {mark}: later")), 1, "{mark}");
        }
    }

    #[test]
    fn each_machine_path_is_rejected() {
        for path in MACHINE_PATHS {
            assert_eq!(findings(&format!("see {path}main")), 1, "{path}");
            assert_eq!(findings(&format!("\"{path}main\"")), 1, "{path}");
        }
    }

    #[test]
    fn each_registry_is_rejected() {
        for host in REGISTRIES {
            assert_eq!(findings(&format!("https://{host}/crates/fz-wpipe")), 1, "{host}");
        }
    }

    #[test]
    fn the_lock_file_is_not_ours() {
        assert!(!applies(Path::new("Cargo.lock")));
        assert!(applies(Path::new("crates/fz-file/Cargo.toml")));
    }
}
