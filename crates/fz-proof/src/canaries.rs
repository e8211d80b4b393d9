//! Broken disks and broken files that the checks must reject: a checker that accepts everything
//! would pass every other test.

use std::ops::Range;

use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, OpSet, SimDisk, Tear};

use crate::campaign::generation::Generation;
use crate::campaign::scenario::Scenario;
use crate::campaign::tally::Tally;
use crate::disk::faults::Faults;
use crate::oracle::content::fill;
use crate::oracle::ledger::Accepted;
use crate::oracle::model::{Model, View};
use crate::oracle::verify::verify;
use crate::random::Random;

/// Runs the first generation of each of these seeds on a disk with this fault all the time; how
/// many of them the checks refuse.
fn refused(seeds: Range<u64>, ops: impl Into<OpSet>, fault: Fault) -> usize {
    refused_with(seeds, &Faults { from_the_start: true, ..unannounced(ops, fault) })
}

/// A fault of which the checks do not know: for them, a pipeline that fails for no reason.
fn unannounced(ops: impl Into<OpSet>, fault: Fault) -> Faults {
    Faults { plan: FaultPlan::new().with(FaultRule::new(ops, fault)), ..Faults::none() }
}

fn refused_with(seeds: Range<u64>, faults: &Faults) -> usize {
    let run = |seed: &u64| {
        let mut random = Random::new(*seed);
        let scenario = Scenario::new(&mut random);
        let slots_max = scenario.initial_slots * 2 + 16;
        let generation = Generation {
            scenario: &scenario,
            disk: &SimDisk::with_config(scenario.disk.clone()),
            slots: None,
            slots_max,
            first_id: 1,
            faults: faults.clone(),
            left: &[],
        };
        let mut tally = Tally::default();
        let checked = generation.run(&mut random, &mut tally).and_then(|remains| {
            let model = Model::new(scenario.slot_size(), scenario.tear, slots_max);
            verify(&scenario, &model, &remains.accepted, &remains.instants, &mut random, &mut tally)
        });
        checked.is_err()
    };
    seeds.filter(run).count()
}

#[test]
fn a_disk_that_keeps_its_word_is_accepted() {
    assert_eq!(refused(0..30, Op::Read, Fault::Short), 0);
}

#[test]
fn a_disk_that_ignores_syncs_is_rejected() {
    let refused = refused(0..30, OpSet::SYNCS, Fault::SyncIgnored);
    assert!(refused > 25, "only {refused} of 30 runs saw it");
}

#[test]
fn a_disk_that_ignores_directory_syncs_is_rejected() {
    let refused = refused(0..30, Op::SyncDirectory, Fault::SyncIgnored);
    assert!(refused > 25, "only {refused} of 30 runs saw it");
}

#[test]
fn k_a_read_that_fails_for_no_reason_is_rejected() {
    let refused = refused_with(0..30, &unannounced(Op::Read, Fault::Error(Errno::Eio)));
    assert!(refused > 15, "only {refused} of 30 runs saw it");
}

#[test]
fn j_a_growth_that_fails_for_no_reason_is_rejected() {
    let refused = refused_with(0..60, &unannounced(Op::SetLength | Op::Allocate, Fault::Error(Errno::Eio)));
    assert!(refused > 10, "only {refused} of 60 runs saw it");
}

/// As of a pipeline that takes a success for a failure, while the plan has a failure of another kind.
#[test]
fn c_another_error_than_the_plan_has_is_rejected() {
    let plan = FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, Fault::Error(Errno::Edquot)));
    let harmful = vec![Fault::Error(Errno::Eio)];
    let refused = refused_with(0..30, &Faults { plan, harmful, ..Faults::none() });
    assert!(refused > 25, "only {refused} of 30 runs saw it");
}

const SIZE: usize = 1024;

/// Three writes of one kilobyte slots: epoch 1 to slots 0 and 1, epochs 2 and 3 to slot 1.
fn accepted() -> [Accepted; 3] {
    let write = |epoch, slot, count| Accepted {
        epoch,
        id: u32::try_from(epoch).unwrap(),
        slot,
        count,
        writer: 0,
        sequence: epoch,
    };
    [write(1, 0, 2), write(2, 1, 1), write(3, 1, 1)]
}

/// A file of two slots, each as this epoch left it.
fn file(epochs: [u32; 2]) -> Vec<u8> {
    let mut bytes = vec![0; 2 * SIZE];
    for ((slot, epoch), bytes) in (0..).zip(epochs).zip(bytes.chunks_exact_mut(SIZE)) {
        if epoch > 0 {
            fill(bytes, epoch, slot);
        }
    }
    bytes
}

fn holds(tear: Tear, durable: u64, bytes: &[u8]) -> bool {
    let accepted = accepted();
    let model = Model::new(SIZE, tear, 2);
    let mut view = View::new(&model, &accepted);
    view.advance(durable);
    view.check(bytes, 2).is_ok()
}

#[test]
fn a_durable_write_must_be_there_and_a_later_one_may() {
    let holds = |durable, epochs| holds(Tear::Never, durable, &file(epochs));
    assert!(holds(0, [0, 0]) && holds(0, [1, 0]) && holds(0, [0, 3]));
    assert!(holds(1, [1, 1]) && holds(1, [1, 2]) && holds(1, [1, 3]) && holds(3, [1, 3]));
    assert!(!holds(1, [0, 1]), "slot 0 of a durable write is lost");
    assert!(!holds(1, [1, 0]), "slot 1 of a durable write is lost");
}

#[test]
fn a_durable_write_must_not_be_gone_with_its_slots() {
    let one_slot = |durable| holds(Tear::Never, durable, &file([1, 1])[..SIZE]);
    assert!(one_slot(0), "no promise covers the second slot");
    assert!(!one_slot(1), "epoch 1 covers slots 0 and 1");
}

#[test]
fn b_among_durable_writes_the_last_one_must_win() {
    assert!(!holds(Tear::Never, 3, &file([1, 2])) && !holds(Tear::Never, 3, &file([1, 1])));
    assert!(!holds(Tear::Never, 2, &file([1, 1])) && holds(Tear::Never, 2, &file([1, 2])));
}

#[test]
fn the_bytes_of_another_slot_are_rejected() {
    let mut bytes = file([1, 3]);
    fill(&mut bytes[..SIZE], 1, 1);
    assert!(!holds(Tear::Never, 1, &bytes));
}

#[test]
fn a_write_is_kept_by_sectors_or_by_bytes_as_the_disk_tears() {
    let torn = |at: usize| {
        let (mut bytes, new) = (file([1, 2]), file([1, 3]));
        bytes[SIZE..SIZE + at].copy_from_slice(&new[SIZE..SIZE + at]);
        bytes
    };
    assert!(holds(Tear::Never, 2, &torn(512)), "the first of two sectors");
    assert!(!holds(Tear::Never, 2, &torn(100)), "the first 100 bytes of a sector");
    assert!(holds(Tear::Prefix, 2, &torn(100)));
    assert!(!holds(Tear::Prefix, 3, &torn(100)), "a durable write is whole");
}

#[test]
fn a_damaged_sector_must_have_been_in_mid_write() {
    let mut bytes = file([1, 2]);
    bytes[SIZE + 5] ^= 0xFF;
    assert!(holds(Tear::Damage, 2, &bytes) && !holds(Tear::Never, 2, &bytes));
    assert!(!holds(Tear::Damage, 3, &bytes));
    bytes[5] ^= 0xFF;
    assert!(!holds(Tear::Damage, 2, &bytes), "no write to slot 0 was pending");
}
