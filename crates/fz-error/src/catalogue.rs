//! One table from which a crate's kind of error is made, and what is checked of it when it is compiled.

use crate::Reason;

/// Makes an enum of reasons to fail, its [`Kind`](crate::Kind), its text and its catalogue of one table.
///
/// Each variant is followed by its number, one line of meaning and its text. The text may name the fields; arguments
/// may come after it, as in `format!`. The enum is `Clone` and `Debug`; derive what else you want of it. Each variant
/// is documented by its number and meaning, and by your own lines after them.
///
/// A kind that has a cause among its fields (`#[source]`) is written by hand: derive
/// [`Error`](std::error::Error) and implement [`Kind`](crate::Kind).
///
/// ```
/// use fz_error::{Error, Kind};
///
/// fz_error::catalogue! {
///     /// Why the cache refused.
///     #[derive(PartialEq, Eq)]
///     #[non_exhaustive]
///     pub enum CacheErrorKind in 0x40 {
///         Pinned { page: u64, pins: u32 } = 1, "a pinned page cannot be evicted",
///             "page {page} is pinned {pins} times; unpin it before it is evicted";
///         /// It opens again with the engine.
///         Closed = 2, "the cache is closed", "the cache is closed; open it";
///     }
/// }
///
/// let error = Error::new(7, "evict", CacheErrorKind::Pinned { page: 12, pins: 2 });
/// assert_eq!(
///     error.to_string(),
///     "evict: page 12 is pinned 2 times; unpin it before it is evicted [0x0740_0001]"
/// );
/// assert_eq!(CacheErrorKind::REASONS[1].meaning(), "the cache is closed");
/// ```
///
/// # Compile errors
///
/// A number that stands twice, or below the one before it:
///
/// ```compile_fail
/// fz_error::catalogue! {
///     pub enum Twice in 0x40 {
///         One = 1, "one", "one";
///         Other = 1, "another", "another";
///     }
/// }
/// ```
///
/// A domain of the `fz` crates', see [`domain`](crate::domain):
///
/// ```compile_fail
/// fz_error::catalogue! {
///     pub enum Foreign in fz_error::domain::MPSC {
///         One = 1, "one", "one";
///     }
/// }
/// ```
#[macro_export]
macro_rules! catalogue {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $kind:ident in $($domain:ident)::+ { $($variants:tt)* }
    ) => { $crate::catalogue!(@ $(#[$attribute])* $visibility $kind ($($domain)::+) $($variants)*); };
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $kind:ident in $domain:literal { $($variants:tt)* }
    ) => { $crate::catalogue!(@ $(#[$attribute])* $visibility $kind ($domain) $($variants)*); };
    (
        @ $(#[$attribute:meta])* $visibility:vis $kind:ident ($domain:expr)
        $(
            $(#[$variant_attribute:meta])*
            $variant:ident $({ $($(#[$field_attribute:meta])* $field:ident: $type:ty),* $(,)? })?
                = $code:literal, $meaning:literal, $text:literal $(, $argument:expr)*;
        )+
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $visibility enum $kind {
            $(
                #[doc = concat!("Reason ", stringify!($code), ": ", $meaning, ".\n")]
                $(#[$variant_attribute])*
                $variant $({ $($(#[$field_attribute])* $field: $type),* })?,
            )+
        }

        impl ::std::fmt::Display for $kind {
            #[allow(unused_variables, reason = "a text need not name each field")]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $(Self::$variant $({ $($field),* })? => ::std::write!(f, $text $(, $argument)*),)+
                }
            }
        }

        impl ::std::error::Error for $kind {}

        impl $crate::Kind for $kind {
            const DOMAIN: u8 = $domain;

            const REASONS: &'static [$crate::Reason] =
                &[$($crate::Reason::new($code, stringify!($variant), $meaning)),+];

            fn reason(&self) -> u16 {
                match self {
                    $(Self::$variant { .. } => $code,)+
                }
            }
        }

        const _: () = {
            $crate::check::numbers(<$kind as $crate::Kind>::REASONS);
            $crate::check::domain(<$kind as $crate::Kind>::DOMAIN, option_env!("CARGO_PKG_NAME"));
        };
    };
}

/// What [`catalogue!`] checks when it is compiled; no part of the public API.
///
/// Each panics, which in a constant is a compile error.
#[doc(hidden)]
pub mod check {
    use super::Reason;
    use crate::domain;

    /// The numbers ascend, so that none stands twice, and there is one.
    pub const fn numbers(reasons: &[Reason]) {
        assert!(!reasons.is_empty(), "the catalogue is empty");
        let mut at = 1;
        while at < reasons.len() {
            assert!(
                reasons[at - 1].code() < reasons[at].code(),
                "a number of the catalogue stands twice, or below the one before it"
            );
            at += 1;
        }
    }

    /// The package may use this domain: its own, or one of those that no `fz` crate has.
    pub const fn domain(domain: u8, package: Option<&str>) {
        let mut at = 0;
        while at < domain::OWNERS.len() {
            let (owned, owner) = domain::OWNERS[at];
            if let Some(package) = package
                && is_same(package, owner)
            {
                assert!(domain == owned, "this crate has another domain");
                return;
            }
            at += 1;
        }
        assert!(domain >= domain::YOURS_MIN, "domains below 0x40 are the fz crates'");
    }

    /// `str` has no comparison in constants.
    const fn is_same(one: &str, other: &str) -> bool {
        let (one, other) = (one.as_bytes(), other.as_bytes());
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        at == one.len() && at == other.len()
    }
}
