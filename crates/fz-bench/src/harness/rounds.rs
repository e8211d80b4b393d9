//! The parent: lets the contestants take turns, each in a process of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wait_timeout::ChildExt;

use crate::contestant::{Contestant, Role};
use crate::flags::Run;
use crate::harness::hogs::Hogs;
use crate::harness::order;
use crate::measure::figures::Figures;
use crate::measure::machine;
use crate::measure::machine::{Elsewhere, Processors};
use crate::report::summary::{Row, SuiteResult, WorkResult};
use crate::suites::{ALL, Suite};
use crate::workload::{By, Ceiling, Shape, Work};
use crate::{Outcome, lineup, report};

const ROUNDS: u64 = 5;
const ROUNDS_QUICK: u64 = 3;

/// How long each of three turns measures the ceiling of an open loop.
const CEILING_MILLIS: u64 = 500;

/// A turn that takes longer hangs. Opening and filling files is part of it.
const TURN_MAX: Duration = Duration::from_secs(120);

pub(crate) fn list() -> Outcome<()> {
    let mut out = anstream::stdout();
    for suite in ALL {
        writeln!(out, "{}: {}", suite.name, suite.about)?;
    }
    let peers = lineup::peers();
    let names: Vec<_> = peers.iter().map(|contestant| contestant.name).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    writeln!(out, "peers compiled in: {names}")?;
    Ok(())
}

pub(crate) fn run(flags: &Run) -> Outcome<()> {
    let suites = chosen_suites(&flags.suite)?;
    let peers = chosen_peers(&flags.peers)?;
    let rounds = usize::try_from(flags.rounds.unwrap_or(if flags.quick { ROUNDS_QUICK } else { ROUNDS }))?;
    let mut plan: Vec<_> = suites.into_iter().map(|suite| (suite, plan(&suite, flags, &peers))).collect();
    plan.retain(|(_, works)| !works.is_empty());
    let turns: usize = plan.iter().flat_map(|(_, works)| works).map(|(_, contestants)| contestants.len()).sum();
    if turns == 0 {
        let text = flags.only.as_deref().unwrap_or_default();
        return Err(format!("there is nothing to measure: no work of these suites has {text:?} in its name").into());
    }
    fs::create_dir_all(&flags.dir)?;
    fs::create_dir_all(&flags.out)?;
    let directory = fs::canonicalize(&flags.dir)?;
    machine::refuse_memory(&directory)?;
    let load = machine::load();
    let mut run = Rounds { directory, rounds, hogs: flags.hogs, bar: bar(flags) };
    run.bar.set_length((turns * rounds) as u64);
    let mut results = Vec::new();
    for (suite, works) in plan {
        results.push(run.suite(suite, works)?);
    }
    run.bar.finish_and_clear();
    report::write(flags, rounds, load, &run.directory, &results)?;
    verdict(&results)
}

/// The tables stand, and name the contestants that failed; a reader of the exit code must learn of it too.
fn verdict(results: &[SuiteResult]) -> Outcome<()> {
    let failures: Vec<_> = results.iter().flat_map(SuiteResult::failures).collect();
    if failures.is_empty() { Ok(()) } else { Err(format!("not all were measured:\n{}", failures.join("\n")).into()) }
}

fn chosen_suites(names: &[String]) -> Outcome<Vec<Suite>> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let find = |name: &String| {
        let all = || ALL.map(|suite| suite.name).join(", ");
        ALL.into_iter()
            .find(|suite| suite.name == name)
            .ok_or_else(|| format!("there is no suite {name}; there are {}", all()).into())
    };
    names.iter().map(find).collect()
}

fn chosen_peers(names: &[String]) -> Outcome<Vec<Contestant>> {
    let mut peers = lineup::peers();
    if names == ["none"] {
        return Ok(Vec::new());
    }
    // Beside names it stands for the rest: `all,rocksdb`.
    let is_all = |name: &&String| *name == "all";
    for name in names.iter().filter(|name| !is_all(name)) {
        if !peers.iter().any(|contestant| contestant.name.starts_with(name)) {
            return Err(
                format!("{name} is not compiled in; build with `--features {name}`, or see `fz-bench list`").into()
            );
        }
    }
    peers.retain(|contestant| names.iter().any(|name| is_all(&name) || contestant.name.starts_with(name)));
    Ok(peers)
}

fn plan(suite: &Suite, flags: &Run, peers: &[Contestant]) -> Vec<(Work, Vec<Contestant>)> {
    let works = (suite.works)(flags.quick).into_iter();
    works
        .filter(|work| flags.only.as_ref().is_none_or(|text| work.name().contains(text)))
        .map(|work| {
            let mut contestants = lineup::of_suite(suite, &work);
            if suite.with_peers {
                contestants.extend_from_slice(peers);
            }
            contestants.retain(|contestant| contestant.measure(&work).is_some());
            (work, contestants)
        })
        .collect()
}

fn bar(flags: &Run) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} turns, {eta} left  {msg}") {
        bar.set_style(style);
    }
    if flags.json {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}

struct Rounds {
    directory: PathBuf,
    rounds: usize,
    hogs: usize,
    bar: ProgressBar,
}

impl Rounds {
    fn suite(&mut self, suite: Suite, works: Vec<(Work, Vec<Contestant>)>) -> Outcome<SuiteResult> {
        let mut results = Vec::new();
        let mut ceilings = BTreeMap::new();
        for (mut work, contestants) in works {
            if let Shape::Open { writers, ceiling, .. } = &mut work.shape {
                if !ceilings.contains_key(writers) {
                    ceilings.insert(*writers, self.ceiling(*writers)?);
                }
                *ceiling = ceilings[writers];
            }
            results.push(self.work(work, &contestants)?);
        }
        remove(&self.directory.join(suite.name))?;
        Ok(SuiteResult { suite, works: results })
    }

