//! The committed list of what no test reaches, and why.
//!
//! ```text
//! crates/x/src
//!   never run | the line, without the space around it
//!   never false | another line
//!     = the reason of the lines above
//! ```
//!
//! Lines stand there with their text and the folder only: their numbers change with every edit above them, and a
//! function that moves to another file keeps its reasons. A line that stands there once is excused once: two gaps with
//! the same text need two entries.

use std::path::Path;

use super::gaps::{Gap, Never};
use crate::reasons;

/// A gap that has a reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In the list.
    pub(super) line: usize,
    folder: String,
    what: Never,
    pub(super) text: String,
}

impl Entry {
    pub(super) fn is(&self, gap: &Gap) -> bool {
        Path::new(&gap.path).starts_with(&self.folder) && self.what == gap.what && self.text == gap.text
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Entry>, String> {
    reasons::parse(text)?.into_iter().map(entry).collect()
}

fn entry(listed: reasons::Entry) -> Result<Entry, String> {
    let reasons::Entry { line, folder, text } = listed;
    let kinds = [Never::True, Never::False, Never::Run];
    let parts = text.split_once(" | ");
    let gap = parts.and_then(|(what, text)| Some((kinds.into_iter().find(|kind| kind.to_string() == what)?, text)));
    let (what, text) =
        gap.ok_or(format!("line {line}: a gap begins with never true, never false or never run, and a bar"))?;
    Ok(Entry { line, folder, what, text: text.to_owned() })
}

/// The gaps without an entry, and the entries without a line: `lines` says how many lines of a folder have a text.
pub(super) fn compare<'a>(
    gaps: &'a [Gap],
    listed: &'a [Entry],
    lines: impl Fn(&str, &str) -> usize,
) -> (Vec<&'a Gap>, Vec<&'a Entry>) {
    let unlisted = reasons::unlisted(gaps, listed, Entry::is);
    let is_same = |a: &Entry, b: &Entry| (&a.folder, a.what, &a.text) == (&b.folder, b.what, &b.text);
    let is_stale = |(index, entry): &(usize, &Entry)| {
        listed[..*index].iter().filter(|other| is_same(other, entry)).count() >= lines(&entry.folder, &entry.text)
    };
    let stale = listed.iter().enumerate().filter(is_stale).map(|(_, entry)| entry).collect();
    (unlisted, stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# why\nx\n  never run | a(b | c)?;\n  never true | if d {\n    = no test can\n";

    fn gap(line: usize, what: Never, text: &str) -> Gap {
        Gap { path: "x/y.rs".to_owned(), line, what, text: text.to_owned() }
    }

    #[test]
    fn a_listed_gap_is_accepted_wherever_its_line_stands() {
        let listed = parse(LIST).unwrap();
        let gaps = [gap(9, Never::Run, "a(b | c)?;"), gap(1, Never::True, "if d {")];
        assert_eq!(compare(&gaps, &listed, |folder, _| usize::from(folder == "x")), (vec![], vec![]));
    }

    #[test]
    fn a_gap_without_a_reason_and_a_reason_without_a_line_are_found() {
        let listed = parse(LIST).unwrap();
        let gaps = [gap(9, Never::False, "if d {")];
        let (unlisted, stale) = compare(&gaps, &listed, |_, text| usize::from(text == "if d {"));
        assert_eq!((unlisted, stale), (vec![&gaps[0]], vec![&listed[0]]));
    }

    #[test]
    fn one_entry_excuses_one_gap_and_needs_one_line() {
        let gaps = [gap(1, Never::Run, "return;"), gap(5, Never::Run, "return;")];
        let once = parse("x\n  never run | return;\n    = why\n").unwrap();
        assert_eq!(compare(&gaps, &once, |_, _| 2), (vec![&gaps[1]], vec![]));
        let twice = parse("x\n  never run | return;\n  never run | return;\n    = why\n").unwrap();
        assert_eq!(compare(&gaps, &twice, |_, _| 2), (vec![], vec![]));
        assert_eq!(compare(&gaps[1..], &twice, |_, _| 1), (vec![], vec![&twice[1]]));
    }

    #[test]
    fn a_folder_is_no_prefix_of_a_name() {
        let listed = parse("x\n  never run | a\n    = why\n").unwrap();
        let gaps = [Gap { path: "xy/z.rs".to_owned(), ..gap(1, Never::Run, "a") }];
        assert_eq!(compare(&gaps, &listed, |_, _| 1).0, [&gaps[0]]);
    }

    #[test]
    fn a_list_with_something_else_is_rejected() {
        for broken in ["x\n  never run | a\n", "x\n  seldom | a\n    = why\n", "x\n  a\n    = b\n"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
