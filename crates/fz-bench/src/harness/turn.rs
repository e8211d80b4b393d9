//! The child process: one contestant, one work, one result file.

use std::fs;

use crate::flags::Turn;
use crate::workload::Work;
use crate::{Outcome, lineup, suites};

pub(crate) fn run(flags: &Turn) -> Outcome<()> {
    let work: Work = serde_json::from_str(&flags.work)?;
    let suite = suites::ALL.iter().find(|suite| suite.name == work.suite()).ok_or("there is no such suite")?;
    let mut contestants = lineup::of_suite(suite, &work);
    contestants.extend(lineup::peers());
    let contestant = contestants
        .iter()
        .find(|contestant| contestant.name == flags.contestant)
        .ok_or_else(|| format!("{} is not compiled in", flags.contestant))?;
    let measure = contestant.measure(&work).ok_or("cannot do this work")?;
    let figures = measure(&work, &flags.dir)?;
    fs::write(&flags.out, serde_json::to_vec(&figures)?)?;
    Ok(())
}
