//! Where a cause may hide, and how it is shown.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use fz_error::{Error, Kind, Reason};

fz_error::catalogue! {
    enum Stopped in 0x43 {
        Stopped = 1, "the engine stopped", "the engine stopped";
    }
}

/// A kind that has a cause among its fields, written by hand.
#[derive(Clone, Debug, thiserror::Error)]
enum Own {
    #[error("page {page} could not be read")]
    ReadFailed { page: u64, source: Arc<io::Error> },
}

impl Kind for Own {
    const DOMAIN: u8 = 0x44;
    const REASONS: &'static [Reason] = &[Reason::new(1, "ReadFailed", "a page could not be read")];

    fn reason(&self) -> u16 {
        1
    }
}

/// `ENOSPC` and `EIO` on Linux and macOS.
const NO_SPACE: i32 = 28;
const IO: i32 = 5;

fn os(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn stopped() -> Error<Stopped> {
    Error::new(7, "write", Stopped::Stopped)
}

#[test]
fn an_io_error_is_found_behind_arc_and_box() {
    assert_eq!(stopped().with_source(Arc::new(os(NO_SPACE))).raw_os_error(), Some(NO_SPACE));
    assert_eq!(stopped().with_source(Box::new(os(NO_SPACE))).raw_os_error(), Some(NO_SPACE));
    let shared: Arc<dyn StdError + Send + Sync> = Arc::new(os(NO_SPACE));
    assert_eq!(stopped().with_source(shared).raw_os_error(), Some(NO_SPACE));
    let nested = Arc::new(io::Error::other(Arc::new(os(NO_SPACE))));
    assert_eq!(stopped().with_source(nested).raw_os_error(), Some(NO_SPACE));
}

#[test]
fn an_io_error_is_found_inside_another() {
    let outer = io::Error::new(io::ErrorKind::InvalidData, os(NO_SPACE));
    assert_eq!(stopped().with_source(outer).raw_os_error(), Some(NO_SPACE));
    let deeper = io::Error::other(stopped().with_source(io::Error::other(os(NO_SPACE))));
    assert_eq!(stopped().with_source(deeper).raw_os_error(), Some(NO_SPACE));
    let made_up = io::Error::new(io::ErrorKind::InvalidData, io::Error::other("made up"));
    let error = stopped().with_source(made_up);
    assert_eq!(
        error.io_error().map(io::Error::kind),
        Some(io::ErrorKind::InvalidData),
        "the first, if none has a number"
    );
}

#[test]
fn the_causes_of_a_kind_are_not_lost() {
    let own = || Own::ReadFailed { page: 3, source: Arc::new(os(NO_SPACE)) };
    let error = Error::new(7, "load", own());
    assert_eq!(error.source().unwrap().to_string(), os(NO_SPACE).to_string());
    assert_eq!(error.raw_os_error(), Some(NO_SPACE));
    // An added cause comes first.
    let error = Error::new(7, "load", own()).with_source(os(IO));
    assert_eq!((error.source().unwrap().to_string(), error.raw_os_error()), (os(IO).to_string(), Some(IO)));
    let error = Error::new(7, "load", own()).with_source(std::fmt::Error);
    assert_eq!(error.raw_os_error(), Some(NO_SPACE));
}

#[test]
fn the_alternate_text_has_the_chain_of_causes() {
    let inner = Error::new(7, "load", Own::ReadFailed { page: 3, source: Arc::new(os(NO_SPACE)) });
    let error = stopped().with_source(io::Error::other(inner.clone()));
    assert_eq!(error.to_string(), "write: the engine stopped [0x0743_0001]");
    let text = format!("{error:#}");
    let expected = format!("{error}: {inner}: {}", os(NO_SPACE));
    assert_eq!(text, expected, "an io::Error that was made of an error repeats its text");
    assert_eq!(format!("{:#}", stopped()), stopped().to_string());
}

#[test]
fn control_characters_of_a_path_are_escaped() {
    let error = stopped().with_path("/data/a\nERROR: b\u{1b}[2Jc\u{7f}\td é");
    assert_eq!(error.to_string(), "write /data/a\\nERROR: b\\u{1b}[2Jc\\u{7f}\\td é: the engine stopped [0x0743_0001]");
}

#[test]
fn an_error_becomes_an_io_error_and_comes_back() {
    let io: io::Error = stopped().with_source(os(NO_SPACE)).into();
    assert_eq!(io.kind(), io::ErrorKind::StorageFull);
    let back = io.get_ref().unwrap().downcast_ref::<Error<Stopped>>().unwrap();
    assert_eq!(back.raw_os_error(), Some(NO_SPACE));
    let io: io::Error = stopped().into();
    assert_eq!(io.kind(), io::ErrorKind::Other);
    // And is found as a cause again.
    let again = stopped().with_source(io::Error::from(stopped().with_source(os(IO))));
    assert_eq!(again.raw_os_error(), Some(IO));
}
