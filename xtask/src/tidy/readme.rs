//! A README opens with its crate's name and description, so that both say the same.

use std::path::Path;

use super::Finding;

pub(super) fn check(path: &Path, text: &str, description: &str) -> Vec<Finding> {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim().is_empty());
    if !lines.next().is_some_and(|(_, line)| line.starts_with("# ")) {
        return vec![Finding::new(path, 1, "a README begins with its title: `# fz-…`")];
    }
    let mut paragraph = lines.skip_while(|(_, line)| line.trim().is_empty());
    let (line, first) = paragraph.next().unwrap_or((0, ""));
    let rest = paragraph.map(|(_, line)| line.trim()).take_while(|line| !line.is_empty());
    let words = std::iter::once(first.trim()).chain(rest).collect::<Vec<_>>().join(" ");
    if words == description {
        return Vec::new();
    }
    vec![Finding::new(path, line + 1, format!("the line after the title is not the Cargo description: {description}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(Path::new("README.md"), text, "A queue of things.").len()
    }

    #[test]
    fn the_description_may_be_wrapped() {
        assert_eq!(findings("# fz-x\n\nA queue of things.\n\nMore."), 0);
        assert_eq!(findings("# fz-x\n\nA queue\nof things.\n"), 0);
    }

    #[test]
    fn another_first_line_is_rejected() {
        assert_eq!(findings("# fz-x\n\nA queue.\n"), 1);
        assert_eq!(findings("# fz-x\n"), 1);
        assert_eq!(findings("A queue of things.\n"), 1);
    }
}
