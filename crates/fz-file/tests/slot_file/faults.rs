//! Promise J, and that `EINTR` and short transfers are no failures: one life of a slot file, with
//! a fault at every call it makes, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IoSlice, IoSliceMut};

use fz_file::{Create, FileErrorKind, Preallocation, Result, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Disk, Fault, PATH, Rule, TEMPORARY, config};
use crate::growth::bytes_written;

/// What is there before the life begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Nothing,
    /// A creator died half-way.
    StaleTemporary,
    /// A creator died between link and unlink.
    SecondLink,
}

const STARTS: [Start; 3] = [Start::Nothing, Start::StaleTemporary, Start::SecondLink];

/// What the life was promised, and which errors it met.
#[derive(Default)]
struct Life {
    /// Slots that an open or a grow has promised.
    slots: u64,
    /// Slots whose last write began before a sync that succeeded.
    durable: BTreeMap<u64, [u8; 8]>,
    /// Slots written since the last sync.
    written: BTreeMap<u64, [u8; 8]>,
    removed: Option<bool>,
    errors: BTreeSet<(&'static str, &'static str)>,
    error_count: usize,
    /// What the operating system said to the first of them.
    first_os_error: Option<i32>,
}

impl Life {
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert_eq!(error.path(), Some(PATH.as_ref()), "{error:?}");
                self.errors.insert(branch(error.kind()));
                if self.error_count == 0 {
                    self.first_os_error = error.raw_os_error();
                }
                self.error_count += 1;
                None
            }
        }
    }

    fn open(&mut self, disk: &Disk, config: SlotFileConfig) -> Option<SlotFile> {
        let file = self.note(disk.open(config))?;
        if disk.has_stale_pages() {
            // What no sync had covered may have been dropped.
            self.written.clear();
        }
        assert!(file.slots() >= self.slots, "the file shrank from {} to {} slots", self.slots, file.slots());
        self.slots = file.slots();
        Some(file)
    }

    /// Writes slots `slot..` filled with `byte`, cut into `cuts` pieces.
    fn write(&mut self, file: &SlotFile, slot: u64, slots: u64, byte: u8, cuts: &[usize]) {
        let data = vec![byte; usize::try_from(slots).unwrap() * 8];
        let mut rest = &data[..];
        let mut slices = Vec::new();
        for &cut in cuts {
            let (head, tail) = rest.split_at(cut);
            slices.push(IoSlice::new(head));
            rest = tail;
        }
        slices.push(IoSlice::new(rest));
        for slot in slot..slot + slots {
            // From here on the slot holds anything, until the write has ended well.
            self.durable.remove(&slot);
            self.written.remove(&slot);
        }
        if self.note(file.write_vectored(slot, &mut slices)).is_some() {
            self.written.extend((slot..slot + slots).map(|slot| (slot, [byte; 8])));
        }
    }

    fn synced(&mut self, result: Result<()>) {
        if self.note(result).is_some() {
            self.durable.append(&mut self.written);
        }
    }

    fn read(&mut self, file: &SlotFile, slot: u64) {
        let (mut head, mut tail) = ([0xEE; 3], [0xEE; 5]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        if self.note(file.read_vectored(slot, &mut buffers)).is_some()
            && let Some(expected) = self.written.get(&slot).or(self.durable.get(&slot))
        {
            assert_eq!([&head[..], &tail[..]].concat(), expected, "slot {slot}");
        }
    }

    fn live(disk: &Disk, start: Start, remove: bool) -> Self {
        let mut life = Self::default();
        let first = match start {
            Start::Nothing => config().initial_slots(3).create(Create::New),
            _ => config().initial_slots(3),
        };
        let file = life.open(disk, first).or_else(|| life.open(disk, config().initial_slots(3)));
        if let Some(file) = file {
            life.write(&file, 1, 1, 0xA1, &[]);
            life.synced(file.sync());
            life.write(&file, 0, 2, 0xB2, &[5, 0, 7]);
            life.synced(file.sync_all());
            life.read(&file, 1);
            if let Some(slots) = life.note(file.grow(2)) {
                assert_eq!(slots, 5);
                life.slots = slots;
                life.write(&file, 4, 1, 0xC3, &[1]);
            }
            life.note(file.sync_range(0, 2));
            life.synced(file.sync());
            life.read(&file, 0);
        }
        let second = config().initial_slots(6).preallocation(Preallocation::Allocated);
        if let Some(file) = life.open(disk, second) {
            life.write(&file, 5, 1, 0xD4, &[]);
            life.synced(file.sync());
            if remove {
                life.removed = Some(life.note(file.remove()).is_some());
            }
        }
        life
    }

    /// J: whatever happened, the file opens again, has the slots and the bytes it promised, and no
    /// temporary file is in the way.
    fn check(&self, disk: &Disk) {
        let file = disk.open(config()).expect("the file opens again");
        assert_eq!(disk.bytes(TEMPORARY), None, "a temporary file is left");
        if self.removed.is_some() {
            if self.removed == Some(true) {
                assert_eq!(file.slots(), 0, "the removed file came back");
            }
            return;
        }
        assert!(file.slots() >= self.slots, "{} slots of {} promised", file.slots(), self.slots);
        for (&slot, expected) in &self.durable {
            let mut bytes = [0; 8];
            file.read(slot, &mut bytes).unwrap();
            assert_eq!(&bytes, expected, "slot {slot}");
        }
        // And it is of use.
        let slots = file.grow(1).unwrap();
        file.write(slots - 1, &[1; 8]).unwrap();
        file.sync().unwrap();
    }
}

