//! Promise I: a pipe without work makes no wake-ups; a pipe with an unawaited write wakes once.

mod disk;
mod rig;
mod watchdog;

use disk::Call;
use fz_wpipe::WritePipeConfig;
use rig::Rig;
use watchdog::{finishes, until};

/// Lets time pass, measured in rounds of another pipe with the same interval: each of them took half
/// of one at least.
fn pass_intervals(count: u64) {
    let clock = Rig::new(WritePipeConfig::new());
    for tick in 1..=count {
        drop(clock.write(tick % 200, tick));
        until(|| clock.pipe.durable_epoch() == tick);
    }
}

fn wakeups(rig: &Rig) -> u64 {
    rig.pipe.stats().wakeups
}

/// Within a few intervals, it wakes no more.
fn rests(rig: &Rig) {
    pass_intervals(20);
    let before = wakeups(rig);
    pass_intervals(30);
    assert_eq!(wakeups(rig), before);
}

#[test]
fn i_an_idle_pipe_does_not_wake() {
    finishes(|| {
        let fresh = Rig::new(WritePipeConfig::new());
        let used = Rig::new(WritePipeConfig::new());
        drop(used.write(0, 1));
        until(|| used.pipe.durable_epoch() == 1);
        pass_intervals(5);
        let before = wakeups(&used);
        pass_intervals(50);
        assert_eq!(wakeups(&fresh), 0, "it never had work");
        assert_eq!(wakeups(&used), before, "it has none any more");
        assert_eq!(fresh.disk.count(Call::Sync), 0);
        assert_eq!(used.disk.count(Call::Sync), 1);
    });
}

#[test]
fn i_an_unawaited_write_wakes_the_flusher_once() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        for write in 1..=5 {
            let before = wakeups(&rig);
            drop(rig.write(write, write));
            until(|| rig.pipe.durable_epoch() == write);
            pass_intervals(5);
            assert_eq!(wakeups(&rig), before + 1, "write {write}");
            assert_eq!(rig.disk.count(Call::Sync), usize::try_from(write).unwrap());
        }
    });
}

#[test]
fn i_a_burst_of_unawaited_writes_wakes_the_flusher_once() {
    finishes(|| {
        let rig = loop {
            let rig = Rig::new(WritePipeConfig::new().flush_interval(std::time::Duration::from_millis(200)));
            for slot in 0..100 {
                drop(rig.write(slot, 1));
            }
            // Else the deadline fell into the burst, on a machine that was busy with others: again.
            if wakeups(&rig) == 0 {
                break rig;
            }
        };
        until(|| rig.pipe.durable_epoch() == 100);
        pass_intervals(5);
        assert_eq!(wakeups(&rig), 1);
    });
}

#[test]
fn i_a_pipe_rests_after_threads_did_its_rounds() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        for write in 1..200 {
            rig.write(write, write).wait().unwrap();
        }
        rests(&rig);
        // The last round was a thread's, and it may be the flusher thread that looks after this one.
        rig.write(1, 1).wait().unwrap();
        drop(rig.write(2, 2));
        until(|| rig.pipe.durable_epoch() == 201);
        rests(&rig);
    });
}

#[test]
fn i_a_pipe_rests_after_tasks_lingered() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        futures_executor::block_on(async {
            for write in 1..200 {
                rig.write(write, write).await.unwrap();
            }
        });
        rests(&rig);
        assert_eq!(rig.disk.count(Call::Sync), 199, "a round without work");
    });
}

#[test]
fn i_a_read_wakes_nobody() {
    finishes(|| {
        let rig = Rig::lazy();
        for write in 1..20 {
            drop(rig.write(1, write));
            assert_eq!(rig.read(1), write);
        }
        assert_eq!(wakeups(&rig), 0);
    });
}
