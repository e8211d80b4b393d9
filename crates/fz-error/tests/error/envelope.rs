use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::thread;

use fz_error::{Error, ErrorId, Kind};

fz_error::catalogue! {
    #[derive(PartialEq)]
    enum Trouble in 0x41 {
        Pinned { page: u64, pins: u32 } = 3, "a pinned page", "page {page} is pinned {pins} times";
        Closed = 0xBEEF, "a closed cache", "the cache is closed";
    }
}

fz_error::catalogue! {
    /// Another crate's kind, to carry the first as its cause.
    enum Down in 0x42 {
        Down = 1, "down", "the engine is down";
    }
}

const PINNED: Trouble = Trouble::Pinned { page: 12, pins: 2 };

/// `ENOSPC` on Linux and macOS.
const NO_SPACE: i32 = 28;

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(NO_SPACE)
}

#[test]
fn an_error_says_what_it_was_made_of() {
    let error = Error::new(7, "evict", PINNED);
    assert_eq!(error.id(), ErrorId::new(7, 0x41, 3));
    assert_eq!(error.kind(), &PINNED);
    assert_eq!(error.operation(), "evict");
    assert_eq!(error.module_id(), 7);
    assert_eq!(error.path(), None);
    assert!(error.source().is_none());
    assert!(error.io_error().is_none());
    assert_eq!(error.raw_os_error(), None);
    assert_eq!(Error::new(255, "close", Trouble::Closed).id(), ErrorId::new(255, 0x41, 0xBEEF));
}

#[test]
fn the_text_names_operation_path_reason_and_id_and_not_the_cause() {
    let error = Error::new(7, "evict", PINNED);
    assert_eq!(error.to_string(), "evict: page 12 is pinned 2 times [0x0741_0003]");
    let error = error.with_path("/data/x").with_source(no_space());
    assert_eq!(error.to_string(), "evict /data/x: page 12 is pinned 2 times [0x0741_0003]");
    assert_eq!(error.source().unwrap().to_string(), no_space().to_string());
}

#[test]
fn the_debug_text_has_every_part() {
    let error = Error::new(7, "evict", PINNED).with_path("/data/x").with_source(no_space());
    let text = format!("{error:?}");
    for part in ["0x0741_0003", "\"evict\"", "\"/data/x\"", "page: 12", "pins: 2", "code: 28"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

/// What lets one failure be told to any number of waiters.
#[test]
fn clones_share_one_failure() {
    let error = Error::new(7, "evict", PINNED).with_source(no_space());
    let clone = error.clone();
    assert!(ptr::eq(error.kind(), clone.kind()));
    assert!(ptr::eq(error.io_error().unwrap(), clone.io_error().unwrap()));
    drop(error);
    assert_eq!(clone.raw_os_error(), Some(NO_SPACE));
}

#[test]
fn what_is_added_to_a_clone_stays_with_it() {
    let error = Error::new(7, "evict", PINNED).with_path("/a").with_source(no_space());
    let other = error.clone().with_path("/b");
    assert_eq!((error.path(), other.path()), (Some(Path::new("/a")), Some(Path::new("/b"))));
    assert_eq!(other.raw_os_error(), Some(NO_SPACE));
    let other = error.clone().with_source(io::Error::other("another"));
    assert_eq!((error.raw_os_error(), other.raw_os_error()), (Some(NO_SPACE), None));
    assert_eq!(other.path(), Some(Path::new("/a")));
}

#[test]
fn the_io_error_is_found_through_any_number_of_errors() {
    let inner = Error::new(7, "evict", PINNED).with_source(no_space());
    let outer = Error::new(8, "run", Down::Down).with_source(inner.clone());
    let outermost = Error::new(9, "serve", Down::Down).with_source(outer);
    assert_eq!(outermost.raw_os_error(), Some(NO_SPACE));
    assert!(ptr::eq(outermost.io_error().unwrap(), inner.io_error().unwrap()));

    let mut texts = Vec::new();
    let mut cause: Option<&dyn StdError> = Some(&outermost);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    assert_eq!(texts.len(), 4);
    assert_eq!(texts[2], "evict: page 12 is pinned 2 times [0x0741_0003]");
    let found = outermost.source().unwrap().source().unwrap().downcast_ref::<Error<Trouble>>();
    assert_eq!(found.unwrap().kind(), &PINNED);
}

#[test]
fn an_io_error_of_no_system_call_has_no_number() {
    let error = Error::new(7, "evict", PINNED).with_source(io::Error::other("made up"));
    assert_eq!(error.io_error().unwrap().to_string(), "made up");
    assert_eq!(error.raw_os_error(), None);
    let error = Error::new(7, "evict", PINNED).with_source(fmt::Error);
    assert!(error.io_error().is_none());
}

#[test]
fn an_error_is_one_pointer_wide_and_goes_anywhere() {
    const fn anywhere<T: Send + Sync + Unpin + Clone + 'static>() {}
    const { anywhere::<Error<Trouble>>() };
    const { anywhere::<ErrorId>() };
    assert_eq!(size_of::<Error<Trouble>>(), size_of::<usize>());
    assert_eq!(size_of::<fz_error::Result<(), Trouble>>(), size_of::<usize>());

    let error = Arc::new(Error::new(7, "evict", PINNED).with_source(no_space()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let error = Arc::clone(&error);
            thread::spawn(move || error.as_ref().clone().raw_os_error())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Some(NO_SPACE));
    }
    let boxed: Box<dyn StdError + Send + Sync> = Box::new(error.as_ref().clone());
    assert!(boxed.downcast_ref::<Error<Trouble>>().is_some());
}

#[test]
fn a_reason_keeps_what_it_was_made_of() {
    let reason = Trouble::REASONS[1];
    assert_eq!((reason.code(), reason.name(), reason.meaning()), (0xBEEF, "Closed", "a closed cache"));
    assert_ne!(Trouble::REASONS[0], reason);
}

/// Whatever the build and the environment, an unknown name switches nothing on.
#[test]
fn no_mutant_is_active_unless_it_is_named() {
    assert!(!fz_error::mutants::active("no_such_mutant"));
}