fn branch(kind: &FileErrorKind) -> (&'static str, &'static str) {
    match kind {
        FileErrorKind::OpenFailed { step } => ("open", step),
        FileErrorKind::CreateFailed { step, .. } => ("create", step),
        FileErrorKind::GrowFailed { step, .. } => ("grow", step),
        FileErrorKind::RemoveFailed { step } => ("remove", step),
        FileErrorKind::SyncFailed { failed_in, .. } => ("sync", failed_in),
        FileErrorKind::ReadFailed { .. } => ("transfer", "read"),
        FileErrorKind::UnexpectedEnd { .. } => ("transfer", "end"),
        FileErrorKind::WriteFailed { .. } => ("transfer", "write"),
        FileErrorKind::WriteStalled { .. } => ("transfer", "stall"),
        other => panic!("a fault came out as {other:?}"),
    }
}

fn disk_at(start: Start) -> Disk {
    prepared(Disk::new(), start)
}

fn prepared(disk: Disk, start: Start) -> Disk {
    disk.change(|world| match start {
        Start::Nothing => {}
        Start::StaleTemporary => world.put(TEMPORARY, &[0xEE; 13]),
        Start::SecondLink => {
            world.put(PATH, &[0; 16]);
            world.link(PATH, TEMPORARY);
        }
    });
    disk
}

/// Runs the life with the fault at its first call, its second, and so on until no call is left.
/// Returns how many there were, and the branches reached.
fn sweep(
    start: Start,
    remove: bool,
    times: usize,
    fault: impl Fn() -> Fault,
    check: impl Fn(&Disk, &Life),
) -> (usize, BTreeSet<(&'static str, &'static str)>) {
    let mut branches = BTreeSet::new();
    for skip in 0..500 {
        let disk = disk_at(start);
        disk.script(Rule { call: None, skip, times, fault: fault() });
        let life = Life::live(&disk, start, remove);
        if disk.fired() == 0 {
            return (skip, branches);
        }
        disk.heal();
        check(&disk, &life);
        branches.extend(life.errors);
    }
    panic!("the life has no end");
}

#[test]
fn j_a_fault_at_any_call_leaves_a_file_that_opens_and_never_shrinks() {
    for start in STARTS {
        for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT] {
            for (remove, times) in [(false, 1), (false, usize::MAX), (true, 1), (true, usize::MAX)] {
                let (calls, _) = sweep(
                    start,
                    remove,
                    times,
                    || Fault::Error(errno),
                    |disk, life| {
                        assert!(life.error_count > 0, "a failed call was told to nobody");
                        life.check(disk);
                    },
                );
                assert!(calls >= 40, "{calls} calls");
            }
        }
    }
}

/// With every call failing from one on, the process is as good as dead from there; what the kernel
/// held is lost as well.
#[test]
fn j_a_power_cut_at_any_call_leaves_a_file_that_opens_and_never_shrinks() {
    for start in STARTS {
        for remove in [false, true] {
            for times in [1, usize::MAX] {
                sweep(
                    start,
                    remove,
                    times,
                    || Fault::Error(Errno::EIO),
                    |disk, life| {
                        disk.power_cut();
                        life.check(disk);
                    },
                );
            }
        }
    }
}

/// On a disk that takes a page whose write-back failed for written, as ext4 does: what a later open wrote and synced
/// is there.
#[test]
fn a_a_power_cut_after_a_fault_at_any_call_keeps_what_was_synced_on_a_disk_with_stale_pages() {
    for start in STARTS {
        let mut met = 0;
        for skip in 0..100 {
            let disk = prepared(Disk::with_stale_pages(), start);
            disk.script(Rule { call: None, skip, times: 1, fault: Fault::Error(Errno::EIO) });
            let life = Life::live(&disk, start, false);
            met += disk.fired();
            disk.heal();
            disk.power_cut();
            life.check(&disk);
        }
        assert!(met >= 40, "{start:?}: a fault in only {met} lives");
    }
}

