//! The report of a campaign, for people and for programs.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use fz_sim::Op;
use serde_json::{Map, Value, json};

use crate::campaign::tally::{Counts, Tally};
use crate::disk::phase::Phase;

/// Sections of names and numbers, for people.
pub(crate) fn text(seed: u64, tally: &Tally, distinct: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-9);
    let mut lines = Vec::new();
    let mut section = |title: &str, rows: Vec<(String, String)>| {
        if rows.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_preset(NOTHING);
        for (name, value) in rows {
            table.add_row([Cell::new(name), Cell::new(value).set_alignment(CellAlignment::Right)]);
        }
        lines.push(format!("{title}\n{}", table.trim_fmt()));
    };
    let rate = |count: u64| format!("{:.0}", count_f64(count) / seconds);
    section(
        &format!("seeds {seed} to {}", seed.wrapping_add(tally.runs.saturating_sub(1))),
        vec![
            ("runs".into(), tally.runs.to_string()),
            ("… that replay call by call".into(), tally.exact_runs.to_string()),
            ("generations".into(), tally.generations.to_string()),
            ("writes accepted".into(), tally.accepted.to_string()),
            ("crash states checked".into(), tally.states.to_string()),
            ("… distinct".into(), distinct.to_string()),
            ("seconds".into(), format!("{seconds:.1}")),
            ("runs a second".into(), rate(tally.runs)),
            ("states a second".into(), rate(tally.states)),
        ],
    );
    let phases = Phase::ALL.into_iter().map(|phase| {
        let (instants, states) = (tally.instants_by_phase[phase as usize], tally.states_by_phase[phase as usize]);
        (phase.to_string(), format!("{states} of {instants} instants"))
    });
    section("crash states by phase", phases.collect());
    for (title, counts) in sections(tally) {
        section(title, counts.iter().map(|(name, count)| ((*name).to_owned(), count.to_string())).collect());
    }
    section("faults", tally.faults.iter().map(|(name, count)| (name.clone(), count.to_string())).collect());
    lines.join("\n\n")
}

fn sections(tally: &Tally) -> [(&'static str, &Counts); 5] {
    [
        ("tickets", &tally.tickets),
        ("writes", &tally.writes),
        ("reads", &tally.reads),
        ("ends", &tally.ends),
        ("pages after a failed sync, planned", &tally.page_fates),
    ]
}

/// The same for programs.
pub(crate) fn json(seed: u64, tally: &Tally, distinct: u64, took: Duration) -> Value {
    let mut object = json!({
        "seed": seed,
        "runs": tally.runs,
        "exact_runs": tally.exact_runs,
        "generations": tally.generations,
        "writes_accepted": tally.accepted,
        "states": tally.states,
        "distinct": distinct,
        "seconds": took.as_secs_f64(),
        "faults": tally.faults,
        "text": text(seed, tally, distinct, took),
    });
    let phases = Phase::ALL.into_iter().map(|phase| (phase.to_string(), tally.states_by_phase[phase as usize].into()));
    object["states_by_phase"] = phases.collect::<Map<_, _>>().into();
    for (title, counts) in sections(tally) {
        object[title] = json!(counts);
    }
    let calls = Op::ALL.into_iter().map(|op| (op.name().to_owned(), tally.disk.calls(op).into()));
    object["disk_calls"] = calls.collect::<Map<_, _>>().into();
    object
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn count_f64(count: u64) -> f64 {
    count as f64
}
