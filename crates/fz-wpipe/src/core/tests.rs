//! Several threads take pieces of the queue, and one at a time writes its own: in the order in which they were
//! accepted, and nothing behind one that failed. Whoever looks whether anything is left waits for what is being
//! written.

use std::sync::TryLockError;
use std::thread::{Scope, ScopedJoinHandle};

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::SlotFileConfig;

use super::*;
use crate::disk::{Call, Disk, EIO, Fault};
use crate::flood::Left;
use crate::watchdog::{finishes, until};
use crate::{WritePipe, WriteRequest};

const SLOT: usize = 64;

struct Rig {
    disk: Disk,
    pool: BufPool,
    pipe: WritePipe,
}

/// A thread that writes a batch, and what it returns if that does not fail.
type Batch<'scope> = ScopedJoinHandle<'scope, Option<(u64, bool)>>;

/// Such that a write is much.
fn small_pieces() -> WritePipeConfig {
    WritePipeConfig::new().piece_writes(2)
}

impl Rig {
    /// The lead is taken, so that the flusher thread writes nothing.
    fn new(config: WritePipeConfig) -> Self {
        let disk = Disk::default();
        let of_file = SlotFileConfig::new("/slots", SLOT).initial_slots(64);
        let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), of_file).unwrap());
        disk.start();
        let pipe = WritePipe::new(config.flush_interval(Duration::from_secs(3600)), file).unwrap();
        assert!(pipe.core.completion.lead.try_acquire());
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64 * SLOT)).unwrap();
        Self { disk, pool, pipe }
    }

    fn core(&self) -> &Core {
        &self.pipe.core
    }

    fn write(&self, slot_index: u64, tag: u8) {
        let mut allocation = self.pool.allocate(1).unwrap();
        allocation.as_mut_slice().fill(tag);
        drop(self.pipe.write(WriteRequest { allocation, slot_index }).unwrap());
    }

    /// On a thread of its own, as readers and waiting threads do.
    fn write_batch<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Batch<'scope> {
        scope.spawn(|| self.core().guarded("write", || self.core().write_batch(u64::MAX, Next::Others)))
    }

    /// Until all that was accepted is taken.
    fn wait_until_taken(&self) {
        until(|| self.core().sender.is_empty());
    }

    /// Two pieces, the second of which covers slot 0 of the first. One is being written, and held back; the other one
    /// is taken. Returns what the two threads return.
    fn in_flight<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> [Batch<'scope>; 2] {
        self.disk.hold(Call::Write);
        let batches = [1, 2].map(|tag| {
            self.write(u64::from(tag), tag);
            self.write(0, tag);
            let batch = self.write_batch(scope);
            self.wait_until_taken();
            batch
        });
        self.disk.wait_until_held(Call::Write);
        batches
    }

    /// What the kernel has in the first slots.
    fn tags<const N: usize>(&self) -> [u8; N] {
        let cache = self.disk.cache();
        std::array::from_fn(|slot| cache[slot * SLOT])
    }

    /// Gives the lead back.
    fn close(self) {
        let wishes = self.core().completion.lead.release();
        self.core().hand_over(false, wishes);
        let closed = self.pipe.close();
        assert_eq!(closed.is_err(), self.core().completion.failure().is_some(), "{closed:?}");
    }
}

#[test]
fn b_pieces_are_written_in_the_order_in_which_they_were_taken() {
    finishes(|| {
        let rig = Rig::new(small_pieces());
        std::thread::scope(|scope| {
            let [first, second] = rig.in_flight(scope);
            assert_eq!((rig.tags(), rig.core().written()), ([0; 3], 0));
            // Nobody takes it while another piece waits.
            rig.write(0, 3);
            let third = rig.write_batch(scope);
            rig.disk.release();
            let written = [first, second, third].map(|batch| batch.join().unwrap());
            assert_eq!(written, [Some((2, false)), Some((4, false)), Some((5, false))]);
        });
        assert_eq!((rig.tags(), rig.core().written()), ([3, 1, 2], 5));
        rig.close();
    });
}

#[test]
fn b_who_takes_nothing_waits_for_what_others_have_taken() {
    finishes(|| {
        let rig = Rig::new(small_pieces());
        std::thread::scope(|scope| {
            let others = rig.in_flight(scope);
            let batch = rig.write_batch(scope);
            rig.disk.release();
            assert_eq!(batch.join().unwrap(), Some((4, false)));
            assert_eq!(others.map(|batch| batch.join().unwrap()), [Some((2, false)), Some((4, false))]);
        });
        // Three took part in it, and one of them wrote nothing.
        assert_eq!(rig.pipe.stats().batches, 2);
        rig.close();
    });
}

#[test]
fn c_what_was_taken_behind_a_piece_that_failed_is_not_written() {
    for fault in [Fault::Errno(EIO), Fault::Panic] {
        finishes(move || {
            let rig = Rig::new(small_pieces());
            std::thread::scope(|scope| {
                let [first, second] = rig.in_flight(scope);
                rig.disk.fail(Call::Write, 0, fault);
                rig.disk.release();
                assert_eq!(first.join().unwrap(), None);
                // It was too late for it.
                assert_eq!(second.join().unwrap(), Some((0, false)));
            });
            let reason = rig.core().completion.reason().unwrap().kind();
            match fault {
                Fault::Panic => assert!(matches!(reason, PipeErrorKind::Panicked { .. }), "{reason:?}"),
                _ => assert!(matches!(reason, PipeErrorKind::WriteFailed { first: 1, last: 2 }), "{reason:?}"),
            }
            assert_eq!((rig.tags(), rig.core().written()), ([0; 3], 0));
            assert_eq!((rig.pool.stats().in_use, rig.pipe.stats().batches), (0, 0), "all is given back");
            rig.close();
        });
    }
}

