//! What goes into the queue comes out in the same order.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use fz_mpsc::{QueueConfig, channel};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

fn through_the_queue(values: &[u64]) -> Vec<u64> {
    let (sender, mut receiver) = channel(QueueConfig::new(values.len().max(1))).unwrap();
    for &value in values {
        sender.push(value).unwrap();
    }
    drop(sender); // the last one closes the queue
    let mut out = Vec::new();
    while receiver.wait().unwrap() {
        receiver.drain(&mut out, 64);
    }
    out
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn b_what_went_in_comes_out_in_order(values in prop::collection::vec(any::<u64>(), 0..100)) {
        // 1. do it     2. ask a plain model, here the vector itself     3. compare
        prop_assert_eq!(through_the_queue(&values), values);
    }
}
