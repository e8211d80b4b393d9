//! Committed lists of what is known and accepted, each with the reason why.
//!
//! ```text
//! # a remark
//! crates/x/src
//!   one thing
//!   another
//!     = the reason of those above
//! ```

/// One thing of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In the list.
    pub(crate) line: usize,
    /// What stands above it, at the margin.
    pub(crate) folder: String,
    pub(crate) text: String,
}

/// The entries of a list, each of which has a reason below it.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, String> {
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
        if folder.is_empty() {
            return Err(format!("line {line}: stands in no folder"));
        }
        entries.push(Entry { line, folder: folder.to_owned(), text: trimmed.to_owned() });
        without_reason = Some(line);
    }
    match without_reason {
        Some(line) => Err(format!("line {line}: no reason below it")),
        None => Ok(entries),
    }
}

/// What of `found` has no reason: each entry of the list is for one thing, however often the same one is found.
pub(crate) fn unlisted<'a, T, E>(found: &'a [T], listed: &[E], is: impl Fn(&E, &T) -> bool) -> Vec<&'a T> {
    let mut left: Vec<&E> = listed.iter().collect();
    let mut take = |thing: &T| left.iter().position(|entry| is(entry, thing)).map(|place| left.swap_remove(place));
    found.iter().filter(|thing| take(thing).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_folder_and_line() {
        let entry = |line, folder: &str, text: &str| Entry { line, folder: folder.to_owned(), text: text.to_owned() };
        let parsed = parse("# why\nx\n  a = b\n  c\n    = because\n\ny\n  c\n    = for another reason\n");
        assert_eq!(parsed, Ok(vec![entry(3, "x", "a = b"), entry(4, "x", "c"), entry(8, "y", "c")]));
    }

    #[test]
    fn a_list_without_reasons_is_rejected() {
        for broken in ["x\n  a\n", "x\n    = why\n", "x\n  a\n    = \n", "x\n  a\n    = b\n    = c\n", "  a\n    = b\n"]
        {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn one_entry_is_for_one_thing() {
        let is = |entry: &u32, thing: &u32| entry == thing;
        assert_eq!(unlisted(&[2, 1, 2], &[1, 2, 2, 3], is), [&0; 0]);
        assert_eq!(unlisted(&[2, 1, 2, 4], &[1, 2], is), [&2, &4]);
    }
}
