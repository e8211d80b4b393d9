use std::fmt;

/// One entry of a crate's catalogue of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    code: u16,
    name: &'static str,
    meaning: &'static str,
}

impl Reason {
    /// An entry: its number (never reused), the variant's name, and one line of meaning.
    #[must_use]
    pub const fn new(code: u16, name: &'static str, meaning: &'static str) -> Self {
        Self { code, name, meaning }
    }

    /// The low 16 bits of the [`ErrorId`](crate::ErrorId).
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The variant's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it means, in one line.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }
}

/// A crate's enum of reasons to fail, as an [`Error`](crate::Error) carries it.
///
/// The `Display` text says what was asked, what is, and what to do; it names the values.
pub trait Kind: fmt::Debug + fmt::Display + Clone + Send + Sync + 'static {
    /// The crate's number in an [`ErrorId`](crate::ErrorId), see [`domain`](crate::domain).
    const DOMAIN: u8;

    /// Every reason of this crate, in ascending order of its code.
    const REASONS: &'static [Reason];

    /// This value's entry in [`REASONS`](Self::REASONS).
    fn reason(&self) -> u16;
}
