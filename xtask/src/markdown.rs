//! What the checks need to know of a Markdown file.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A link or an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// A fenced block of code or of shell commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the opening fence; the block's own lines count from 1 below it.
    pub(crate) line: usize,
    pub(crate) text: String,
}

const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

pub(crate) fn links(text: &str) -> Vec<Link> {
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let target = |event: Event<'_>| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    events.filter_map(|(event, range)| Some(Link { line: line(range.start), target: target(event)? })).collect()
}

/// The anchors of the headings, as code forges make them: `## What is *it*?` is `what-is-it`.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                // The second heading of one name gets -1, the third -2.
                let numbered = |n: usize| if n == 0 { anchor.clone() } else { format!("{anchor}-{n}") };
                let free = (0..).map(numbered).find(|candidate| !anchors.contains(candidate));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

pub(crate) fn shell_scripts(text: &str) -> Vec<Block> {
    blocks(text, |language| SHELLS.contains(&language))
}

/// `cargo …` between backticks, but none with an ellipsis, which can be anything. A word in capitals is a placeholder,
/// for which 1 stands here. `cargo xtask` alone is the name of them all.
pub(crate) fn inline_commands(text: &str) -> Vec<Block> {
    let is_placeholder = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase());
    let filled = |code: &str| {
        code.split(' ').map(|word| if is_placeholder(word) { "1" } else { word }).collect::<Vec<_>>().join(" ")
    };
    let line = |at: usize| text[..at].matches('\n').count();
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let command = |(event, range): (Event<'_>, std::ops::Range<usize>)| match event {
        Event::Code(code) if code.starts_with("cargo ") && &*code != "cargo xtask" && !code.contains('…') => {
            Some(Block { line: line(range.start), text: filled(&code) })
        }
        _ => None,
    };
    events.filter_map(command).collect()
}

/// Blocks of Rust, whatever else stands behind `rust` on the fence.
pub(crate) fn rust_programs(text: &str) -> Vec<Block> {
    blocks(text, |language| language.split([',', ' ']).next() == Some("rust"))
}

fn blocks(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if wanted(language.trim()) => {
                open = Some(Block { line: text[..range.start].matches('\n').count() + 1, text: String::new() });
            }
            Event::Text(part) => {
                if let Some(block) = &mut open {
                    block.text.push_str(&part);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_their_lines_but_not_in_code() {
        let text = "[a](one)\n\n`[b](two)`\n\n![c](three)\n\n| d |\n|---|\n| [d](four) |\n";
        let found: Vec<_> = links(text).into_iter().map(|link| (link.line, link.target)).collect();
        assert_eq!(found, [(1, "one".to_owned()), (5, "three".to_owned()), (9, "four".to_owned())]);
    }

    #[test]
    fn anchors_are_those_of_the_forge() {
        let text = "# What is `fz-mpsc`, *really*?\n\n## Again\n\n## Again\n";
        assert_eq!(anchors(text), ["what-is-fz-mpsc-really", "again", "again-1"]);
    }

    #[test]
    fn only_shell_blocks_are_scripts() {
        let text = "text\n```sh\ncargo a\n```\n```rust\ncargo b\n```\n";
        assert_eq!(shell_scripts(text), [Block { line: 2, text: "cargo a\n".to_owned() }]);
    }

    #[test]
    fn commands_between_backticks_are_found_and_their_placeholders_filled() {
        let text = "a\n`cargo b` and `cargo c --seed S` and `not cargo`\n\n| d |\n|---|\n| `cargo e` |\n\
                    `cargo …`, `cargo xtask`\n";
        let found: Vec<_> = inline_commands(text).into_iter().map(|block| (block.line, block.text)).collect();
        // The script's own lines count from 1.
        let expected = [(1, "cargo b"), (1, "cargo c --seed 1"), (5, "cargo e")];
        assert_eq!(found, expected.map(|(line, command)| (line, command.to_owned())));
    }

    #[test]
    fn only_rust_blocks_are_programs() {
        let text = "```sh\na\n```\n```rust\nb\n```\n```rust,no_run\nc\n```\n```rustic\nd\n```\n";
        let found: Vec<_> = rust_programs(text).into_iter().map(|block| (block.line, block.text)).collect();
        assert_eq!(found, [(4, "b\n".to_owned()), (7, "c\n".to_owned())]);
    }
}
