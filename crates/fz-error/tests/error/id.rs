use std::collections::BTreeSet;

use fz_error::{ErrorId, ParseErrorIdError, domain};

/// Values of a part that meet each bit, both ends and the neighbours' borders.
fn parts_of(bits: u32) -> impl Iterator<Item = u32> {
    let all = (1_u64 << bits) - 1;
    (0..bits)
        .flat_map(|bit| [1_u64 << bit, (1 << bit) - 1])
        .chain([all, all - 1])
        .map(|value| u32::try_from(value).unwrap())
}

#[test]
fn packing_gives_each_part_its_own_bits() {
    for module in 0..=u8::MAX {
        for domain in 0..=u8::MAX {
            for reason in parts_of(16).map(|reason| u16::try_from(reason).unwrap()) {
                let id = ErrorId::new(module, domain, reason);
                assert_eq!((id.module(), id.domain(), id.reason()), (module, domain, reason));
                let bits = u32::from(module) << 24 | u32::from(domain) << 16 | u32::from(reason);
                assert_eq!(id.to_bits(), bits);
            }
        }
    }
    for reason in 0..=u16::MAX {
        assert_eq!(ErrorId::new(0xA5, 0x5A, reason).reason(), reason);
    }
}

#[test]
fn every_word_is_an_id_and_comes_back() {
    for bits in parts_of(32) {
        let id = ErrorId::from_bits(bits);
        assert_eq!(id.to_bits(), bits);
        assert_eq!(ErrorId::new(id.module(), id.domain(), id.reason()), id);
    }
}

#[test]
fn the_text_has_one_form_and_parses_back() {
    for bits in parts_of(32) {
        let id = ErrorId::from_bits(bits);
        let text = id.to_string();
        assert_eq!(text.len(), "0x0102_0033".len(), "{text}");
        assert_eq!(text.replace('_', ""), format!("0x{bits:08x}"));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().replacen("0X", "0x", 1).parse(), Ok(id), "hexadecimal in capitals");
        assert_eq!(format!("{id:?}"), format!("ErrorId({text})"));
    }
}

#[test]
fn nothing_else_parses_and_the_error_names_the_text() {
    let wrong = [
        "",
        "0x",
        "_",
        "0x_",
        "0x01020033",
        "01020033",
        "0102_0033",
        "0X0102_0033",
        "0x0102_033",
        "0x102_0033",
        "0x00102_0033",
        "0x0102_00033",
        "0x0102_+033",
        "0x+102_0033",
        "0x-102_0033",
        "0x0102_0g33",
        "0x0102_00_3",
        "0x0102__033",
        " 0x0102_0033",
        "0x0102_0033 ",
        "0x0102_0033\n",
        "0x01é2_0033",
        "0x0102_٠٠٣٣",
    ];
    for text in wrong {
        let error: ParseErrorIdError = text.parse::<ErrorId>().unwrap_err();
        assert_eq!(error.to_string(), format!("{text:?} is no error id; write it as 0x0102_0033"));
        assert_eq!(error.clone(), error);
    }
}

#[test]
fn ids_sort_by_module_then_domain_then_reason() {
    let ids = [ErrorId::new(0, 0, 9), ErrorId::new(0, 1, 0), ErrorId::new(0, 1, 1), ErrorId::new(1, 0, 0)];
    assert!(ids.is_sorted());
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn the_domains_are_distinct_and_leave_the_users_alone() {
    let domains = [domain::FILE, domain::BUFPOOL, domain::MPSC, domain::WPIPE, domain::SIM];
    assert_eq!(domains.iter().collect::<BTreeSet<_>>().len(), domains.len());
    assert!(domains.iter().all(|domain| (1..0x40).contains(domain)));
}
