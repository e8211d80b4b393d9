//! Growing, and what the three kinds of preallocation do.

use std::sync::Arc;
use std::thread;

use fz_file::{FileErrorKind, Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, PATH, Rule, config};

pub(crate) fn bytes_written(call: &Call) -> usize {
    if let Call::Write { bytes, .. } = call { *bytes } else { 0 }
}

/// The length comes first and whole, so that no crash leaves a part of a slot; the sync last, so that
/// nobody sees a slot that a power cut takes away.
#[test]
fn j_growth_sets_the_length_first_and_syncs_before_the_slots_are_visible() {
    let disk = Disk::new();
    let file = Arc::new(disk.open(config().initial_slots(2)).unwrap());
    disk.take_calls();
    let seen = Arc::downgrade(&file);
    disk.script(Rule::before("SyncAll", move |_| assert_eq!(seen.upgrade().unwrap().slots(), 2)));
    assert_eq!(file.grow(3).unwrap(), 5);
    assert_eq!(
        disk.take_calls(),
        [
            Call::Length,
            Call::SetLength(40),
            Call::Allocate { offset: 16, bytes: 24 },
            Call::Write { offset: 16, bytes: 24, buffers: 1 },
            Call::SyncAll,
        ]
    );
    assert_eq!(file.slots(), 5);
    disk.power_cut();
    assert_eq!(disk.bytes(PATH).unwrap().len(), 40);
}

/// A growth whose sync failed leaves a length that only the kernel knows. Whoever opens the file next
/// saw it, and a durable write into the last slots was gone with them after a power cut.
#[test]
fn j_slots_that_an_open_shows_survive_a_power_cut() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    disk.script(Rule::once("SyncAll", Errno::EIO));
    file.grow(2).unwrap_err();
    drop(file);
    assert_eq!(disk.open(config()).unwrap().slots(), 3);
    disk.power_cut();
    assert_eq!(disk.open(config()).unwrap().slots(), 3);
}

#[test]
fn each_preallocation_does_what_it_says() {
    let names = |preallocation| {
        let disk = Disk::new();
        let file = disk.open(config().preallocation(preallocation)).unwrap();
        disk.take_calls();
        file.grow(3).unwrap();
        disk.take_calls().iter().map(Call::name).collect::<Vec<_>>()
    };
    assert_eq!(names(Preallocation::Sparse), ["Length", "SetLength", "SyncAll"]);
    assert_eq!(names(Preallocation::Allocated), ["Length", "SetLength", "Allocate", "SyncAll"]);
    assert_eq!(names(Preallocation::Zeroed), ["Length", "SetLength", "Allocate", "Write", "SyncAll"]);
}

#[test]
fn zeros_are_written_once_over_the_whole_range_whatever_its_size() {
    // 64 KiB is one call; a byte less or more must not leave a gap.
    for slots in [1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000] {
        let disk = Disk::with_buffers_max(48);
        let file = disk.open(SlotFileConfig::new(PATH, 1).initial_slots(3)).unwrap();
        disk.take_calls();
        file.grow(slots).unwrap();
        let mut end = 3;
        for call in disk.take_calls() {
            if let Call::Write { offset, bytes, .. } = call {
                assert_eq!(offset, end);
                end += bytes as u64;
            }
        }
        assert_eq!(end, 3 + slots);
        assert_eq!(disk.bytes(PATH).unwrap().len() as u64, 3 + slots);
    }
}

#[test]
fn growing_by_nothing_does_nothing() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.take_calls();
    assert_eq!(file.grow(0).unwrap(), 2);
    assert_eq!(disk.take_calls(), []);
}

/// A growth whose undoing failed, too, leaves the file longer than its slots. A smaller one
/// afterwards must not cut it: `ftruncate(2)` does, when told a length that is right for itself only.
#[test]
fn j_a_smaller_growth_after_a_failed_larger_one_does_not_cut_the_file() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    disk.script(Rule::once("Allocate", Errno::ENOSPC));
    disk.script(Rule::once("SetLength", Errno::EIO).after(1));
    let error = file.grow(9).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32), "the first failure is what counts");
    assert_eq!(disk.bytes(PATH).unwrap().len(), 80);
    assert_eq!(file.grow(2).unwrap(), 3);
    assert_eq!(disk.bytes(PATH).unwrap().len(), 80, "the file was cut");
    assert_eq!(file.grow(9).unwrap(), 12);
    drop(file);
    assert_eq!(disk.open(config()).unwrap().slots(), 12);
}

