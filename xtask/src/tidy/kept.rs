//! A case that once failed a property is committed, and lies where the property reads it.

use std::path::Path;

use super::Finding;

const KEPT: &str = "proptest-regressions";

pub(super) fn applies(path: &Path) -> bool {
    path.to_string_lossy().contains(KEPT)
}

/// `exists` says whether a file of the tree does.
pub(super) fn check(path: &Path, exists: impl Fn(&Path) -> bool, is_tracked: bool) -> Option<Finding> {
    let is_beside_its_test = path.extension().is_some_and(|e| e == KEPT) && exists(&path.with_extension("rs"));
    if !is_beside_its_test {
        let wanted = format!("no property reads this: a case lies beside its test, as NAME.{KEPT}");
        return Some(Finding::new(path, 1, wanted));
    }
    (!is_tracked).then(|| Finding::new(path, 1, "a case that failed; commit it, so that every run begins with it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(path: &str, is_tracked: bool) -> bool {
        let path = Path::new(path);
        assert!(applies(path));
        check(path, |there| there == Path::new("tests/a.rs"), is_tracked).is_none()
    }

    #[test]
    fn a_committed_case_beside_its_test_is_accepted() {
        assert!(is_accepted("tests/a.proptest-regressions", true));
    }

    #[test]
    fn a_case_that_is_not_committed_or_that_no_test_reads_is_rejected() {
        assert!(!is_accepted("tests/a.proptest-regressions", false));
        assert!(!is_accepted("tests/b.proptest-regressions", true));
        assert!(!is_accepted("proptest-regressions/a.txt", true));
    }
}
