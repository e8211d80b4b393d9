//! Any sequence of calls against a plain model.

use std::time::Duration;

use futures_executor::block_on;
use fz_commit::{CommitConfig, WaitError};
use proptest::prelude::*;

use crate::support::{Call, How, Reason, committer, finishes, try_append, until};

#[derive(Clone, Copy, Debug)]
enum Step {
    Append,
    /// Waits for one of the tickets: how, and which one.
    Await(u8, usize),
    Demand,
    Fail,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        4 => (0..4_u8, any::<usize>()).prop_map(|(how, which)| Step::Await(how, which)),
        1 => Just(Step::Demand),
        1 => Just(Step::Fail),
        1 => Just(Step::Close),
    ]
}

fn config() -> impl Strategy<Value = CommitConfig> {
    (0..2_u64, 0..2_u64, 0..2_u64, any::<bool>()).prop_map(|(interval, gather, linger, waiters_lead)| {
        CommitConfig::new()
            .flush_interval(Duration::from_secs(interval * 3600))
            .gather_max(Duration::from_millis(gather))
            .linger_max(Duration::from_millis(linger))
            .waiters_lead(waiters_lead)
    })
}

/// What the committer must answer.
#[derive(Default)]
struct Model {
    accepted: u64,
    /// At least this much is durable.
    durable: u64,
    has_failed: bool,
    is_closed: bool,
}

fn check(config: CommitConfig, batch_max: u64, steps: &[Step]) {
    let (script, committer) = committer(config);
    script.batch_max(batch_max);
    let mut model = Model::default();
    let mut tickets = Vec::new();
    for step in steps {
        match *step {
            Step::Append => {
                let ticket = try_append(&committer);
                assert_eq!(ticket.is_some(), !model.is_closed && !model.has_failed);
                model.accepted += u64::from(ticket.is_some());
                tickets.extend(ticket);
            }
            Step::Await(how, which) if !tickets.is_empty() => {
                let ticket = &tickets[which % tickets.len()];
                let settled = match how {
                    0 => ticket.wait(),
                    1 => block_on(ticket.clone()),
                    2 => ticket.wait_timeout(Duration::MAX).map_err(|error| match error {
                        WaitError::Failed(reason) => reason,
                        timed_out @ WaitError::TimedOut { .. } => panic!("{timed_out:?}"),
                    }),
                    _ => {
                        let (told, is_told) = std::sync::mpsc::channel();
                        ticket.on_durable(move |settled| told.send(settled).unwrap());
                        is_told.recv().unwrap()
                    }
                };
                match settled {
                    Ok(durable) => {
                        assert!(
                            durable >= ticket.position() && durable <= model.accepted && script.stable() >= durable
                        );
                        model.durable = model.durable.max(durable);
                    }
                    Err(reason) => assert!(model.has_failed && reason == Reason::Given("scripted")),
                }
            }
            Step::Await(..) => {}
            Step::Demand => {
                committer.demand();
                until(|| committer.durable() == model.accepted || committer.failure().is_some());
            }
            Step::Fail => {
                committer.fail(Reason::Given("scripted"));
                model.has_failed = true;
            }
            Step::Close => {
                let closed = committer.close();
                model.is_closed = true;
                if !model.has_failed {
                    model.durable = model.accepted;
                    assert_eq!(closed, Ok(model.accepted));
                }
            }
        }
        assert!(committer.durable() >= model.durable, "the durable position went back");
        assert_eq!(committer.failure().is_some(), model.has_failed);
    }
    let outcome = committer.close();
    assert_eq!(outcome.is_err(), model.has_failed && committer.durable() < model.accepted);
    assert!(tickets.iter().all(|ticket| match ticket.status() {
        Some(Ok(durable)) => durable >= ticket.position() && script.stable() >= durable,
        Some(Err(_)) => model.has_failed && ticket.position() > committer.durable(),
        None => false,
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_committer_does_as_the_model_does(
        config in config(),
        batch_max in 0..4_u64,
        steps in prop::collection::vec(step(), 0..30),
    ) {
        finishes(move || check(config, batch_max, &steps));
    }

    #[test]
    fn c_whichever_call_fails_the_model_holds(
        config in config(),
        skip in 0..6_u64,
        is_write in any::<bool>(),
        appends in 1..20_usize,
    ) {
        finishes(move || {
            let (script, committer) = committer(config);
            let call = if is_write { Call::Write } else { Call::Sync };
            script.fail(call, skip, How::Error);
            let mut lost = None;
            for _ in 0..appends {
                let Some(ticket) = try_append(&committer) else { break };
                match (ticket.wait(), &lost) {
                    (Ok(durable), None) => assert!(script.stable() >= durable),
                    (Err(reason), None) => lost = Some(reason),
                    (settled, lost) => panic!("{settled:?} after {lost:?}"),
                }
            }
            assert_eq!(committer.close().err(), lost);
        });
    }
}
