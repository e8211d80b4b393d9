// The kind of the examples in src/error.rs, which include this file.

/// A page of a cache that cannot be evicted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("page {0} is pinned; unpin it")]
pub struct Pinned(pub u64);

impl fz_error::Kind for Pinned {
    const DOMAIN: u8 = 0x40;
    const REASONS: &'static [fz_error::Reason] =
        &[fz_error::Reason::new(1, "Pinned", "a pinned page cannot be evicted")];

    fn reason(&self) -> u16 {
        1
    }
}
