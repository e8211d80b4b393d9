//! Promise H: pool, pipe, file, tickets and allocations may be dropped in any order.

mod disk;
mod rig;
mod watchdog;

use disk::{Call, Fault};
use rig::{Rig, lazy, tag_at, tagged};
use watchdog::finishes;

/// All orders of `0..count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let insert = |shorter: Vec<usize>| {
        (0..count).map(move |at| {
            let mut longer = shorter.clone();
            longer.insert(at, count - 1);
            longer
        })
    };
    permutations(count - 1).into_iter().flat_map(insert).collect()
}

type Owned = Option<Box<dyn std::any::Any>>;

/// Drops everything in `order`; the write must be durable once the pipe is gone, and everything
/// released in the end.
fn dropped_in(order: &[usize], fails: bool) {
    let rig = Rig::new(lazy());
    if fails {
        rig.disk.fail(Call::Sync, 0, Fault::Errno(disk::EIO));
    }
    let ticket = rig.write(3, 44);
    let other = ticket.clone();
    let allocation = tagged(rig.pool.allocate(2).unwrap(), 55);
    let Rig { disk, file, pool, pipe } = rig;
    let mut things: [Owned; 5] = [
        Some(Box::new(pool)),
        Some(Box::new(pipe)),
        Some(Box::new(file)),
        Some(Box::new(ticket)),
        Some(Box::new(allocation)),
    ];
    for &index in order {
        if index == 4 {
            let allocation = things[4].as_ref().and_then(|thing| thing.downcast_ref::<fz_bufpool::Allocation>());
            assert_eq!(tag_at(allocation.expect("dropped just below").as_slice(), 1), 55, "{order:?}");
        }
        things[index] = None;
        if index == 1 && !fails {
            assert_eq!(tag_at(&disk.stable(), 3), 44, "{order:?}");
        }
    }
    assert_eq!(disk.handles(), 0, "{order:?}: the file is closed");
    assert_eq!(other.wait().is_err(), fails, "a ticket outlives everything");
}

#[test]
fn h_everything_may_be_dropped_in_any_order() {
    finishes(|| {
        let orders = permutations(5);
        assert_eq!(orders.len(), 120);
        orders.iter().for_each(|order| dropped_in(order, false));
    });
}

#[test]
fn h_everything_may_be_dropped_in_any_order_after_a_failure() {
    finishes(|| permutations(5).iter().for_each(|order| dropped_in(order, true)));
}

#[test]
fn h_a_rejected_write_outlives_pool_pipe_and_file() {
    finishes(|| {
        let rig = Rig::lazy();
        let rejected = rig.pipe.write(rig.request(9999, 3, 8)).unwrap_err();
        drop(rig);
        assert_eq!(tag_at(rejected.request.allocation.as_slice(), 2), 8);
    });
}

#[test]
fn h_only_the_bytes_of_the_writes_reach_the_file() {
    finishes(|| {
        let rig = Rig::lazy();
        (0..4).for_each(|slot| drop(rig.write(slot, 7)));
        rig.pipe.sync().wait().unwrap();
        assert!((0..4).all(|slot| tag_at(&rig.disk.stable(), slot) == 7));
        // Memory of a new pool, never filled in: it must be zeros, not what lay there.
        let allocation = rig::pool(4).allocate(4).unwrap();
        rig.pipe.write(fz_wpipe::WriteRequest { allocation, slot_index: 0 }).unwrap().wait().unwrap();
        assert!((0..4).all(|slot| tag_at(&rig.disk.stable(), slot) == 0));
    });
}
