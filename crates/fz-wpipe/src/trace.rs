//! What a round tells `tracing`; nothing, and at no cost, without the feature.
//!
//! Target `fz_wpipe`. Span `round` (debug) with the fields `module_id`, `writes`, `epoch` (the
//! highest), `write_us` and `sync_us`; event `stopped` (error) with the field `error`.

use std::time::Duration;

use crate::PipeError;

/// The span of one round.
pub(crate) struct Round {
    #[cfg(feature = "tracing")]
    span: tracing::span::EnteredSpan,
}

impl Round {
    pub(crate) fn enter(module_id: u8) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = module_id;
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::debug_span!(
                target: "fz_wpipe",
                "round",
                module_id,
                writes = tracing::field::Empty,
                epoch = tracing::field::Empty,
                write_us = tracing::field::Empty,
                sync_us = tracing::field::Empty,
            )
            .entered(),
        }
    }

    /// The batch is durable.
    pub(crate) fn synced(&self, writes: u64, epoch: u64, write: Duration, sync: Duration) {
        #[cfg(feature = "tracing")]
        {
            self.span.record("writes", writes);
            self.span.record("epoch", epoch);
            self.span.record("write_us", micros(write));
            self.span.record("sync_us", micros(sync));
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (self, writes, epoch, write, sync);
    }
}

/// The pipe has stopped for good.
pub(crate) fn stopped(error: &PipeError) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "fz_wpipe", error = %error, cause = error.io_error().map(tracing::field::display), "stopped");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

#[cfg(feature = "tracing")]
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
