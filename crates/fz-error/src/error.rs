//! The envelope that every error of the workspace comes in.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{ErrorId, Kind};

/// `std::result::Result` with an [`Error`] of kind `K`.
pub type Result<T, K> = std::result::Result<T, Error<K>>;

/// A failed operation: what was tried, on which path, for which reason, and what caused it.
///
/// One pointer wide, and `Clone` shares it: the ticket of every write that one failed sync took
/// down holds the same error. Match on [`kind`](Self::kind); the text is for people.
///
/// The text does not repeat the cause, unless that is among the kind's values; walk
/// [`source`](StdError::source) for it, or ask [`io_error`](Self::io_error) and
/// [`raw_os_error`](Self::raw_os_error), which search the chain.
///
/// ```
/// # #[derive(Clone, Debug, thiserror::Error)]
/// # #[error("the disk refused {bytes} bytes")]
/// # struct Refused { bytes: usize }
/// # impl fz_error::Kind for Refused {
/// #     const DOMAIN: u8 = 0x40;
/// #     const REASONS: &'static [fz_error::Reason] = &[fz_error::Reason::new(1, "Refused", "refused")];
/// #     fn reason(&self) -> u16 { 1 }
/// # }
/// use fz_error::Error;
///
/// let error = Error::new(7, "write", Refused { bytes: 512 })
///     .with_path("/data/slots")
///     .with_source(std::io::Error::from_raw_os_error(28));
/// assert_eq!(error.to_string(), "write /data/slots: the disk refused 512 bytes [0x0740_0001]");
/// assert_eq!(error.clone().raw_os_error(), Some(28));
/// ```
#[derive(Clone)]
pub struct Error<K>(Arc<Inner<K>>);

#[derive(Clone)]
struct Inner<K> {
    module_id: u8,
    operation: &'static str,
    path: Option<PathBuf>,
    kind: K,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl<K: Kind> Error<K> {
    /// An error of `kind` in `operation`, owned by the caller's module `module_id`.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12));
    /// assert_eq!(error.to_string(), "evict: page 12 is pinned; unpin it [0x0740_0001]");
    /// ```
    #[must_use]
    pub fn new(module_id: u8, operation: &'static str, kind: K) -> Self {
        Self(Arc::new(Inner { module_id, operation, path: None, kind, source: None }))
    }

    /// The same error, naming the path it happened on.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12)).with_path("/data/pages");
    /// assert!(error.to_string().starts_with("evict /data/pages: page 12"));
    /// ```
    #[must_use]
    pub fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        Arc::make_mut(&mut self.0).path = Some(path.into());
        self
    }

    /// The same error, with what caused it.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let cause = std::io::Error::from_raw_os_error(28);
    /// let error = Error::new(7, "evict", Pinned(12)).with_source(cause);
    /// assert!(std::error::Error::source(&error).is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// The stable id: module, the kind's domain, the kind's reason.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// assert_eq!(Error::new(7, "evict", Pinned(12)).id(), ErrorId::new(7, 0x40, 1));
    /// ```
    #[must_use]
    pub fn id(&self) -> ErrorId {
        ErrorId::new(self.0.module_id, K::DOMAIN, self.0.kind.reason())
    }

    /// The reason, with its values, to match on.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12));
    /// assert!(matches!(error.kind(), Pinned(12)));
    /// ```
    #[must_use]
    pub fn kind(&self) -> &K {
        &self.0.kind
    }

    /// What was tried: a verb, as the public method is named.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// assert_eq!(Error::new(7, "evict", Pinned(12)).operation(), "evict");
    /// ```
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The `module_id` of the config that made the object which failed.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// assert_eq!(Error::new(7, "evict", Pinned(12)).module_id(), 7);
    /// ```
    #[must_use]
    pub fn module_id(&self) -> u8 {
        self.0.module_id
    }

    /// The file or directory it happened on, if there is one.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12));
    /// assert_eq!(error.path(), None);
    /// assert_eq!(error.with_path("/data").path(), Some("/data".as_ref()));
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The first [`io::Error`] among the causes.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12));
    /// assert!(error.io_error().is_none());
    /// let caused = error.with_source(std::io::Error::from(std::io::ErrorKind::StorageFull));
    /// assert_eq!(caused.io_error().map(|io| io.kind()), Some(std::io::ErrorKind::StorageFull));
    /// ```
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return Some(io);
            }
            cause = error.source();
        }
        None
    }

    /// The operating system's number for the cause, e.g. 28 for `ENOSPC` on Linux.
    ///
    /// ```
    /// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
    /// # use {cache::Pinned, fz_error::{Error, ErrorId}};
    /// let error = Error::new(7, "evict", Pinned(12)).with_source(std::io::Error::from_raw_os_error(28));
    /// assert_eq!(error.raw_os_error(), Some(28));
    /// ```
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.io_error().and_then(io::Error::raw_os_error)
    }
}

impl<K: Kind> fmt::Display for Error<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if let Some(path) = &self.0.path {
            write!(f, " {}", path.display())?;
        }
        write!(f, ": {} [{}]", self.0.kind, self.id())
    }
}

impl<K: Kind> fmt::Debug for Error<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("id", &self.id())
            .field("operation", &self.0.operation)
            .field("path", &self.0.path)
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .finish()
    }
}

impl<K: Kind> StdError for Error<K> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
