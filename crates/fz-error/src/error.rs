//! The envelope that every error of the workspace comes in.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain::chain;
use crate::{ErrorId, EscapedPath, Kind};

/// `std::result::Result` with an [`Error`] of kind `K`.
pub type Result<T, K> = std::result::Result<T, Error<K>>;

/// A failed operation: what was tried, on which path, for which reason, and what caused it.
///
/// One pointer wide, and `Clone` shares it: the ticket of every write that one failed sync took
/// down holds the same error. Match on [`kind`](Self::kind); the text is for people.
///
/// The text does not repeat the cause, unless that is among the kind's values; `{:#}` adds the whole chain of causes,
/// each after a colon. Walk [`source`](StdError::source) for it, or ask [`io_error`](Self::io_error) and
/// [`raw_os_error`](Self::raw_os_error), which search the chain. Control characters of a path are
/// [escaped](crate::EscapedPath).
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
/// assert!(format!("{error:#}").ends_with("[0x0740_0001]: No space left on device (os error 28)"));
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
    ///
    /// A catalogue whose numbers do not ascend is a compile error:
    ///
    /// ```compile_fail
    /// # #[derive(Clone, Debug, thiserror::Error)]
    /// # #[error("twice")]
    /// struct Twice;
    /// impl fz_error::Kind for Twice {
    ///     const DOMAIN: u8 = 0x40;
    ///     const REASONS: &'static [fz_error::Reason] =
    ///         &[fz_error::Reason::new(1, "Twice", "one"), fz_error::Reason::new(1, "Twice", "another")];
    ///     fn reason(&self) -> u16 {
    ///         1
    ///     }
    /// }
    /// let error = fz_error::Error::new(7, "evict", Twice);
    /// ```
    #[must_use]
    pub fn new(module_id: u8, operation: &'static str, kind: K) -> Self {
        const { crate::check::numbers(K::REASONS) };
        debug_assert!(
            K::REASONS.iter().any(|reason| reason.code() == kind.reason()),
            "reason {} of {kind:?} is not in its catalogue",
            kind.reason()
        );
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

    /// The same error, with its cause. It takes the place of a cause that the kind itself has as its
    /// [`source`](StdError::source), which is else this error's.
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

    /// The first [`io::Error`] among the causes that has the operating system's number; without one, the first of all.
    ///
    /// The causes are those that were added and those of the kind. The search looks behind `Arc` and `Box`, and into an
    /// `io::Error` that was made of another error.
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
        let added = self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        let all =
            || chain(added).chain(chain(self.0.kind.source())).filter_map(|error| error.downcast_ref::<io::Error>());
        all().find(|io| io.raw_os_error().is_some()).or_else(|| all().next())
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
            write!(f, " {}", EscapedPath(path))?;
        }
        let mut shown = format!(": {} [{}]", self.0.kind, self.id());
        f.write_str(&shown)?;
        if f.alternate() {
            for cause in chain(self.source()) {
                let text = cause.to_string();
                // An `io::Error` that was made of an error has its text.
                if text != shown {
                    write!(f, ": {text}")?;
                    shown = text;
                }
            }
        }
        Ok(())
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
        let added = self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        added.or_else(|| self.0.kind.source())
    }
}

/// For functions that return [`io::Result`]: the error is inside, to be downcast to, and its
/// [`ErrorKind`](io::ErrorKind) is that of [`io_error`](Error::io_error), or `Other`.
///
/// ```
/// # mod cache { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error/pinned.rs")); }
/// # use {cache::Pinned, fz_error::Error};
/// # use std::io;
/// fn evict() -> io::Result<()> {
///     let cause = io::Error::from(io::ErrorKind::StorageFull);
///     Err(Error::new(7, "evict", Pinned(12)).with_source(cause))?
/// }
/// let error = evict().unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::StorageFull);
/// assert!(error.get_ref().unwrap().downcast_ref::<Error<Pinned>>().is_some());
/// ```
impl<K: Kind> From<Error<K>> for io::Error {
    fn from(error: Error<K>) -> Self {
        Self::new(error.io_error().map_or(io::ErrorKind::Other, io::Error::kind), error)
    }
}