/// The length that a failed growth left was taken for slots by the next open, although they had no
/// blocks: the disk was found full by a write, or, once another had room, never.
#[test]
fn j_a_failed_growth_gives_back_what_it_took_and_is_not_taken_for_slots_later() {
    for (call, times) in [("Allocate", 1), ("Write", 1), ("Write", usize::MAX)] {
        let mut rule = Rule::once(call, Errno::ENOSPC);
        rule.times = times;
        let disk = Disk::new();
        disk.change(|world| world.put(PATH, &[3; 32]));
        disk.script(rule);
        // Five slots more than the disk has room for, asked for by an open; then by a growth.
        let error = disk.open(config().initial_slots(9)).unwrap_err();
        assert!(matches!(error.kind(), FileErrorKind::GrowFailed { slots: 4, slots_asked: 9, .. }), "{error:?}");
        assert_eq!(disk.bytes(PATH).unwrap(), [3; 32]);
        disk.heal();
        let file = disk.open(config()).unwrap();
        assert_eq!(file.slots(), 4);
        disk.script(Rule::once(call, Errno::EDQUOT));
        file.grow(5).unwrap_err();
        assert_eq!(disk.bytes(PATH).unwrap(), [3; 32]);
        drop(file);
        disk.take_calls();
        assert_eq!(disk.open(config().initial_slots(9)).unwrap().slots(), 9);
        assert_eq!(disk.take_calls().iter().map(bytes_written).sum::<usize>(), 40, "the new slots were not filled");
    }
}

/// A crash between the length and the blocks of a growth leaves slots that look like all others. Some
/// file systems reserve blocks for all of a range before they look which it has: on a full disk, the
/// file would not open any more.
#[test]
fn j_a_file_whose_slots_are_all_there_opens_on_a_full_disk() {
    for preallocation in [Preallocation::Allocated, Preallocation::Zeroed, Preallocation::Sparse] {
        let disk = Disk::new();
        disk.change(|world| world.put(PATH, &[0; 64]));
        disk.script(Rule::always("Allocate", Errno::ENOSPC));
        disk.open(config().initial_slots(8).preallocation(preallocation)).unwrap();
        assert!(!disk.take_calls().iter().any(|call| matches!(call, Call::Allocate { .. })));
    }
}

/// Only where no lock keeps two openers apart, after a fork: the other's slots are in use.
#[test]
fn j_a_failed_growth_cuts_no_slots_that_another_has_added_meanwhile() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.script(Rule::once("Allocate", Errno::ENOSPC));
    disk.script(Rule::before("Length", |world| world.resize(PATH, 80)).after(1));
    file.grow(1).unwrap_err();
    assert_eq!(disk.bytes(PATH).unwrap().len(), 80);
}

#[test]
fn growths_at_the_same_time_each_add_their_own() {
    const GROWERS: u64 = 4;
    const ROUNDS: u64 = 25;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 16).preallocation(Preallocation::Sparse)).unwrap();
    let mut totals: Vec<u64> = thread::scope(|scope| {
        let grow = || (0..ROUNDS).map(|_| file.grow(3).unwrap()).collect::<Vec<_>>();
        let growers: Vec<_> = (0..GROWERS).map(|_| scope.spawn(grow)).collect();
        growers.into_iter().flat_map(|grower| grower.join().unwrap()).collect()
    });
    totals.sort_unstable();
    assert_eq!(totals, (1..=GROWERS * ROUNDS).map(|count| count * 3).collect::<Vec<_>>());
    assert_eq!(path.metadata().unwrap().len(), GROWERS * ROUNDS * 3 * 16);
}

#[test]
fn a_file_that_somebody_else_cut_is_not_grown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 16).initial_slots(4)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(20).unwrap();
    let error = file.grow(1).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::FileCut { length: 20, length_expected: 64 }), "{error:?}");
    let error = file.read(0, &mut [0; 64]).unwrap_err();
    let expected = FileErrorKind::UnexpectedEnd { slot_index: 0, bytes: 64, bytes_read: 20 };
    assert_eq!(error.kind(), &expected);
}

#[test]
fn a_file_that_is_cut_while_it_is_opened_is_an_error() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[1; 16]));
    disk.script(Rule::before("Length", |world| world.resize(PATH, 9)).after(1));
    let error = disk.open(config().initial_slots(3)).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::FileCut { length: 9, length_expected: 16 });
    assert_eq!(disk.bytes(PATH).unwrap(), [1; 9]);
}

#[test]
fn g_growth_beyond_any_file_is_an_error_and_costs_nothing() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.take_calls();
    for (additional, slots) in [(u64::MAX, u64::MAX), (1 << 61, (1 << 61) + 2), ((1 << 60) - 2, 1 << 60)] {
        let error = file.grow(additional).unwrap_err();
        assert_eq!(error.kind(), &FileErrorKind::FileTooLarge { slots, slot_size: 8 });
    }
    assert_eq!(disk.take_calls(), []);
    assert_eq!(file.grow(1).unwrap(), 3);
}
