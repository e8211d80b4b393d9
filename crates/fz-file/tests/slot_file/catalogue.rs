//! The error catalogue, and what each error says.

use std::collections::BTreeSet;

use fz_error::{ErrorId, Kind, Reason, domain};
use fz_file::{FileError, FileErrorKind};

fn one_of_each() -> Vec<FileErrorKind> {
    use FileErrorKind::*;
    let step = "do it";
    vec![
        InvalidSlotSize { slot_size: 0, slot_size_max: 9 },
        FileTooLarge { slots: 1, slot_size: 2 },
        InvalidPath,
        NotFound,
        AlreadyExists,
        ParentMissing { parent: "/a/b".into() },
        IsDirectory,
        Locked,
        LengthNotMultiple { length: 13, slot_size: 8 },
        TooFewSlots { slots: 1, initial_slots: 2 },
        PathUnstable { attempts: 3 },
        OpenFailed { step },
        CreateFailed { step, temporary: ".x.creating".into() },
        ZeroBytes { slot_index: 4 },
        BytesNotMultiple { slot_index: 4, bytes: 13, slot_size: 8 },
        OffsetOverflow { slot_index: 4, slot_size: 8 },
        OutOfRange { slot_index: 4, slots: 5, slots_in_file: 6 },
        ReadOnly,
        UnexpectedEnd { slot_index: 4, bytes: 16, bytes_read: 3 },
        ReadFailed { slot_index: 4, bytes: 16, bytes_read: 3 },
        WriteStalled { slot_index: 4, bytes: 16, bytes_written: 3 },
        WriteFailed { slot_index: 4, bytes: 16, bytes_written: 3 },
        SyncFailed { failed_in: "sync", cause: "it broke".into() },
        GrowFailed { slots: 4, slots_asked: 6, step },
        FileCut { length: 13, length_expected: 16 },
        PathReplaced,
        RemoveFailed { step },
        FileSystemReadOnly { step },
        OtherProcess,
        OutOfDescriptors { step },
        TemporaryTaken { temporary: ".x.creating".into() },
    ]
}

#[test]
fn every_kind_stands_in_the_catalogue_under_its_own_name_and_number() {
    let kinds = one_of_each();
    assert_eq!(kinds.len(), FileErrorKind::REASONS.len());
    for (kind, reason) in kinds.iter().zip(FileErrorKind::REASONS) {
        let debug = format!("{kind:?}");
        assert_eq!(debug.split([' ', '(']).next(), Some(reason.name()));
        assert_eq!(kind.reason(), reason.code(), "{}", reason.name());
        assert!(!reason.meaning().is_empty());
        let error = FileError::new(9, "open", kind.clone());
        assert_eq!(error.id(), ErrorId::new(9, domain::FILE, reason.code()));
    }
    let codes: Vec<_> = FileErrorKind::REASONS.iter().map(Reason::code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
}

#[test]
fn every_text_is_its_own_and_names_all_values() {
    let mut texts = BTreeSet::new();
    for kind in one_of_each() {
        let (text, debug) = (kind.to_string(), format!("{kind:?}"));
        for word in debug.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()) {
            assert!(text.contains(word), "{text:?} does not name the {word} of {debug}");
        }
        // Paths, steps and causes.
        for word in debug.split('"').skip(1).step_by(2) {
            assert!(text.contains(word), "{text:?} does not name the {word:?} of {debug}");
        }
        assert!(texts.insert(text));
    }
}
