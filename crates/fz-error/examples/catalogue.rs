//! Prints a crate's catalogue of reasons, or looks up an id from a log line.
//!
//! ```text
//! cargo run -p fz-error --example catalogue
//! cargo run -p fz-error --example catalogue -- 0x0740_0002
//! ```

use std::error::Error as StdError;
use std::io::Write;

use fz_error::{Error, ErrorId, Kind, Reason};

/// What can go wrong in an engine's page cache.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
enum CacheErrorKind {
    #[error("page {page} is pinned {pins} times; unpin it before it is evicted")]
    Pinned { page: u64, pins: u32 },
    #[error("page {page} could not be read; the cause says why")]
    ReadFailed { page: u64 },
}

impl Kind for CacheErrorKind {
    const DOMAIN: u8 = 0x40;
    const REASONS: &'static [Reason] = &[
        Reason::new(1, "Pinned", "a pinned page cannot be evicted"),
        Reason::new(2, "ReadFailed", "a page could not be read"),
    ];

    fn reason(&self) -> u16 {
        match self {
            Self::Pinned { .. } => 1,
            Self::ReadFailed { .. } => 2,
        }
    }
}

/// The module that owns the cache, in this engine's numbering.
const MODULE_ID: u8 = 7;

fn evict(page: u64) -> fz_error::Result<(), CacheErrorKind> {
    Err(Error::new(MODULE_ID, "evict", CacheErrorKind::Pinned { page, pins: 2 }))
}

fn load(page: u64) -> fz_error::Result<(), CacheErrorKind> {
    let missing = std::fs::read("/no/such/page").expect_err("there is no such file");
    Err(Error::new(MODULE_ID, "load", CacheErrorKind::ReadFailed { page })
        .with_path("/no/such/page")
        .with_source(missing))
}

fn main() -> Result<(), Box<dyn StdError>> {
    let mut output = std::io::stdout().lock();
    if let Some(text) = std::env::args().nth(1) {
        let id: ErrorId = text.parse()?;
        let found = CacheErrorKind::REASONS
            .iter()
            .find(|reason| id.domain() == CacheErrorKind::DOMAIN && id.reason() == reason.code());
        match found {
            Some(reason) => writeln!(output, "module {}: {}, {}", id.module(), reason.name(), reason.meaning())?,
            None => writeln!(output, "{id} is of domain {:#04x}, not in this catalogue", id.domain())?,
        }
        return Ok(());
    }

    for reason in CacheErrorKind::REASONS {
        let id = ErrorId::new(0, CacheErrorKind::DOMAIN, reason.code());
        writeln!(output, "{id}  {:12} {}", reason.name(), reason.meaning())?;
    }
    for error in [evict(12), load(13)].into_iter().filter_map(Result::err) {
        writeln!(output, "\n{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            writeln!(output, "  because: {error}")?;
            cause = error.source();
        }
    }
    Ok(())
}
