//! One flusher serves many committers.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use fz_commit::{CommitConfig, Committer, Fault, Flusher, Medium};

use crate::support::{Call, How, NEVER, append, committer, finishes, until};

#[test]
fn a_hundred_committers_share_one_thread() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let all: Vec<_> = (0..100)
            .map(|_| committer(CommitConfig::new().flush_interval(Duration::from_millis(2)).flusher(&flusher)))
            .collect();
        for (_, committer) in &all {
            drop(append(committer));
        }
        until(|| all.iter().all(|(_, committer)| committer.durable() == 1));
        let mut leaders: Vec<_> = all.iter().flat_map(|(script, _)| script.leaders()).collect();
        leaders.dedup();
        assert_eq!((leaders.len(), flusher.threads()), (1, 1));
    });
}

#[test]
fn i_idle_committers_are_not_woken_by_a_busy_one() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let config = || CommitConfig::new().flush_interval(Duration::from_millis(1)).flusher(&flusher);
        let idle: Vec<_> = (0..20).map(|_| committer(config())).collect();
        for (_, committer) in &idle {
            append(committer).wait().unwrap();
        }
        let wakeups = || idle.iter().map(|(_, committer)| committer.stats().wakeups).sum::<u64>();
        let (_script, busy) = committer(config());
        // Each time as long as an interval. The idle ones have come to rest by then.
        let work = |rounds: u64| {
            for _ in 0..rounds {
                let position = append(&busy).position();
                until(|| busy.durable() >= position);
            }
        };
        work(10);
        let before = wakeups();
        work(50);
        assert_eq!(wakeups(), before);
    });
}

#[test]
fn a_medium_that_hangs_does_not_hold_the_others_up() {
    // Both are rung before a thread comes to the first.
    for _ in 0..20 {
        finishes(|| {
            let flusher = Flusher::new(2);
            let config = || CommitConfig::new().flush_interval(NEVER).flusher(&flusher);
            let (hangs, hanging) = committer(config());
            let (_script, other) = committer(config());
            hangs.hold(Call::Sync);
            drop((append(&hanging), append(&other)));
            hanging.demand();
            other.demand();
            hangs.until_entered(Call::Sync, 1);
            until(|| other.durable() == 1);
            hangs.release(Call::Sync);
        });
    }
}

#[test]
fn i_unawaited_work_is_written_within_the_interval_beside_a_medium_that_hangs() {
    finishes(|| {
        let flusher = Flusher::new(2);
        let config = |interval| CommitConfig::new().flush_interval(interval).flusher(&flusher);
        let (hangs, hanging) = committer(config(NEVER));
        let (_script, other) = committer(config(Duration::from_millis(50)));
        hangs.hold(Call::Sync);
        drop((append(&other), append(&hanging)));
        hanging.demand();
        hangs.until_entered(Call::Sync, 1);
        until(|| other.durable() == 1);
        drop(append(&other));
        until(|| other.durable() == 2);
        hangs.release(Call::Sync);
    });
}

#[test]
fn as_many_media_hang_as_there_are_threads_but_one() {
    finishes(|| {
        let flusher = Flusher::new(4);
        let config = || CommitConfig::new().flush_interval(Duration::from_millis(1)).flusher(&flusher);
        let hanging: Vec<_> = (0..3).map(|_| committer(config())).collect();
        let others: Vec<_> = (0..3).map(|_| committer(config())).collect();
        for (script, committer) in &hanging {
            script.hold(Call::Sync);
            drop(append(committer));
        }
        for (_, committer) in &others {
            drop(append(committer));
        }
        until(|| others.iter().all(|(_, committer)| committer.durable() == 1));
        hanging.iter().for_each(|(script, _)| script.until_entered(Call::Sync, 1));
        assert!(flusher.threads() <= 4);
        hanging.iter().for_each(|(script, _)| script.release(Call::Sync));
    });
}

#[test]
fn c_a_failure_of_one_committer_leaves_the_others_alone() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let config = || CommitConfig::new().waiters_lead(false).flusher(&flusher);
        let (script, failing) = committer(config());
        let (_script, other) = committer(config());
        script.fail(Call::Write, 0, How::Bomb);
        assert!(append(&failing).wait().is_err());
        assert_eq!(append(&other).wait(), Ok(1));
    });
}

#[test]
fn e_committers_of_one_flusher_end_one_by_one() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let config = || CommitConfig::new().flush_interval(NEVER).waiters_lead(false).flusher(&flusher);
        let mut all: Vec<_> = (0..10).map(|_| committer(config())).collect();
        drop(flusher.clone());
        while let Some((script, ended)) = all.pop() {
            drop(append(&ended));
            drop(ended);
            assert_eq!(script.stable(), 10 - all.len() as u64);
            all.iter().for_each(|(_, committer)| assert!(append(committer).wait().is_ok()));
        }
    });
}

