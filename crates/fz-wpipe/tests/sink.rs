//! The sink: what is sent becomes durable with the flush, a refused request comes back.

mod disk;
mod rig;
mod watchdog;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use disk::{Call, EIO, Fault};
use futures_util::{Sink, SinkExt, StreamExt, stream};
use fz_wpipe::{PipeErrorKind, WriteSink};
use rig::{Rig, SLOTS, lazy, tag_at};
use watchdog::finishes;

#[test]
fn d_forwarding_a_stream_makes_all_of_it_durable() {
    finishes(|| {
        for capacity in [1, 3, 16_384] {
            let rig = Rig::new(lazy().queue_capacity(capacity));
            let requests = stream::iter((0..SLOTS).map(|slot| Ok(rig.request(slot, 1, slot + 1))));
            pollster::block_on(requests.forward(rig.pipe.sink())).unwrap();
            assert_eq!(rig.pipe.durable_epoch(), SLOTS, "before the pipe was closed");
            let stable = rig.disk.stable();
            assert!((0..SLOTS).all(|slot| tag_at(&stable, slot) == slot + 1));
        }
    });
}

#[test]
fn g_a_refused_request_comes_back_once_and_the_sink_goes_on() {
    finishes(|| {
        let rig = Rig::lazy();
        pollster::block_on(async {
            let mut sink = rig.pipe.sink();
            sink.send(rig.request(0, 1, 1)).await.unwrap();
            let error = sink.send(rig.request(SLOTS, 2, 5)).await.unwrap_err();
            assert!(matches!(error.kind(), PipeErrorKind::OutOfRange { .. }));
            let rejected = sink.take_rejected().expect("the request comes back");
            assert_eq!((rejected.slot_index, tag_at(rejected.allocation.as_slice(), 1)), (SLOTS, 5));
            assert!(sink.take_rejected().is_none());
            sink.send(rig.request(1, 1, 2)).await.unwrap();
            sink.close().await.unwrap();
        });
        assert_eq!(rig.pipe.durable_epoch(), 2);
        rig.write(2, 3).wait().expect("closing a sink leaves the pipe open");
    });
}

fn poll_ready(sink: &mut WriteSink<&fz_wpipe::WritePipe>) -> Poll<fz_wpipe::Result<()>> {
    Pin::new(sink).poll_ready(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn f_a_sink_on_a_full_queue_is_not_ready() {
    finishes(|| {
        let rig = Rig::new(lazy().queue_capacity(1));
        rig.disk.hold(Call::Write);
        let ticket = rig.write(0, 1);
        rig.disk.wait_until_held(Call::Write);
        drop(rig.write(1, 2));
        let mut sink = rig.pipe.sink();
        assert!(poll_ready(&mut sink).is_ready());
        Pin::new(&mut sink).start_send(rig.request(2, 1, 3)).unwrap();
        assert!(poll_ready(&mut sink).is_pending(), "one request waits in the sink");
        rig.disk.release();
        pollster::block_on(sink.flush()).unwrap();
        assert_eq!(tag_at(&rig.disk.stable(), 2), 3);
        ticket.wait().unwrap();
    });
}

#[test]
fn c_a_failed_pipe_fails_the_sink_and_gives_back_what_waits() {
    finishes(|| {
        let rig = Rig::new(lazy().queue_capacity(1));
        rig.disk.fail(Call::Write, 0, Fault::Errno(EIO));
        rig.disk.hold(Call::Write);
        let ticket = rig.write(0, 1);
        rig.disk.wait_until_held(Call::Write);
        drop(rig.write(1, 2));
        let mut sink = rig.pipe.sink();
        Pin::new(&mut sink).start_send(rig.request(2, 1, 3)).unwrap();
        assert!(poll_ready(&mut sink).is_pending());
        rig.disk.release();
        let error = pollster::block_on(sink.flush()).unwrap_err();
        assert_eq!(error.id(), ticket.wait().unwrap_err().id());
        assert_eq!(sink.take_rejected().expect("it was not accepted").slot_index, 2);
        let error = pollster::block_on(sink.send(rig.request(3, 1, 4))).unwrap_err();
        assert!(error.kind().is_poison());
        assert_eq!(sink.take_rejected().expect("it was not accepted").slot_index, 3);
    });
}

#[test]
fn c_a_sink_reports_that_what_it_sent_was_lost() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
        let mut sink = rig.pipe.sink();
        pollster::block_on(async {
            sink.feed(rig.request(0, 1, 1)).await.unwrap();
            assert!(sink.flush().await.unwrap_err().kind().is_poison());
        });
        assert!(sink.take_rejected().is_none(), "it was accepted, and lost");
    });
}

#[test]
fn d_an_unused_sink_flushes_and_closes() {
    finishes(|| {
        let rig = Rig::lazy();
        let mut sink = rig.pipe.sink();
        pollster::block_on(sink.flush()).unwrap();
        pollster::block_on(sink.close()).unwrap();
        assert!(format!("{sink:?}").contains("WriteSink"));
    });
}

#[test]
fn d_a_sink_that_holds_its_pipe_runs_in_a_task_of_its_own() {
    finishes(|| {
        let rig = Rig::lazy();
        let mut sink = std::sync::Arc::clone(&rig.pipe).into_sink();
        let request = rig.request(3, 1, 9);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let sent = runtime.spawn(async move { sink.send(request).await });
        runtime.block_on(sent).unwrap().unwrap();
        assert_eq!((rig.pipe.durable_epoch(), rig.read(3)), (1, 9));
    });
}
