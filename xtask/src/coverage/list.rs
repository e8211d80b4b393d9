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
//! function that moves to another file keeps its reasons.

use super::gaps::{Gap, Never};

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
        gap.path.starts_with(&self.folder) && self.what == gap.what && self.text == gap.text
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut folder = "";
    let mut without_reason = None;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if trimmed.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(reason) = trimmed.strip_prefix("= ") {
            if reason.trim().is_empty() || without_reason.is_none() {
                return Err(format!("line {line}: a reason stands below the lines that it is for"));
            }
            without_reason = None;
            continue;
        }
        if !text.starts_with(' ') {
            folder = trimmed;
            continue;
        }
        let (what, text) = trimmed.split_once(" | ").ok_or(format!("line {line}: neither a gap nor a reason"))?;
        let kinds = [Never::True, Never::False, Never::Run];
        let what = kinds.into_iter().find(|kind| kind.to_string() == what);
        let what = what.ok_or(format!("line {line}: a gap begins with never true, never false or never run"))?;
        entries.push(Entry { line, folder: folder.to_owned(), what, text: text.to_owned() });
        without_reason = Some(line);
    }
    match without_reason {
        Some(line) => Err(format!("line {line}: no reason below it")),
        None => Ok(entries),
    }
}

/// The gaps without an entry, and the entries whose line is gone: `lines` says whether a folder still has one.
pub(super) fn compare<'a>(
    gaps: &'a [Gap],
    listed: &'a [Entry],
    lines: impl Fn(&str, &str) -> bool,
) -> (Vec<&'a Gap>, Vec<&'a Entry>) {
    let unlisted = gaps.iter().filter(|gap| !listed.iter().any(|entry| entry.is(gap))).collect();
    let stands = |entry: &Entry| lines(&entry.folder, &entry.text);
    (unlisted, listed.iter().filter(|entry| !stands(entry)).collect())
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
        assert_eq!(compare(&gaps, &listed, |folder, _| folder == "x"), (vec![], vec![]));
    }

    #[test]
    fn a_gap_without_a_reason_and_a_reason_without_a_line_are_found() {
        let listed = parse(LIST).unwrap();
        let gaps = [gap(9, Never::False, "if d {")];
        let (unlisted, stale) = compare(&gaps, &listed, |_, text| text == "if d {");
        assert_eq!((unlisted, stale), (vec![&gaps[0]], vec![&listed[0]]));
    }

    #[test]
    fn a_list_without_reasons_is_rejected() {
        for broken in ["x\n  never run | a\n", "x\n    = why\n", "x\n  seldom | a\n    = why\n", "x\n  a\n    = b\n"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