/// A failure that only cleaning up meets hides no error, and blocks no later open.
#[test]
fn j_a_second_fault_while_cleaning_up_leaves_a_file_that_opens() {
    for start in STARTS {
        let mut met = 0;
        for skip in 0..100 {
            let disk = disk_at(start);
            disk.script(Rule { call: None, skip, times: 1, fault: Fault::Error(Errno::ENOSPC) });
            disk.script(Rule::always("Remove", Errno::EIO));
            let life = Life::live(&disk, start, false);
            met += usize::from(disk.fired() > 1);
            assert_eq!(life.error_count > 0, disk.fired() > 0, "a failed call was told to nobody");
            assert_eq!(life.first_os_error, disk.first_error().map(|errno| errno as i32), "the first fault was hidden");
            disk.heal();
            life.check(&disk);
        }
        assert!(met >= 5, "{start:?}: a second fault in only {met} lives");
    }
}

#[test]
fn interruptions_and_short_transfers_are_no_failures() {
    for start in STARTS {
        for remove in [false, true] {
            let unharmed = |disk: &Disk, life: &Life| {
                assert_eq!(life.errors, BTreeSet::new());
                assert_eq!(life.removed, remove.then_some(true));
                life.check(disk);
            };
            sweep(start, remove, 1, || Fault::Error(Errno::EINTR), unharmed);
            sweep(start, remove, 3, || Fault::Error(Errno::EINTR), unharmed);
            sweep(start, remove, 1, || Fault::Short, unharmed);
            sweep(start, remove, usize::MAX, || Fault::Short, unharmed);
        }
    }
}

/// The list is written out so that a step which no fault can reach, or one that is new, shows.
#[test]
fn every_branch_for_a_failed_call_is_reached() {
    let mut reached = BTreeSet::new();
    for start in STARTS {
        for times in [1, usize::MAX] {
            reached.extend(sweep(start, true, times, || Fault::Error(Errno::EIO), |_, _| ()).1);
            reached.extend(sweep(start, true, times, || Fault::Nothing, |_, _| ()).1);
        }
    }
    let expected = [
        ("create", "ask for the temporary name"),
        ("create", "create the temporary file"),
        ("create", "give the file its name"),
        ("create", "lock the left-over temporary file"),
        ("create", "lock the temporary file"),
        ("create", "look for a left-over temporary name"),
        ("create", "open the left-over temporary file"),
        ("create", "remove the left-over temporary file"),
        ("create", "remove the left-over temporary name"),
        ("create", "sync the directory"),
        ("grow", "ask for the file's length"),
        ("grow", "reserve blocks"),
        ("grow", "set the file's length"),
        ("grow", "write zeros"),
        ("open", "ask for the file's length"),
        ("open", "ask what the path means"),
        ("open", "begin a transaction"),
        ("open", "drop the file's clean pages"),
        ("open", "lock the file"),
        ("open", "open the file"),
        ("open", "sync the directory"),
        ("remove", "ask what the path means"),
        ("remove", "remove the path"),
        ("remove", "sync the directory"),
        ("sync", "grow"),
        ("sync", "open"),
        ("sync", "sync"),
        ("sync", "sync_all"),
        ("sync", "sync_range"),
        ("transfer", "end"),
        ("transfer", "read"),
        ("transfer", "stall"),
        ("transfer", "write"),
    ];
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), expected);
}

/// Promise G for a disk that is full or over quota: the error says so, and the same file takes the
/// growth once there is room.
#[test]
fn g_a_full_disk_is_an_error_with_its_cause_and_growth_can_be_tried_again() {
    for (call, errno) in [("Allocate", Errno::ENOSPC), ("Allocate", Errno::EDQUOT), ("Write", Errno::ENOSPC)] {
        let disk = Disk::new();
        let file = disk.open(config().initial_slots(2)).unwrap();
        file.write(1, &[9; 8]).unwrap();
        disk.script(Rule::once(call, errno));
        let error = file.grow(3).unwrap_err();
        assert!(matches!(error.kind(), FileErrorKind::GrowFailed { slots: 2, slots_asked: 5, .. }), "{error:?}");
        assert_eq!(error.raw_os_error(), Some(errno as i32));
        assert_eq!(file.slots(), 2);
        assert!(matches!(file.write(2, &[0; 8]).unwrap_err().kind(), FileErrorKind::OutOfRange { .. }));
        assert_eq!(disk.bytes(PATH).unwrap().len(), 16, "the disk stays full of what nobody can use");
        assert_eq!(file.grow(3).unwrap(), 5);
        file.sync().unwrap();
        assert_eq!(disk.bytes(PATH).unwrap()[..16], [[0; 8], [9; 8]].concat());
    }
}

/// Of a file system without `fallocate(2)`, the blocks are written instead.
#[test]
fn blocks_that_cannot_be_reserved_are_written() {
    for preallocation in [Preallocation::Allocated, Preallocation::Zeroed] {
        let disk = Disk::new();
        disk.script(Rule::always("Allocate", Errno::EOPNOTSUPP));
        disk.open(config().initial_slots(4).preallocation(preallocation)).unwrap();
        let written: usize = disk.take_calls().iter().map(bytes_written).sum();
        assert_eq!(written, 32);
    }
}
