//! The models under loom: `RUSTFLAGS="--cfg fz_loom" cargo test --release -p fz-bufpool --features _loom --test loom`.
#![cfg(fz_loom)]

mod models;

/// A bound on preemptions keeps the three-thread models small; almost all bugs show with two.
fn explore(name: &str) {
    let (_, body) = models::ALL.into_iter().find(|(known, _)| *known == name).expect("a model of this name");
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

macro_rules! explored {
    ($($name:ident)*) => {
        $(#[test] fn $name() { explore(stringify!($name)); })*

        #[test]
        fn every_model_is_explored() {
            let explored = [$(stringify!($name)),*];
            assert!(models::ALL.iter().all(|(name, _)| explored.contains(name)));
        }
    };
}

explored! {
    two_claimers_cannot_claim_one_buffer
    a_new_owner_comes_after_the_last
    a_release_wakes_the_waiter
    one_release_serves_all_it_can
    two_releases_serve_one_large_request
    a_head_that_leaves_passes_its_turn_on
    a_grant_that_meets_a_cancellation_is_not_lost
    nobody_passes_one_who_waits
    pool_and_allocations_end_in_any_order
    a_long_run_is_claimed_whole_or_not_at_all
    a_refusal_means_that_there_was_no_run
    a_request_that_waits_is_seen_or_calls
    a_request_that_waits_is_seen_or_finds_a_new_alarm
    a_release_beside_a_search_is_not_forgotten
    a_release_beside_a_search_serves_the_waiter
    two_releases_beside_a_search_are_not_forgotten
}