thread_local! {
    static AT_THE_END: RefCell<Option<Farewell>> = const { RefCell::new(None) };
}

/// Says that its thread ends.
struct Farewell(mpsc::Sender<()>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn the_threads_end_with_the_last_handle() {
    finishes(|| {
        for handle_goes_last in [false, true] {
            let flusher = Flusher::new(1);
            let (script, committer) = committer(CommitConfig::new().waiters_lead(false).flusher(&flusher));
            let (ended, has_ended) = mpsc::channel();
            script.in_write(move || AT_THE_END.with(|end| *end.borrow_mut() = Some(Farewell(ended))));
            append(&committer).wait().unwrap();
            let both: [Box<dyn FnOnce()>; 2] = [Box::new(|| drop(committer)), Box::new(|| drop(flusher))];
            let mut both = Vec::from(both);
            if handle_goes_last {
                both.reverse();
            }
            both.pop().unwrap()();
            assert!(has_ended.try_recv().is_err(), "there is still use for the thread");
            both.pop().unwrap()();
            has_ended.recv().unwrap();
        }
    });
}

#[test]
fn a_committers_own_thread_has_ended_when_close_returns() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().waiters_lead(false));
        let (ended, has_ended) = mpsc::channel();
        script.in_write(move || AT_THE_END.with(|end| *end.borrow_mut() = Some(Farewell(ended))));
        append(&committer).wait().unwrap();
        committer.close().unwrap();
        assert_eq!(has_ended.try_recv(), Ok(()));
    });
}

#[cfg(unix)]
#[test]
fn the_threads_take_no_signals() {
    use nix::sys::signal::{SIGINT, SIGTERM, SIGUSR1, SigSet};
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().waiters_lead(false));
        let (mask, masks) = mpsc::channel();
        script.in_write(move || mask.send(SigSet::thread_get_mask().unwrap()).unwrap());
        append(&committer).wait().unwrap();
        let mask = masks.recv().unwrap();
        assert!([SIGINT, SIGTERM, SIGUSR1].into_iter().all(|signal| mask.contains(signal)));
    });
}

#[test]
fn a_callback_may_wait_for_another_committer_of_its_flusher() {
    for waiters_lead in [true, false] {
        finishes(move || {
            let flusher = Flusher::new(1);
            let config = || CommitConfig::new().flush_interval(NEVER).waiters_lead(waiters_lead).flusher(&flusher);
            let (_script, one) = committer(config());
            let (_script, two) = committer(config());
            let (closed, is_closed) = mpsc::channel();
            let two = Mutex::new(Some(two));
            append(&one).on_durable(move |_| {
                let two = two.lock().unwrap().take().unwrap();
                let ticket = append(&two);
                // The flusher is asked for a round of the other committer, then waited for.
                two.demand();
                assert_eq!(ticket.wait(), Ok(1));
                closed.send(two.close()).unwrap();
            });
            assert_eq!(is_closed.recv().unwrap(), Ok(1));
            assert_eq!(append(&one).wait(), Ok(2));
        });
    }
}

/// A medium whose drop panics.
struct Panicking(Arc<Mutex<Option<Committer<Panicking>>>>);

impl Drop for Panicking {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("the medium's drop");
        }
    }
}

impl Medium for Panicking {
    type Error = Fault;

    fn accepted(&self) -> u64 {
        1
    }

    fn write(&self, _through: u64) -> Result<u64, Fault> {
        // The last handle goes inside the round, so that the flusher thread drops the medium.
        let last = self.0.lock().unwrap().take();
        drop(last);
        Ok(1)
    }

    fn sync(&self, _through: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn announce_idle(&self) -> bool {
        true
    }

    fn refuse(&self) {}

    fn discard(&self) {}

    fn fault(&self, fault: Fault) -> Fault {
        fault
    }
}

#[test]
fn a_medium_whose_drop_panics_leaves_the_flusher_to_the_others() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let config = || CommitConfig::new().flush_interval(NEVER).waiters_lead(false).flusher(&flusher);
        let (_script, other) = committer(config());
        let place = Arc::new(Mutex::new(None));
        let panicking = Committer::new(Panicking(Arc::clone(&place)), config()).unwrap();
        let ticket = panicking.ticket(1);
        {
            let mut place = place.lock().unwrap();
            place.insert(panicking).demand();
        }
        until(|| ticket.status() == Some(Ok(1)));
        until(|| Arc::strong_count(&place) == 1);
        assert_eq!(append(&other).wait(), Ok(1));
    });
}
