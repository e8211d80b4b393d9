//! The slot file against a `Vec<u8>`: on the real file system, and on a disk that interrupts and
//! shortens its transfers.

use std::io::{IoSlice, IoSliceMut};

use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

use crate::disk::{Disk, Fault, PATH, Rule};

#[derive(Clone, Debug)]
enum Action {
    Write { slot: u64, slots: usize, seed: u8, cuts: Vec<Index> },
    Read { slot: u64, slots: usize, cuts: Vec<Index> },
    Grow(u64),
    Sync,
    SyncAll,
    SyncRange { slot: u64, slots: u64 },
    Reopen { initial_slots: u64 },
}

fn action() -> impl Strategy<Value = Action> {
    let cuts = || prop::collection::vec(any::<Index>(), 0..6);
    prop_oneof![
        4 => (0..20_u64, 0..5_usize, any::<u8>(), cuts())
            .prop_map(|(slot, slots, seed, cuts)| Action::Write { slot, slots, seed, cuts }),
        4 => (0..20_u64, 0..5_usize, cuts()).prop_map(|(slot, slots, cuts)| Action::Read { slot, slots, cuts }),
        1 => (0..6_u64).prop_map(Action::Grow),
        1 => Just(Action::Sync),
        1 => Just(Action::SyncAll),
        1 => (0..20_u64, 0..5_u64).prop_map(|(slot, slots)| Action::SyncRange { slot, slots }),
        1 => (0..12_u64).prop_map(|initial_slots| Action::Reopen { initial_slots }),
    ]
}

fn preallocation() -> impl Strategy<Value = Preallocation> {
    prop_oneof![Just(Preallocation::Sparse), Just(Preallocation::Allocated), Just(Preallocation::Zeroed)]
}

/// Where to cut `bytes` bytes, in ascending order.
fn cut_points(cuts: &[Index], bytes: usize) -> Vec<usize> {
    let mut points: Vec<_> = cuts.iter().map(|cut| cut.index(bytes + 1)).collect();
    points.push(bytes);
    points.sort_unstable();
    points
}

fn run(
    open: &dyn Fn(u64) -> SlotFile,
    slot_size: usize,
    actions: Vec<Action>,
) -> std::result::Result<(), TestCaseError> {
    let mut model: Vec<u8> = Vec::new();
    let mut file = open(0);
    for action in actions {
        let slots_in_file = (model.len() / slot_size) as u64;
        prop_assert_eq!(file.slots(), slots_in_file);
        let in_range = |slot, slots| slots > 0 && slot + slots <= slots_in_file;
        let start = |slot| usize::try_from(slot).unwrap() * slot_size;
        match action {
            Action::Write { slot, slots, seed, cuts } => {
                let data: Vec<u8> = (0..=250).cycle().take(slots * slot_size).map(|byte: u8| byte ^ seed).collect();
                let (mut slices, mut from) = (Vec::new(), 0);
                for to in cut_points(&cuts, data.len()) {
                    slices.push(IoSlice::new(&data[from..to]));
                    from = to;
                }
                let result = file.write_vectored(slot, &mut slices);
                prop_assert_eq!(result.is_ok(), in_range(slot, slots as u64), "{:?}", result);
                if result.is_ok() {
                    model[start(slot)..][..data.len()].copy_from_slice(&data);
                }
            }
            Action::Read { slot, slots, cuts } => {
                let mut data = vec![0xEE; slots * slot_size];
                let points = cut_points(&cuts, data.len());
                let (mut buffers, mut rest, mut from) = (Vec::new(), &mut data[..], 0);
                for to in points {
                    let (head, tail) = rest.split_at_mut(to - from);
                    buffers.push(IoSliceMut::new(head));
                    (rest, from) = (tail, to);
                }
                let result = file.read_vectored(slot, &mut buffers);
                prop_assert_eq!(result.is_ok(), in_range(slot, slots as u64), "{:?}", result);
                if result.is_ok() {
                    prop_assert_eq!(&data[..], &model[start(slot)..][..slots * slot_size]);
                }
            }
            Action::Grow(additional) => {
                model.resize(model.len() + start(additional), 0);
                prop_assert_eq!(file.grow(additional).unwrap(), slots_in_file + additional);
            }
            Action::Sync => file.sync().unwrap(),
            Action::SyncAll => file.sync_all().unwrap(),
            Action::SyncRange { slot, slots } => {
                prop_assert_eq!(file.sync_range(slot, slots).is_ok(), in_range(slot, slots));
            }
            Action::Reopen { initial_slots } => {
                drop(file);
                file = open(initial_slots);
                model.resize(model.len().max(start(initial_slots)), 0);
            }
        }
    }
    drop(file);
    let file = open(0);
    prop_assert_eq!(file.slots(), (model.len() / slot_size) as u64);
    if !model.is_empty() {
        let mut all = vec![0xEE; model.len()];
        file.read(0, &mut all).unwrap();
        prop_assert_eq!(all, model);
    }
    Ok(())
}

/// A part of the cases asked for, where one case takes long. One that fails is kept beside this file; one of a program
/// broken on purpose is not.
fn share(part: u32) -> ProptestConfig {
    let kept = if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") };
    let all = ProptestConfig::with_failure_persistence(kept);
    ProptestConfig { cases: (all.cases / part).max(1), ..all }
}

proptest! {
    #![proptest_config(share(4))]

    #[test]
    fn a_slot_file_is_a_vector_of_bytes_on_the_real_file_system(
        slot_size in prop_oneof![Just(1_usize), Just(7), Just(128), Just(4096)],
        preallocation in preallocation(),
        actions in prop::collection::vec(action(), 0..30),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let config = SlotFileConfig::new(directory.path().join("x"), slot_size).preallocation(preallocation);
        run(&|slots| SlotFile::open(config.clone().initial_slots(slots)).unwrap(), slot_size, actions)?;
    }
}

proptest! {
    #![proptest_config(share(1))]

    #[test]
    fn a_slot_file_is_a_vector_of_bytes_on_a_disk_that_interrupts_and_shortens(
        slot_size in 1..40_usize,
        preallocation in preallocation(),
        buffers_max in 1..5_usize,
        faults in prop::collection::vec((0..200_usize, 1..4_usize, any::<bool>()), 0..30),
        actions in prop::collection::vec(action(), 0..40),
    ) {
        let disk = Disk::with_buffers_max(buffers_max);
        for (skip, times, short) in faults {
            let fault = if short { Fault::Short } else { Fault::Error(Errno::EINTR) };
            disk.script(Rule { call: None, skip, times, fault });
        }
        let config = SlotFileConfig::new(PATH, slot_size).preallocation(preallocation);
        run(&|slots| disk.open(config.clone().initial_slots(slots)).unwrap(), slot_size, actions)?;
    }
}
