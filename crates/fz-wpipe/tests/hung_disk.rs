//! Promise E beside a disk that hangs: a close with a time limit ends, and so does a pipe that was abandoned.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use disk::Call;
use fz_wpipe::PipeErrorKind;
use rig::{Rig, lazy};
use watchdog::{finishes, until};

#[test]
fn e_a_close_with_a_time_limit_ends_beside_a_disk_that_hangs() {
    finishes(|| {
        let rig = Rig::new(lazy().module_id(5));
        rig.disk.hold(Call::Sync);
        let ticket = rig.write(0, 1);
        let waited = Duration::from_millis(1);
        let error = rig.pipe.close_timeout(waited).unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::TimedOut { epoch: 1, durable: 0, waited });
        assert_eq!(error.module_id(), 5);
        assert!(rig.pipe.write(rig.request(0, 1, 2)).is_err(), "it is closing");
        rig.disk.release();
        assert_eq!(rig.pipe.close_timeout(Duration::MAX).unwrap(), 1, "it went on");
        assert!(ticket.is_durable());
        assert_eq!(rig.pipe.close().unwrap(), 1);
    });
}

#[test]
fn e_an_abandoned_pipe_waits_for_no_disk() {
    finishes(|| {
        for call in [Call::Write, Call::Sync] {
            let rig = Rig::lazy();
            rig.disk.hold(call);
            let ticket = rig.write(0, 1);
            let waiter = {
                let ticket = ticket.clone();
                thread::spawn(move || ticket.wait())
            };
            rig.disk.wait_until_held(call);
            let queued = rig.write(1, 2);
            assert_eq!(rig.pipe.abandon(), 0);
            for lost in [&ticket, &queued] {
                let error = lost.status().expect("it is settled").unwrap_err();
                assert_eq!(*error.kind(), PipeErrorKind::Abandoned { durable: 0 });
                assert!(error.kind().is_poison());
            }
            assert!(rig.pipe.write(rig.request(0, 1, 3)).is_err());
            let Rig { disk, file, pool, pipe } = rig;
            // Nothing of this waits for the call that hangs.
            drop(pipe);
            disk.release();
            assert!(waiter.join().unwrap().is_err(), "the durable epoch stands still");
            until(|| Arc::strong_count(&file) == 1);
            until(|| pool.stats().in_use == 0);
        }
    });
}
