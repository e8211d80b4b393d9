//! The simulation itself: the pipeline passes it, and it sees what a broken one does.

use fz_proof::Campaign;

/// With a broken twin compiled in, `cargo xtask sim --canary` demands that such a campaign fails.
#[test]
fn a_e_the_pipeline_keeps_its_promises_in_a_hundred_and_fifty_runs() {
    let report = Campaign::new(1).runs(150).run().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.runs(), 150);
    assert!(report.states() > 15_000, "only {} crash states were reached", report.states());
    assert!(report.distinct() > report.states() / 8, "only {} of them are distinct", report.distinct());
}

#[test]
fn a_seed_of_one_thread_replays_call_by_call() {
    Campaign::new(1_000).runs(30).twice(true).run().unwrap_or_else(|failure| panic!("{failure}"));
}
