//! Promise D beside a subscriber of `tracing`, which is foreign code, and what it is told of a pipe
//! that works and of one that stops.

mod disk;
mod rig;
mod watchdog;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;

use disk::{Call, EIO, Fault};
use rig::Rig;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use watchdog::finishes;

static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// At which call about a round's span to panic, of those that follow.
static PANICS_AT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Panics when it hears that a pipe has stopped, and at one of its calls about a span.
struct Panics;

fn call_of_a_span() {
    let at = PANICS_AT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |at| Some(at.wrapping_sub(1)));
    assert_ne!(at, Ok(0), "a subscriber panics in a round");
}

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "fz_wpipe"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        call_of_a_span();
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        call_of_a_span();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(*event.metadata().level(), Level::ERROR, "there is one event");
        STOPPED.fetch_add(1, Ordering::SeqCst);
        panic!("a subscriber panics");
    }

    fn enter(&self, _: &Id) {
        call_of_a_span();
    }

    fn exit(&self, _: &Id) {
        call_of_a_span();
    }
}

/// One test: there is one subscriber, and it counts.
#[test]
fn d_a_subscriber_that_panics_keeps_nobody_waiting_stops_no_pipe_and_hears_of_a_stop_once() {
    tracing::subscriber::set_global_default(Panics).unwrap();
    finishes(|| {
        // A span is made, entered, told five values and left.
        for call in 0..8 {
            let rig = Rig::lazy();
            PANICS_AT.store(call, Ordering::SeqCst);
            assert_eq!(rig.write(1, 1).wait().expect("the pipe goes on"), 1);
            assert!(PANICS_AT.load(Ordering::SeqCst) > 8, "call {call} did not come");
            assert_eq!(rig.write(2, 2).wait().expect("the pipe goes on"), 2);
            assert_eq!(rig.pipe.close().expect("nothing failed"), 2);
        }
        PANICS_AT.store(usize::MAX, Ordering::SeqCst);
    });
    finishes(|| {
        let mut stopped = 0;
        for call in [Call::Write, Call::Sync] {
            for is_task_first in [false, true] {
                let rig = Rig::lazy();
                rig.disk.fail(call, 0, Fault::Errno(EIO));
                let [mut task, thread, unawaited] = [1, 2, 3].map(|slot| rig.write(slot, slot));
                if is_task_first {
                    // The flusher leads.
                    let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
                }
                let thread = thread::spawn(move || thread.wait());
                assert!(thread.join().expect("a waiter gets the error, not the panic").is_err());
                assert!(pollster::block_on(task).is_err());
                assert!(unawaited.wait().is_err());
                assert!(rig.pipe.write(rig.request(4, 1, 4)).is_err());
                assert!(rig.pipe.close().is_err());
                let file = rig.file;
                drop(rig.pipe);
                watchdog::until(|| std::sync::Arc::strong_count(&file) == 1);
                stopped += 1;
                assert_eq!(STOPPED.load(Ordering::SeqCst), stopped, "once for each pipe");
            }
        }
    });
}
