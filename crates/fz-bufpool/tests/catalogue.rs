//! The error catalogue, and what each error says.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::collections::BTreeSet;
use std::time::Duration;

use fz_bufpool::{BufPoolError, BufPoolErrorKind};
use fz_error::{ErrorId, Kind, Reason, domain};

fn one_of_each() -> Vec<BufPoolErrorKind> {
    use BufPoolErrorKind::*;
    vec![
        ZeroCount { capacity: 4 },
        CountBeyondCapacity { count: 5, capacity: 4 },
        InvalidBufferSize { bytes: 7 },
        BytesNotMultiple { bytes: 100, buffer_size: 64 },
        TooFewBytes { bytes: 63, buffer_size: 64 },
        TooManyBytes { bytes: 96, buffer_size: 8, capacity: 12, capacity_max: 11, bytes_max: 95 },
        OutOfMemory { bytes: 128 },
        Exhausted { count: 2, capacity: 4 },
        TimedOut { count: 2, capacity: 4, timeout: Duration::from_millis(17) },
        CopyTooLong { source_bytes: 129, allocation_bytes: 128 },
        CountBeyondLimit { count: 17, limit: 16 },
        RequestsWaiting { count: 3, capacity: 8 },
        CutOutside { at: 5, count: 4 },
        ForkedProcess,
    ]
}

#[test]
fn g_every_kind_stands_in_the_catalogue_under_its_own_name_and_number() {
    let kinds = one_of_each();
    assert_eq!(kinds.len(), BufPoolErrorKind::REASONS.len());
    for (kind, reason) in kinds.iter().zip(BufPoolErrorKind::REASONS) {
        let debug = format!("{kind:?}");
        assert_eq!(debug.split([' ', '(']).next(), Some(reason.name()));
        assert_eq!(kind.reason(), reason.code(), "{}", reason.name());
        assert!(!reason.meaning().is_empty());
        let error = BufPoolError::new(9, "allocate", kind.clone());
        assert_eq!(error.id(), ErrorId::new(9, domain::BUFPOOL, reason.code()));
    }
    let codes: Vec<_> = BufPoolErrorKind::REASONS.iter().map(Reason::code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
}

#[test]
fn g_every_text_is_its_own_and_names_all_values() {
    let mut texts = BTreeSet::new();
    for kind in one_of_each() {
        let (text, debug) = (kind.to_string(), format!("{kind:?}"));
        for word in debug.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()) {
            assert!(text.contains(word), "{text:?} does not name the {word} of {debug}");
        }
        assert!(texts.insert(text));
    }
}
