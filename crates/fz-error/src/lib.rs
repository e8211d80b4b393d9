//! Errors for the `fz` crates: a stable 32-bit id, the operation, the values, and the cause.
//!
//! - [`ErrorId`] packs `module:8 | domain:8 | reason:16`, so that a log line, a metric or a
//!   C caller can carry an error in one word.
//! - [`Error`] is the envelope that every `fz` crate returns: which operation failed, on which
//!   path, for which reason (a matchable enum of that crate), and the [`std::io::Error`] behind
//!   it. It is one pointer wide and [`Clone`], because many tickets share one failure.
//! - [`Kind`] is what a crate's own enum of reasons implements to travel in that envelope;
//!   [`catalogue!`] makes both of one table, checked when it is compiled.
//!
//! ```
//! use fz_error::{Error, ErrorId};
//!
//! fz_error::catalogue! {
//!     /// Why the cache refused.
//!     #[non_exhaustive]
//!     pub enum CacheError in 0x40 {
//!         Pinned { page: u64, pins: u32 } = 1, "a pinned page cannot be evicted",
//!             "page {page} is pinned {pins} times; unpin it before it is evicted";
//!     }
//! }
//!
//! let error = Error::new(7, "evict", CacheError::Pinned { page: 12, pins: 2 });
//! assert_eq!(error.id(), ErrorId::new(7, 0x40, 1));
//! assert_eq!(error.id().to_string(), "0x0740_0001");
//! assert!(matches!(error.kind(), CacheError::Pinned { page: 12, .. }));
//! ```
#![forbid(unsafe_code)]

mod catalogue;
mod chain;
mod error;
mod escaped;
mod id;
mod kind;
#[doc(hidden)]
pub mod mutants;

#[doc(hidden)]
pub use catalogue::check;
pub use error::{Error, Result};
pub use escaped::EscapedPath;
pub use id::{ErrorId, ParseErrorIdError};
pub use kind::{Kind, Reason};

/// The domains of the `fz` crates, one each; your own kinds may use `0x40..=0xFF`.
///
/// ```
/// use fz_error::domain::{BUFPOOL, FILE, MPSC, SIM, WPIPE};
///
/// assert!([FILE, BUFPOOL, MPSC, WPIPE, SIM].is_sorted_by(|a, b| a < b)); // no two are the same
/// ```
pub mod domain {
    /// `fz-file`.
    pub const FILE: u8 = 0x01;
    /// `fz-bufpool`.
    pub const BUFPOOL: u8 = 0x02;
    /// `fz-mpsc`.
    pub const MPSC: u8 = 0x03;
    /// `fz-wpipe`.
    pub const WPIPE: u8 = 0x04;
    /// `fz-sim`.
    pub const SIM: u8 = 0x05;

    /// The lowest of those that no `fz` crate has.
    pub(crate) const YOURS_MIN: u8 = 0x40;

    /// Which package has which.
    pub(crate) const OWNERS: [(u8, &str); 5] =
        [(FILE, "fz-file"), (BUFPOOL, "fz-bufpool"), (MPSC, "fz-mpsc"), (WPIPE, "fz-wpipe"), (SIM, "fz-sim")];
}
