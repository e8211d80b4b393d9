//! What a recorder of `metrics` is told, and that nobody waits for it: promise D beside foreign code.

mod disk;
mod rig;
mod watchdog;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

use disk::{Call, EIO, Fault};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use rig::Rig;
use watchdog::{finishes, until};

/// The values by name; of histograms how many.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let of = |value| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(value) => value.into_inner(),
        DebugValue::Histogram(values) => values.len() as f64,
    };
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, _, _, value)| {
        let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
        assert_eq!(labels, [("module_id", "7")]);
        (key.key().name().to_owned(), of(value))
    })
    .collect()
}

fn named(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
    values.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn d_a_recorder_hears_of_each_round_that_made_something_durable() {
    let recorder = DebuggingRecorder::new();
    let rig = Rig::new(rig::lazy().module_id(7));
    with_local_recorder(&recorder, || {
        for write in 1..=3 {
            drop(rig.write(write, write));
            rig.write(write + 10, write).wait().unwrap();
        }
    });
    let expected = named(&[
        ("fz_wpipe_writes", 6.0),
        ("fz_wpipe_syncs", 3.0),
        ("fz_wpipe_write_seconds", 3.0),
        ("fz_wpipe_sync_seconds", 3.0),
        ("fz_wpipe_durable_epoch", 6.0),
        ("fz_wpipe_queue_depth", 0.0),
    ]);
    assert_eq!(values(&recorder.snapshotter()), expected);
}

/// The bug: the epochs of a sync that came through after the pipe had failed were reported durable.
#[test]
fn c_a_recorder_hears_of_the_stop_and_of_nothing_durable_after_it() {
    finishes(|| {
        let rig = Rig::new(rig::lazy().module_id(7));
        rig.disk.hold(Call::Sync);
        rig.disk.fail(Call::Write, 1, Fault::Errno(EIO));
        let in_flight = rig.write(0, 1);
        let leader = thread::spawn(move || {
            let recorder = DebuggingRecorder::new();
            with_local_recorder(&recorder, || in_flight.wait()).unwrap_err();
            values(&recorder.snapshotter())
        });
        rig.disk.wait_until_held(Call::Sync);
        drop(rig.write(9, 2));
        let recorder = DebuggingRecorder::new();
        // The read writes ahead, and that fails.
        with_local_recorder(&recorder, || rig.pipe.read(9, &mut [0; rig::SLOT])).unwrap_err();
        rig.disk.release();
        assert_eq!(leader.join().unwrap(), named(&[]), "the sync that came through covered what is not durable");
        assert_eq!(values(&recorder.snapshotter()), named(&[("fz_wpipe_stopped", 1.0)]));
    });
}

/// Its counters do what the test says, when they are counted up.
struct Foreign(Arc<dyn Fn() + Send + Sync>);

struct ForeignCounter(Arc<dyn Fn() + Send + Sync>);

impl CounterFn for ForeignCounter {
    fn increment(&self, _: u64) {
        (self.0)();
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Foreign {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(ForeignCounter(Arc::clone(&self.0))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn d_a_recorder_that_panics_stops_no_pipe() {
    finishes(|| {
        let rig = Rig::lazy();
        let panics = Foreign(Arc::new(|| panic!("a recorder panics")));
        with_local_recorder(&panics, || {
            for write in 1..=2 {
                assert_eq!(rig.write(write, write).wait().expect("the pipe goes on"), write);
            }
        });
        assert_eq!(rig.pipe.close().expect("nothing failed"), 2);
    });
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The bug: a round told the recorder before it gave the lead back and woke the tasks.
#[test]
fn d_neither_a_task_nor_another_threads_round_waits_for_the_recorder_of_a_leader() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        rig.disk.hold(Call::Sync);
        let [leads, mut task] = [1, 2].map(|slot| rig.write(slot, slot));
        let woken = Arc::new(Flag(AtomicBool::new(false)));
        let told = Arc::new(AtomicU64::new(0));
        let waits_for_others = {
            let (rig, woken, told) = (Arc::clone(&rig), Arc::clone(&woken), Arc::clone(&told));
            Foreign(Arc::new(move || {
                if told.fetch_add(1, Ordering::SeqCst) == 0 {
                    until(|| woken.0.load(Ordering::SeqCst));
                    let next = rig.write(3, 3);
                    assert_eq!(thread::spawn(move || next.wait()).join().unwrap().unwrap(), 3);
                }
            }))
        };
        let leader = thread::spawn(move || with_local_recorder(&waits_for_others, || leads.wait()));
        rig.disk.wait_until_held(Call::Sync);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        rig.disk.release();
        assert!(leader.join().unwrap().unwrap() >= 2);
        assert!(told.load(Ordering::SeqCst) > 0, "the leader's recorder was told");
    });
}
