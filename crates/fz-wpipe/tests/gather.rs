//! A round that gathers waits for the callers of the last ones, but not for ever: one that stays away holds no other
//! up.

mod disk;
mod rig;
mod watchdog;

use std::thread;
use std::time::Duration;

use disk::Call;
use futures_util::future::try_join_all;
use fz_wpipe::WritePipeConfig;
use rig::{Rig, lazy};
use watchdog::{finishes, until};

/// A pipe whose next rounds gather four callers: a batch of four took part in the last one, whose sync was slow.
fn gathers_four(config: WritePipeConfig) -> Rig {
    let rig = Rig::new(config);
    let clock = Rig::new(WritePipeConfig::new());
    rig.disk.hold(Call::Sync);
    thread::scope(|scope| {
        let tasks = (0..4).map(|slot| rig.write(slot, 1)).collect::<Vec<_>>();
        let round = scope.spawn(|| pollster::block_on(try_join_all(tasks)));
        rig.disk.wait_until_held(Call::Sync);
        // Rounds of another pipe, of half a millisecond or more each, pass meanwhile.
        for tick in 1..=8 {
            drop(clock.write(0, tick));
            until(|| clock.pipe.durable_epoch() == tick);
        }
        rig.disk.release();
        round.join().unwrap().unwrap();
    });
    rig
}

#[test]
fn d_a_gather_that_a_task_stays_away_from_ends() {
    finishes(|| {
        for _ in 0..20 {
            let rig = gathers_four(lazy());
            // Three of the four are back.
            let tasks = (0..3).map(|slot| rig.write(slot, 2)).collect::<Vec<_>>();
            pollster::block_on(try_join_all(tasks)).unwrap();
        }
    });
}

#[test]
fn d_a_gather_that_a_thread_stays_away_from_ends() {
    finishes(|| {
        for _ in 0..20 {
            let rig = gathers_four(lazy());
            thread::scope(|scope| {
                for slot in 0..2 {
                    let ticket = rig.write(slot, 2);
                    scope.spawn(move || ticket.wait().unwrap());
                }
            });
        }
    });
}

#[test]
fn without_gathers_the_next_writer_leads_at_once() {
    finishes(|| {
        let rig = gathers_four(lazy().gather_max(Duration::ZERO));
        let before = rig.pipe.stats().wakeups;
        rig.write(0, 2).wait().unwrap();
        assert_eq!(rig.pipe.stats().wakeups, before, "the flusher thread had nothing to wait for");
    });
}

#[test]
fn threads_that_may_not_lead_leave_each_batch_to_the_flusher_thread() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(0, 1).wait().unwrap();
        assert_eq!(rig.pipe.stats().wakeups, 0, "the writer did it");
        let rig = Rig::new(lazy().waiters_lead(false));
        rig.write(0, 1).wait().unwrap();
        assert_eq!(rig.pipe.stats().wakeups, 1);
    });
}