    /// What one thread reaches that writes `writers` records by one pwrite and syncs, under the conditions of a turn.
    fn ceiling(&self, writers: usize) -> Outcome<Ceiling> {
        let shape = Shape::Commit { writers, by: By::Threads };
        let work = Work { shape, bytes: 128, slots: 1 << 16, millis: CEILING_MILLIS };
        let mut row = Row::new(lineup::raw());
        for _ in 0..ROUNDS_QUICK {
            row.rounds.push(self.turn(&work, &row.contestant).0?);
        }
        remove(&self.directory.join(work.suite()))?;
        let figure = |key| row.figure(key).ok_or("the ceiling has no figures");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate and a time of a turn")]
        let whole = |figure: f64| figure.round() as u64;
        Ok(Ceiling { commits_per_s: whole(figure("commits_per_s")?), sync_ns: whole(figure("p50_us")? * 1e3) })
    }

    fn work(&mut self, work: Work, contestants: &[Contestant]) -> Outcome<WorkResult> {
        let mut rows: Vec<_> = contestants.iter().map(|&contestant| Row::new(contestant)).collect();
        let mut elsewhere = Vec::new();
        for round in 0..self.rounds {
            for place in order::of_round(round, rows.len()) {
                let row = &mut rows[place];
                self.bar.set_message(format!("{}: {}", work.name(), row.contestant.name));
                self.bar.inc(1);
                if row.failure.is_some() {
                    continue;
                }
                let (outcome, share) = self.turn(&work, &row.contestant);
                elsewhere.push(share);
                match outcome {
                    Ok(figures) => row.rounds.push(figures),
                    Err(error) => row.failure = Some(error.to_string()),
                }
            }
        }
        Ok(WorkResult { work, rows, elsewhere })
    }

    /// One turn, and the share of the processors' time that went elsewhere meanwhile.
    fn turn(&self, work: &Work, contestant: &Contestant) -> (Outcome<Figures>, Elsewhere) {
        if let Err(error) = self.settle(work) {
            return (Err(format!("the journal could not be written before it: {error}").into()), Elsewhere::default());
        }
        let (began, before) = (Instant::now(), Processors::now());
        // The hogs' time is the parent's children's, not that of other processes.
        let outcome = Hogs::start(self.hogs).and_then(|_hogs| self.turn_process(work, contestant));
        (outcome, before.elsewhere(&Processors::now(), began.elapsed().as_secs_f64()))
    }

    /// What the last turn removed is its own business, not the next one's: on a journalling file system
    /// this writes the journal.
    ///
    /// The directory is the one that names came into and went from: ext4 commits the transaction that
    /// changed *this* inode last. Not sync(2), which waits for the writes of every process.
    fn settle(&self, work: &Work) -> Outcome<()> {
        let suite = self.directory.join(work.suite());
        fs::create_dir_all(&suite)?;
        Ok(File::open(suite)?.sync_all()?)
    }

    fn turn_process(&self, work: &Work, contestant: &Contestant) -> Outcome<Figures> {
        let name: String = contestant.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let place = format!("{}-{}", name, work.bytes);
        let directory = self.directory.join(work.suite()).join(place);
        if !contestant.reuses_files || contestant.role == Role::Peer {
            remove(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let (out, log) = (directory.with_extension("json"), directory.with_extension("log"));
        remove(&out)?;
        let mut child = Command::new(std::env::current_exe()?)
            // walrus-rust writes three lines of log for each record otherwise, and listens to this alone.
            .env("WALRUS_QUIET", "1")
            .args(["turn", "--contestant", contestant.name, "--work", &serde_json::to_string(work)?])
            .arg("--dir")
            .arg(&directory)
            .arg("--out")
            .arg(&out)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()?;
        let status = child.wait_timeout(TURN_MAX)?;
        if status.is_none() {
            child.kill()?;
            child.wait()?;
            return Err(format!("stopped after {TURN_MAX:?}: it hangs, or is that slow").into());
        }
        if !contestant.reuses_files {
            remove(&directory)?;
        }
        let text = fs::read(&out).map_err(|_| last_line(&log))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("ended without a word").to_owned()
}

/// Removes a file or a tree, if it is there.
fn remove(path: &Path) -> Outcome<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_all_some_or_none_of_those_compiled_in() {
        let chosen = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen_peers(&names).map(|peers| peers.iter().map(|peer| peer.name).collect::<Vec<_>>())
        };
        let all: Vec<_> = lineup::peers().iter().map(|peer| peer.name).collect();
        assert_eq!(chosen(&["none"]).unwrap(), [""; 0]);
        assert_eq!(chosen(&["all"]).unwrap(), all);
        for name in &all {
            assert!(chosen(&[name]).unwrap().contains(name));
            assert_eq!(chosen(&["all", name]).unwrap(), all);
        }
        let error = chosen(&["all", "no-such"]).unwrap_err().to_string();
        assert!(error.contains("no-such is not compiled in"), "{error}");
    }

    #[test]
    fn one_failed_contestant_fails_the_run_and_is_named() {
        let suite = ALL[1];
        let work = (suite.works)(true).remove(0);
        let mut rows: Vec<_> = lineup::of_suite(&suite, &work).into_iter().map(Row::new).collect();
        let name = rows[1].contestant.name;
        let result =
            |rows| SuiteResult { suite, works: vec![WorkResult { work: work.clone(), rows, elsewhere: vec![] }] };
        let whole = [result(rows.clone())];
        assert!(verdict(&whole).is_ok());
        rows[1].failure = Some("it hangs".to_owned());
        let error = verdict(&[result(rows)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} in {}: it hangs", work.name())), "{error}");
    }
}
