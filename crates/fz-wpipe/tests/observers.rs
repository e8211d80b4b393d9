//! Promise D beside a subscriber of `tracing`, which is foreign code, and what it is told of a pipe that stops.

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

/// Panics when it hears that a pipe has stopped.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "fz_wpipe" && *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        STOPPED.fetch_add(1, Ordering::SeqCst);
        panic!("a subscriber panics");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn d_a_subscriber_that_panics_when_a_pipe_stops_keeps_nobody_waiting_and_hears_of_it_once() {
    tracing::subscriber::set_global_default(Panics).unwrap();
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
