//! The number of a reason to fail.

use std::fmt;
use std::str::FromStr;

/// A stable number for one reason to fail: `module:8 | domain:8 | reason:16`.
///
/// *module* is the caller's own number for the part of the engine that owns the object (each `fz`
/// config has a `module_id`), *domain* is the crate, *reason* the entry in that crate's catalogue
/// ([`Kind::REASONS`](crate::Kind::REASONS)). Ids are never reused for another reason.
///
/// ```
/// use fz_error::ErrorId;
///
/// let id = ErrorId::new(0x01, 0x02, 0x0033);
/// assert_eq!(id.to_string(), "0x0102_0033");
/// assert_eq!("0x0102_0033".parse::<ErrorId>()?, id);
/// assert_eq!(ErrorId::from_bits(id.to_bits()), id);
/// # Ok::<(), fz_error::ParseErrorIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorId(u32);

impl ErrorId {
    /// Packs the three parts.
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::new(1, 2, 3).to_bits(), 0x0102_0003);
    /// ```
    #[must_use]
    pub const fn new(module: u8, domain: u8, reason: u16) -> Self {
        Self((module as u32) << 24 | (domain as u32) << 16 | reason as u32)
    }

    /// The id that [`to_bits`](Self::to_bits) made; every `u32` is an id.
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::from_bits(0x0102_0003), ErrorId::new(1, 2, 3));
    /// ```
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The id as one word.
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::new(1, 2, 3).to_bits(), 0x0102_0003);
    /// ```
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The caller's own number for the object that failed.
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::new(1, 2, 3).module(), 1);
    /// ```
    #[must_use]
    pub const fn module(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The crate that failed, see [`domain`](crate::domain).
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::new(1, 2, 3).domain(), 2);
    /// ```
    #[must_use]
    pub const fn domain(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// The entry in the crate's catalogue.
    ///
    /// ```
    /// # use fz_error::ErrorId;
    /// assert_eq!(ErrorId::new(1, 2, 3).reason(), 3);
    /// ```
    #[must_use]
    pub const fn reason(self) -> u16 {
        let bytes = self.0.to_be_bytes();
        u16::from_be_bytes([bytes[2], bytes[3]])
    }
}

impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}_{:04x}", self.0 >> 16, self.0 & 0xFFFF)
    }
}

impl fmt::Debug for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorId({self})")
    }
}

/// The text is no [`ErrorId`]: it is not of the form `0x0102_0033`.
///
/// ```
/// # use fz_error::ErrorId;
/// assert!("0x01020003".parse::<ErrorId>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrorIdError {
    text: String,
}

impl fmt::Display for ParseErrorIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no error id; write it as 0x0102_0033", self.text)
    }
}

impl std::error::Error for ParseErrorIdError {}

impl FromStr for ErrorId {
    type Err = ParseErrorIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (high, low) = text.strip_prefix("0x")?.split_once('_')?;
            let whole = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !whole(high) || !whole(low) {
                return None;
            }
            Some(u32::from(u16::from_str_radix(high, 16).ok()?) << 16 | u32::from(u16::from_str_radix(low, 16).ok()?))
        };
        parse().map(Self).ok_or_else(|| ParseErrorIdError { text: text.to_owned() })
    }
}
