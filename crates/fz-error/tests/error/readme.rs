//! The README's program is the one that the crate's documentation runs.

#[test]
fn the_readme_shows_the_program_that_the_documentation_runs() {
    let readme = include_str!("../../README.md");
    let program = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let documented: String = include_str!("../../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(program.lines().count() > 10);
    assert!(documented.contains(program), "{documented}");
}

#[test]
fn the_readme_begins_with_the_crates_description() {
    let description = env!("CARGO_PKG_DESCRIPTION");
    assert_eq!(include_str!("../../README.md").lines().nth(2), Some(description));
}
