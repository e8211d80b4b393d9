//! What a round tells `tracing` and `metrics`; nothing, and at no cost, without these features.
//!
//! `tracing`, target `fz_wpipe`: span `round` (debug) with the fields `module_id`, `writes`,
//! `epoch` (the highest), `queue_depth`, `write_us` and `sync_us`; event `stopped` (error) with the fields `error`
//! and `cause`.
//!
//! `metrics`, each with the label `module_id`: counters `fz_wpipe_writes`, `fz_wpipe_syncs`,
//! `fz_wpipe_stopped`; histograms `fz_wpipe_write_seconds`, `fz_wpipe_sync_seconds`; gauges
//! `fz_wpipe_durable_epoch`, `fz_wpipe_queue_depth`.
//!
//! Subscribers and recorders are foreign code: the panic of one ends here, after its hook has
//! reported it, and the pipe goes on.

#[cfg(any(feature = "tracing", feature = "metrics"))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::PipeError;

/// One round that made something durable.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nobody observes, or metrics, which look anew"))]
pub(crate) struct Synced {
    /// Writes made durable.
    pub(crate) writes: u64,
    /// The highest epoch of them.
    pub(crate) epoch: u64,
    /// Writes queued when the sync returned.
    pub(crate) queue_depth: usize,
    /// What the write calls took, and what went before them.
    pub(crate) write: Duration,
    /// What the sync took.
    pub(crate) sync: Duration,
}

/// The span of one round.
pub(crate) struct Round {
    module_id: u8,
    /// `None` if the subscriber panicked when it was entered, or it is being left.
    #[cfg(feature = "tracing")]
    span: Option<tracing::span::EnteredSpan>,
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
fn quietly<R>(tell: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(tell)).ok()
}

impl Round {
    pub(crate) fn enter(module_id: u8) -> Self {
        Self {
            module_id,
            #[cfg(feature = "tracing")]
            span: quietly(|| span(module_id)),
        }
    }

    /// Leaves the span: what comes next is no part of the round.
    #[cfg_attr(not(feature = "tracing"), expect(unused_mut, reason = "there is no span to take"))]
    pub(crate) fn leave(mut self) -> Left {
        Left {
            module_id: self.module_id,
            #[cfg(feature = "tracing")]
            span: self.span.take().and_then(|span| quietly(|| span.exit())),
        }
    }
}

/// A round that is over, and whose span is still open.
pub(crate) struct Left {
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "the label of metrics"))]
    module_id: u8,
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl Left {
    /// `now` says what the durable epoch and the queue's depth are.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody observes, or a span, which is of then")
    )]
    #[cfg_attr(
        not(any(feature = "tracing", feature = "metrics")),
        expect(clippy::unused_self, reason = "nobody observes")
    )]
    pub(crate) fn synced(&self, round: &Synced, now: impl Fn() -> (u64, usize)) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            let _ = quietly(|| {
                span.record("writes", round.writes);
                span.record("epoch", round.epoch);
                span.record("queue_depth", round.queue_depth);
                span.record("write_us", micros(round.write));
                span.record("sync_us", micros(round.sync));
            });
        }
        #[cfg(feature = "metrics")]
        let _ = quietly(|| {
            let module = label(self.module_id);
            metrics::counter!("fz_wpipe_writes", "module_id" => module.clone()).increment(round.writes);
            metrics::counter!("fz_wpipe_syncs", "module_id" => module.clone()).increment(1);
            metrics::histogram!("fz_wpipe_write_seconds", "module_id" => module.clone()).record(round.write);
            metrics::histogram!("fz_wpipe_sync_seconds", "module_id" => module.clone()).record(round.sync);
            let epoch_gauge = metrics::gauge!("fz_wpipe_durable_epoch", "module_id" => module.clone());
            let depth_gauge = metrics::gauge!("fz_wpipe_queue_depth", "module_id" => module);
            // The next round may have been told of already, by another thread: who sets a gauge last has
            // seen the newest value.
            loop {
                let (epoch, depth) = now();
                epoch_gauge.set(epoch as f64);
                depth_gauge.set(depth as f64);
                if now().0 == epoch {
                    break;
                }
            }
        });
    }
}

#[cfg(feature = "tracing")]
impl Drop for Round {
    fn drop(&mut self) {
        let span = self.span.take();
        let _ = quietly(|| drop(span));
    }
}

#[cfg(feature = "tracing")]
impl Drop for Left {
    fn drop(&mut self) {
        let span = self.span.take();
        let _ = quietly(|| drop(span));
    }
}

#[cfg(feature = "tracing")]
fn span(module_id: u8) -> tracing::span::EnteredSpan {
    let span = tracing::debug_span!(
        target: "fz_wpipe",
        "round",
        module_id,
        writes = tracing::field::Empty,
        epoch = tracing::field::Empty,
        queue_depth = tracing::field::Empty,
        write_us = tracing::field::Empty,
        sync_us = tracing::field::Empty,
    );
    span.entered()
}

/// The pipe has stopped for good.
#[cfg_attr(not(any(feature = "tracing", feature = "metrics")), expect(unused_variables, reason = "nobody observes"))]
pub(crate) fn stopped(error: &PipeError) {
    #[cfg(feature = "tracing")]
    let _ = quietly(|| {
        let cause = error.io_error().map(tracing::field::display);
        tracing::error!(target: "fz_wpipe", error = %error, cause, "stopped");
    });
    #[cfg(feature = "metrics")]
    let _ = quietly(|| {
        metrics::counter!("fz_wpipe_stopped", "module_id" => label(error.module_id())).increment(1);
    });
}

#[cfg(feature = "metrics")]
fn label(module_id: u8) -> String {
    module_id.to_string()
}