/// Though nobody has declared it yet: of writes to one slot, which are all at hand until they are written.
#[test]
fn c_who_comes_after_a_piece_that_failed_finds_the_reason_and_nothing_of_it() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        rig.disk.fail(Call::Write, 0, Fault::Errno(EIO));
        [1, 2].into_iter().for_each(|tag| rig.write(0, tag));
        rig.core().write_batch(u64::MAX, Next::Others).unwrap_err();
        assert!(rig.core().completion.reason().is_some());
        assert_eq!(rig.pool.stats().in_use, 0);
        for _ in 0..2 {
            rig.write(1, 3);
            assert_eq!(rig.core().write_batch(u64::MAX, Next::Others).unwrap(), (0, false));
        }
        rig.core().poison(rig.core().completion.reason().unwrap());
        rig.close();
    });
}

#[test]
fn k_who_needs_some_of_the_queue_writes_no_more_of_it() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        (0..3).for_each(|slot| rig.write(slot, 1));
        assert_eq!(rig.core().write_batch(1, Next::Others).unwrap(), (1, false));
        assert_eq!(rig.core().sender.len(), 2);
        rig.close();
    });
}

#[test]
fn what_two_threads_write_together_is_begun_as_if_one_had() {
    finishes(|| {
        let rig = Rig::new(small_pieces().write_back_bytes(4 * SLOT));
        let write = |slots: std::ops::Range<u64>, next| {
            slots.for_each(|slot| rig.write(slot, 1));
            rig.core().write_batch(u64::MAX, next).unwrap();
            rig.disk.count(Call::WriteBack)
        };
        assert_eq!([0..2, 2..4, 4..6].map(|slots| write(slots, Next::Others)), [0, 0, 1]);
        // What a sync covers is not begun once more.
        assert_eq!([6..7, 7..9, 9..11, 11..13].map(|slots| write(slots, Next::Sync)), [1; 4]);
        rig.close();
    });
}

#[test]
fn c_who_begins_with_what_others_wrote_and_is_refused_names_all_of_it() {
    finishes(|| {
        let rig = Rig::new(small_pieces().write_back_bytes(4 * SLOT));
        rig.disk.fail(Call::WriteBack, 0, Fault::Errno(EIO));
        std::thread::scope(|scope| {
            let written = [0..2, 2..4, 4..6].map(|slots| {
                slots.for_each(|slot| rig.write(slot, 1));
                rig.write_batch(scope).join().unwrap()
            });
            assert_eq!(written, [Some((2, false)), Some((4, false)), None]);
        });
        let reason = rig.core().completion.reason().unwrap().kind();
        assert!(matches!(reason, PipeErrorKind::WriteFailed { first: 1, last: 6 }), "{reason:?}");
        rig.close();
    });
}

/// Little, that is: it goes on growing, and is in the queue's capacity.
#[test]
fn f_little_is_not_taken_before_it_can_be_written() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new().queue_capacity(64));
        rig.disk.hold(Call::Write);
        std::thread::scope(|scope| {
            rig.write(0, 1);
            let first = rig.write_batch(scope);
            rig.disk.wait_until_held(Call::Write);
            (1..4).for_each(|slot| rig.write(slot, 1));
            let second = rig.write_batch(scope);
            until(|| rig.core().intake.try_lock().is_err());
            rig.write(4, 1);
            assert_eq!(rig.core().sender.len(), 4);
            rig.disk.release();
            assert_eq!(first.join().unwrap(), Some((1, false)));
            assert_eq!(second.join().unwrap(), Some((5, false)), "and what came while it waited");
        });
        rig.close();
    });
}

/// In what state the flusher thread leaves the queue beside a thread whose piece the disk holds back.
fn left_beside(write: impl Fn(&Core) + Send + Sync + 'static) -> Left {
    finishes(move || {
        let rig = Rig::new(small_pieces().queue_capacity(4));
        rig.disk.hold(Call::Write);
        rig.write(0, 1);
        let left = std::thread::scope(|scope| {
            scope.spawn(|| write(rig.core()));
            rig.disk.wait_until_held(Call::Write);
            let rest = scope.spawn(|| rig.core().rest());
            // Either it waits for the piece, or it did not.
            let is_waiting = || matches!(rig.core().intake.try_lock(), Err(TryLockError::WouldBlock));
            until(|| is_waiting() || rest.is_finished());
            rig.disk.release();
            rest.join().unwrap()
        });
        rig.close();
        left
    })
}

#[test]
fn i_the_flusher_thread_does_not_go_to_sleep_beside_a_reader_that_writes() {
    assert_eq!(left_beside(|core| core.write_through(1).unwrap()), Left::Filling);
}

#[test]
fn i_the_flusher_thread_does_not_go_to_sleep_beside_a_waiter_that_writes() {
    assert_eq!(left_beside(Core::write_ahead), Left::Filling);
}
