//! Prints a crate's catalogue of reasons, or looks up an id from a log line.
//!
//! ```text
//! cargo run -p fz-error --example catalogue
//! cargo run -p fz-error --example catalogue -- 0x0740_0002
//! ```

use std::error::Error as StdError;
use std::io::Write;

use fz_error::{Error, ErrorId, Kind};

fz_error::catalogue! {
    /// What can go wrong in an engine's page cache.
    #[non_exhaustive]
    enum CacheErrorKind in 0x40 {
        Pinned { page: u64, pins: u32 } = 1, "a pinned page cannot be evicted",
            "page {page} is pinned {pins} times; unpin it before it is evicted";
        ReadFailed { page: u64 } = 2, "a page could not be read",
            "page {page} could not be read; the cause says why";
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
        let found = CacheErrorKind::REASONS.iter().find(|reason| id.reason() == reason.code());
        match found {
            _ if id.domain() != CacheErrorKind::DOMAIN => {
                writeln!(output, "{id} is of domain {:#04x}, not of this catalogue's", id.domain())?;
            }
            Some(reason) => writeln!(output, "module {}: {}, {}", id.module(), reason.name(), reason.meaning())?,
            None => writeln!(output, "{id} is of this domain, but reason {} is not in its catalogue", id.reason())?,
        }
        return Ok(());
    }

    for reason in CacheErrorKind::REASONS {
        let id = ErrorId::new(0, CacheErrorKind::DOMAIN, reason.code());
        writeln!(output, "{id}  {:12} {}", reason.name(), reason.meaning())?;
    }
    for error in [evict(12), load(13)].into_iter().filter_map(Result::err) {
        writeln!(output, "\n{error:#}")?;
    }
    Ok(())
}
