//! `docs/ERRORS.md` lists every error id of the project, and is what the crates' catalogues say.
//!
//! `FZ_UPDATE_ERRORS=1 cargo test -p fz-wpipe --test error_catalogue` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use fz_bufpool::BufPoolErrorKind;
use fz_error::{ErrorId, Kind, Reason};
use fz_file::FileErrorKind;
use fz_mpsc::QueueErrorKind;
use fz_wpipe::PipeErrorKind;

const CRATES: [(&str, u8, &[Reason]); 4] = [
    ("fz-file", FileErrorKind::DOMAIN, FileErrorKind::REASONS),
    ("fz-bufpool", BufPoolErrorKind::DOMAIN, BufPoolErrorKind::REASONS),
    ("fz-mpsc", QueueErrorKind::DOMAIN, QueueErrorKind::REASONS),
    ("fz-wpipe", PipeErrorKind::DOMAIN, PipeErrorKind::REASONS),
];

const HEAD: &str = "# Errors

Every error has an id of 32 bits, `0xMMDD_RRRR`: the module (a number that you give to a file, a pool, a queue or a
pipe in its config; 0 unless you do), the domain (the crate), and the reason. Log the id; it does not change between
versions, and a reason's number is never used for another. An error's text also names the values that were wrong, and
what to do.

This page is generated from the crates' catalogues: `FZ_UPDATE_ERRORS=1 cargo test -p fz-wpipe --test error_catalogue`.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, domain, reasons) in CRATES {
        let kind = match name {
            "fz-file" => "FileErrorKind",
            "fz-bufpool" => "BufPoolErrorKind",
            "fz-mpsc" => "QueueErrorKind",
            _ => "PipeErrorKind",
        };
        write!(page, "\n## {name}: `{kind}`, domain {domain:#04x}\n\n| id | reason | meaning |\n|---|---|---|\n")
            .unwrap();
        for reason in reasons {
            let id = ErrorId::new(0, domain, reason.code());
            writeln!(page, "| `{id}` | `{}` | {} |", reason.name(), reason.meaning()).unwrap();
        }
    }
    page
}

/// What is wrong with a catalogue; nothing if each reason has a number, a name and an id of its own.
fn faults(crates: &[(&str, u8, &[Reason])]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeMap::new();
    for (name, domain, reasons) in crates {
        let mut names = BTreeMap::new();
        for reason in *reasons {
            if reason.code() == 0 {
                faults.push(format!("{name}: {} has no number", reason.name()));
            }
            if let Some(other) = ids.insert(ErrorId::new(0, *domain, reason.code()), (name, reason.name())) {
                faults.push(format!("{name}: {} has the id of {other:?}", reason.name()));
            }
            if names.insert(reason.name(), reason.code()).is_some() {
                faults.push(format!("{name}: {} is there twice", reason.name()));
            }
        }
    }
    faults
}

#[test]
fn each_reason_has_an_id_of_its_own() {
    assert_eq!(faults(&CRATES), [""; 0]);
}

#[test]
fn an_id_used_twice_is_found() {
    const TWICE: &[Reason] = &[Reason::new(1, "A", "a"), Reason::new(1, "B", "b")];
    assert_eq!(faults(&[("x", 9, TWICE)]).len(), 1);
    const SAME_NAME: &[Reason] = &[Reason::new(1, "A", "a"), Reason::new(2, "A", "b"), Reason::new(0, "C", "c")];
    assert_eq!(faults(&[("x", 9, SAME_NAME)]).len(), 2);
    const ONE: &[Reason] = &[Reason::new(1, "A", "a")];
    assert_eq!(faults(&[("x", 9, ONE), ("y", 9, ONE)]).len(), 1, "two crates with one domain");
}

#[test]
fn the_page_is_what_the_catalogues_say() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ERRORS.md"));
    let page = page();
    if std::env::var_os("FZ_UPDATE_ERRORS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    // In a package from the registry there is no page to compare with.
    if !path.parent().is_some_and(std::path::Path::is_dir) {
        return;
    }
    let found = fs::read_to_string(&path).expect("docs/ERRORS.md; write it with FZ_UPDATE_ERRORS=1");
    assert!(found == page, "docs/ERRORS.md is stale; write it anew with FZ_UPDATE_ERRORS=1");
}

#[test]
fn the_page_lists_every_reason_once() {
    let page = page();
    let reasons: usize = CRATES.iter().map(|(_, _, reasons)| reasons.len()).sum();
    assert!(reasons > 40, "the catalogues are there");
    assert_eq!(page.lines().filter(|line| line.starts_with("| `0x")).count(), reasons);
    assert!(page.contains("`0x0004_0008` | `SyncFailed`"), "{page}");
}
