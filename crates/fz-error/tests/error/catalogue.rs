//! What the table makes, and what it refuses.

use std::panic::catch_unwind;

use fz_error::{Error, Kind, Reason, check, domain};

fz_error::catalogue! {
    /// All shapes of an entry.
    #[derive(PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Shape in 0x45 {
        /// A field is used by an argument only.
        Argument {
            /// In bytes.
            bytes: usize,
            unused: bool,
        } = 1, "with an argument", "{} bits", bytes * 8;
        Plain = 2, "without fields", "nothing";
        Fields { name: &'static str, } = 0x0100, "a field", "{name:?} and {{}}";
    }
}

#[test]
fn one_table_makes_variant_number_meaning_and_text() {
    let shapes = [Shape::Argument { bytes: 2, unused: true }, Shape::Plain, Shape::Fields { name: "x" }];
    assert_eq!(shapes.clone().map(|shape| shape.reason()), [1, 2, 0x0100]);
    assert_eq!(shapes.clone().map(|shape| shape.to_string()), ["16 bits", "nothing", "\"x\" and {}"]);
    let reasons: Vec<_> = Shape::REASONS.iter().map(|reason| (reason.name(), reason.meaning())).collect();
    assert_eq!(reasons, [("Argument", "with an argument"), ("Plain", "without fields"), ("Fields", "a field")]);
    assert_eq!(Error::new(1, "try", Shape::Plain).id().to_string(), "0x0145_0002");
}

#[test]
fn numbers_that_do_not_ascend_are_refused() {
    let of = |codes: &[u16]| -> Vec<_> { codes.iter().map(|&code| Reason::new(code, "", "")).collect() };
    check::numbers(&of(&[1, 2, 7]));
    for codes in [&[][..], &[1, 1], &[2, 1], &[1, 3, 3], &[1, 3, 2]] {
        assert!(catch_unwind(|| check::numbers(&of(codes))).is_err(), "{codes:?}");
    }
}

#[test]
fn a_crate_has_its_own_domain_and_strangers_those_from_0x40() {
    let may = |number, package| catch_unwind(|| check::domain(number, package)).is_ok();
    assert!(may(domain::MPSC, Some("fz-mpsc")) && may(domain::SIM, Some("fz-sim")));
    assert!(!may(domain::FILE, Some("fz-mpsc")) && !may(0x40, Some("fz-mpsc")));
    assert!(may(0x40, Some("an-engine")) && may(0xFF, Some("fz-mpsc-2")) && may(0x40, None));
    assert!(!may(domain::MPSC, Some("an-engine")) && !may(0x3F, Some("fz")) && !may(0, None));
}

/// What the compiler cannot see of a kind that is written by hand.
#[test]
#[cfg(debug_assertions)]
fn a_reason_that_is_not_in_its_catalogue_is_a_bug() {
    #[derive(Clone, Debug, thiserror::Error)]
    #[error("unknown")]
    struct Unknown;

    impl Kind for Unknown {
        const DOMAIN: u8 = 0x46;
        const REASONS: &'static [Reason] = &[Reason::new(1, "Known", "known")];

        fn reason(&self) -> u16 {
            2
        }
    }
    assert!(catch_unwind(|| Error::new(1, "try", Unknown)).is_err());
}
