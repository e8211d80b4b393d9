//! How a program without a waiting task or thread hears of its writes: callbacks, and the future of the pipe's end.

mod disk;
mod rig;
mod watchdog;

use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use disk::{Call, EIO, Fault};
use rig::Rig;
use watchdog::finishes;

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn d_a_callback_is_called_once_with_the_durable_epoch() {
    finishes(|| {
        let rig = Rig::lazy();
        let (tell, told) = channel();
        rig.write(0, 1).on_durable({
            let tell = tell.clone();
            move |outcome| tell.send(outcome).unwrap()
        });
        assert_eq!(told.recv().unwrap().unwrap(), 1, "it asks for a round, and is called by the thread that leads it");
        rig.pipe.ticket(1).unwrap().on_durable(move |outcome| tell.send(outcome).unwrap());
        assert_eq!(told.try_recv().unwrap().unwrap(), 1, "at once: it is durable");
        assert!(told.recv().is_err(), "each was called once");
    });
}

#[test]
fn c_d_callbacks_and_the_future_of_the_end_hear_of_a_failure() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
        let (mut failed, mut dropped) = (rig.pipe.failed(), rig.pipe.failed());
        assert!(poll_once(&mut failed).is_pending() && poll_once(&mut dropped).is_pending());
        drop(dropped);
        let (tell, told) = channel();
        rig.write(0, 1).on_durable(move |outcome| tell.send(outcome).unwrap());
        let failure = told.recv().unwrap().unwrap_err();
        assert!(failure.kind().is_poison());
        assert_eq!(pollster::block_on(failed).map(|error| error.id()), Some(failure.id()));
    });
}
