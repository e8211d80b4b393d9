//! Pipes that share a flusher: one thread for all, and a slow or failed file holds no other one up.

mod disk;
mod rig;
mod watchdog;

use disk::{Call, EIO, Fault};
use fz_wpipe::{Flusher, WritePipeConfig};
use rig::{Rig, lazy};
use watchdog::{finishes, until};

#[test]
fn i_many_pipes_share_one_thread() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let rigs: Vec<_> = (0..32).map(|_| Rig::new(WritePipeConfig::new().flusher(&flusher))).collect();
        assert_eq!(flusher.threads(), 1);
        for rig in &rigs {
            drop(rig.write(0, 1)); // unawaited
        }
        until(|| rigs.iter().all(|rig| rig.pipe.durable_epoch() == 1));
        let tickets: Vec<_> = rigs.iter().map(|rig| rig.write(1, 2)).collect();
        pollster::block_on(futures_util::future::try_join_all(tickets)).unwrap();
        for rig in &rigs[..16] {
            assert_eq!(rig.pipe.close().unwrap(), 2);
        }
        assert_eq!(pollster::block_on(rigs[20].write(2, 3)).unwrap(), 3, "the others go on");
        drop(rigs);
        assert_eq!(flusher.threads(), 1);
    });
}

#[test]
fn a_disk_that_hangs_holds_no_other_pipe_up() {
    finishes(|| {
        let flusher = Flusher::new(2);
        let [slow, fast] = [(); 2].map(|()| Rig::new(lazy().flusher(&flusher)));
        slow.disk.hold(Call::Sync);
        let held = slow.write(0, 1);
        slow.pipe.flush();
        slow.disk.wait_until_held(Call::Sync);
        for write in 1..20 {
            assert_eq!(pollster::block_on(fast.write(write, write)).unwrap(), write);
        }
        assert_eq!(flusher.threads(), 2);
        fast.pipe.close().unwrap();
        assert!(!held.is_durable());
        slow.disk.release();
        assert_eq!(held.wait().unwrap(), 1);
    });
}

#[test]
fn c_a_pipe_that_failed_stops_no_other_one() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let [bad, good] = [(); 2].map(|()| Rig::new(lazy().flusher(&flusher)));
        bad.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
        assert!(pollster::block_on(bad.write(0, 1)).is_err());
        assert_eq!(pollster::block_on(good.write(0, 1)).unwrap(), 1);
        assert!(bad.pipe.close().is_err());
        assert_eq!(good.pipe.close().unwrap(), 1);
    });
}
