//! Promise C: who observes a pipe hears why it stopped, and not what followed from that, whoever tells first.

mod disk;
mod rig;
mod watchdog;

use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;

use disk::{Call, EIO, Fault};
use fz_wpipe::PipeErrorKind;
use rig::{Rig, SLOT};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use watchdog::{finishes, until};

static REASONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the reasons of the pipes that stopped.
struct Reasons;

impl Visit for Reasons {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error" {
            REASONS.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Reasons {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Self);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A waker that keeps who calls it until it may go on.
#[derive(Default)]
struct Gate {
    is_entered: AtomicBool,
    is_open: AtomicBool,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.is_entered.store(true, Ordering::SeqCst);
        until(|| self.is_open.load(Ordering::SeqCst));
    }
}

/// A read writes ahead, which fails; before it can tell, the sync that was under way fails, too, and the
/// flusher tells. The bug: subscribers heard of the sync.
#[test]
fn c_observers_hear_of_the_first_error_although_a_later_one_is_told_first() {
    tracing::subscriber::set_global_default(Reasons).unwrap();
    finishes(|| {
        let rig = Rig::new(rig::lazy().queue_capacity(2));
        rig.disk.hold(Call::Sync);
        // As a task: a thread would write ahead while it waits.
        let mut first = rig.write(0, 1);
        assert!(pin!(&mut first).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        rig.disk.wait_until_held(Call::Sync);
        for slot in 1..=2 {
            drop(rig.write(slot, slot));
        }
        // The batch makes room for two; the third waits until the queue is closed.
        let requests = [3, 4, 5].map(|slot| rig.request(slot, 1, slot));
        let [mut one, mut two, mut three] = requests.map(|request| Box::pin(rig.pipe.write_async(request)));
        let gate = Arc::new(Gate::default());
        let waker = Waker::from(Arc::clone(&gate));
        for (write, waker) in [(&mut one, Waker::noop()), (&mut two, Waker::noop()), (&mut three, &waker)] {
            assert!(pin!(write).poll(&mut Context::from_waker(waker)).is_pending(), "the queue is full");
        }
        rig.disk.fail(Call::Write, rig.disk.count(Call::Write), Fault::Errno(EIO));
        let reader = {
            let pipe = Arc::clone(&rig.pipe);
            thread::spawn(move || pipe.read(1, &mut [0; SLOT]))
        };
        until(|| gate.is_entered.load(Ordering::SeqCst));

        rig.disk.fail(Call::Sync, rig.disk.count(Call::Sync), Fault::Errno(EIO));
        rig.disk.release();
        let reason = pollster::block_on(first).unwrap_err();
        assert!(matches!(reason.kind(), PipeErrorKind::WriteFailed { first: 2, last: 3 }), "{reason}");
        until(|| !REASONS.lock().unwrap().is_empty());
        gate.is_open.store(true, Ordering::SeqCst);
        reader.join().unwrap().unwrap_err();
        assert_eq!(*REASONS.lock().unwrap(), [reason.to_string()]);
    });
}
