//! What a round tells `tracing` and `metrics`; nothing, and at no cost, without these features.
//!
//! `tracing`, target `fz_wpipe`: span `round` (debug) with the fields `module_id`, `writes`, `epoch` (the highest),
//! `queue_depth`, `write_us` and `sync_us`; event `stopped` (error) with the fields `error` and `cause`.
//!
//! `metrics`, each with the label `module_id`: counters `fz_wpipe_writes`, `fz_wpipe_syncs`, `fz_wpipe_stopped`;
//! histograms `fz_wpipe_write_seconds`, `fz_wpipe_sync_seconds`; gauges `fz_wpipe_durable_epoch`,
//! `fz_wpipe_queue_depth`.
//!
//! Subscribers and recorders are foreign code: the panic of one ends in the call, and the pipe goes on.

use fz_commit::Event;

use crate::PipeError;

/// A round, or the end, as the committer tells of it. `now` is asked for the durable epoch and the number of queued
/// writes.
#[cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    expect(unused_variables, reason = "no feature observes")
)]
pub(crate) fn event(module_id: u8, event: &Event<'_, PipeError>, now: impl Fn() -> (u64, u64)) {
    #[cfg(feature = "tracing")]
    let _ = fz_process::foreign::call(|| spans::event(module_id, event, &now));
    #[cfg(feature = "metrics")]
    let _ = fz_process::foreign::call(|| numbers::event(module_id, event, &now));
}

#[cfg(feature = "tracing")]
mod spans {
    use std::cell::RefCell;
    use std::time::Duration;

    use fz_commit::Event;
    use tracing::Span;
    use tracing::field::Empty;
    use tracing::span::EnteredSpan;

    use crate::PipeError;

    /// The span of the round that this thread runs: entered, and then left and still open.
    enum Round {
        Entered(EnteredSpan),
        Left(Span),
    }

    thread_local! {
        static ROUND: RefCell<Option<Round>> = const { RefCell::new(None) };
    }

    fn take() -> Option<Round> {
        ROUND.with(|round| round.borrow_mut().take())
    }

    fn set(round: Round) {
        // Without the borrow: the drop of a span is foreign code.
        let before = ROUND.with(|current| current.borrow_mut().replace(round));
        drop(before);
    }

    pub(super) fn event(module_id: u8, event: &Event<'_, PipeError>, now: &impl Fn() -> (u64, u64)) {
        match event {
            Event::RoundBegan => {
                drop(take());
                let span = tracing::debug_span!(
                    target: "fz_wpipe", "round",
                    module_id, writes = Empty, epoch = Empty, queue_depth = Empty, write_us = Empty, sync_us = Empty,
                );
                set(Round::Entered(span.entered()));
            }
            Event::RoundLeft => {
                if let Some(Round::Entered(span)) = take() {
                    set(Round::Left(span.exit()));
                }
            }
            Event::RoundEnded(report) => {
                if let Some(Round::Left(span)) = take() {
                    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
                    span.record("writes", report.through - report.from);
                    span.record("epoch", report.through);
                    span.record("queue_depth", now().1);
                    span.record("write_us", micros(report.write));
                    span.record("sync_us", micros(report.sync));
                }
            }
            Event::Stopped(error) => {
                let cause = error.io_error().map(tracing::field::display);
                tracing::error!(target: "fz_wpipe", error = %error, cause, "stopped");
            }
            _ => {}
        }
    }
}

#[cfg(feature = "metrics")]
mod numbers {
    use fz_commit::Event;

    use crate::PipeError;

    pub(super) fn event(module_id: u8, event: &Event<'_, PipeError>, now: &impl Fn() -> (u64, u64)) {
        let label = || module_id.to_string();
        match event {
            Event::RoundEnded(report) => {
                let writes = report.through - report.from;
                metrics::counter!("fz_wpipe_writes", "module_id" => label()).increment(writes);
                metrics::counter!("fz_wpipe_syncs", "module_id" => label()).increment(1);
                metrics::histogram!("fz_wpipe_write_seconds", "module_id" => label()).record(report.write);
                metrics::histogram!("fz_wpipe_sync_seconds", "module_id" => label()).record(report.sync);
                let epoch_gauge = metrics::gauge!("fz_wpipe_durable_epoch", "module_id" => label());
                let depth_gauge = metrics::gauge!("fz_wpipe_queue_depth", "module_id" => label());
                // The next round may have been told of already, by another thread: the last thread to set a gauge has
                // seen the newest value.
                loop {
                    let (epoch, depth) = now();
                    epoch_gauge.set(epoch as f64);
                    depth_gauge.set(depth as f64);
                    if now().0 == epoch {
                        break;
                    }
                }
            }
            Event::Stopped(_) => {
                metrics::counter!("fz_wpipe_stopped", "module_id" => label()).increment(1);
            }
            _ => {}
        }
    }
}
