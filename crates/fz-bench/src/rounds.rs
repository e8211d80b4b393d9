//! The parent: lets the contestants take turns, each in a process of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wait_timeout::ChildExt;

use crate::contestant::{Contestant, Role};
use crate::figures::Figures;
use crate::flags::Run;
use crate::suites::{ALL, Suite};
use crate::summary::{Row, SuiteResult, WorkResult};
use crate::work::Work;
use crate::{Outcome, machine, peers, report};

const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

/// A turn that takes longer hangs. Opening and filling files is part of it.
const TURN_MAX: Duration = Duration::from_secs(120);

pub(crate) fn list() -> Outcome<()> {
    let mut out = anstream::stdout();
    for suite in ALL {
        writeln!(out, "{}: {}", suite.name, suite.about)?;
    }
    let others = peers::others();
    let names: Vec<_> = others.iter().map(|contestant| contestant.name).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    writeln!(out, "peers compiled in: {names}")?;
    Ok(())
}

pub(crate) fn run(flags: &Run) -> Outcome<()> {
    let suites = chosen_suites(&flags.suite)?;
    let others = chosen_peers(&flags.peers)?;
    fs::create_dir_all(&flags.dir)?;
    fs::create_dir_all(&flags.out)?;
    let directory = fs::canonicalize(&flags.dir)?;
    machine::refuse_memory(&directory)?;
    let rounds = flags.rounds.unwrap_or(if flags.quick { ROUNDS_QUICK } else { ROUNDS }).max(1);
    let load = machine::load();
    let mut run = Rounds { directory, rounds, quick: flags.quick, bar: bar(flags) };
    let plan: Vec<_> = suites.into_iter().map(|suite| (suite, run.plan(&suite, flags, &others))).collect();
    let turns: usize = plan.iter().flat_map(|(_, works)| works).map(|(_, contestants)| contestants.len()).sum();
    run.bar.set_length((turns * rounds) as u64);
    let mut results = Vec::new();
    for (suite, works) in plan {
        results.push(run.suite(suite, works)?);
    }
    run.bar.finish_and_clear();
    report::write(flags, rounds, load, &run.directory, &results)
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
    let mut others = peers::others();
    let is = |word: &str| names.len() == 1 && names[0] == word;
    if is("all") {
        return Ok(others);
    }
    if is("none") {
        return Ok(Vec::new());
    }
    for name in names {
        if !others.iter().any(|contestant| contestant.name.starts_with(name)) {
            return Err(
                format!("{name} is not compiled in; build with `--features {name}`, or see `fz-bench list`").into()
            );
        }
    }
    others.retain(|contestant| names.iter().any(|name| contestant.name.starts_with(name)));
    Ok(others)
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
    quick: bool,
    bar: ProgressBar,
}

impl Rounds {
    fn plan(&self, suite: &Suite, flags: &Run, others: &[Contestant]) -> Vec<(Work, Vec<Contestant>)> {
        let works = (suite.works)(self.quick).into_iter();
        works
            .filter(|work| flags.only.as_ref().is_none_or(|text| work.name().contains(text)))
            .map(|work| {
                let mut contestants = (suite.contestants)(&work);
                if suite.with_peers {
                    contestants.extend_from_slice(others);
                }
                contestants.retain(|contestant| contestant.measure(&work).is_some());
                (work, contestants)
            })
            .collect()
    }

    fn suite(&mut self, suite: Suite, works: Vec<(Work, Vec<Contestant>)>) -> Outcome<SuiteResult> {
        let mut results = Vec::new();
        for (work, contestants) in works {
            results.push(self.work(work, &contestants)?);
        }
        remove(&self.directory.join(suite.name))?;
        Ok(SuiteResult { suite, works: results })
    }

    fn work(&mut self, work: Work, contestants: &[Contestant]) -> Outcome<WorkResult> {
        let mut rows: Vec<_> = contestants.iter().map(|&contestant| Row::new(contestant)).collect();
        let mut foreign = Vec::new();
        for round in 0..self.rounds {
            // Each round begins with another one, so that nobody always follows the same.
            for turn in 0..rows.len() {
                let row_count = rows.len();
                let row = &mut rows[(turn + round) % row_count];
                self.bar.set_message(format!("{}: {}", work.name(), row.contestant.name));
                self.bar.inc(1);
                if row.failure.is_some() {
                    continue;
                }
                let (outcome, share) = self.turn(&work, &row.contestant);
                foreign.push(share);
                match outcome {
                    Ok(figures) => row.rounds.push(figures),
                    Err(error) => row.failure = Some(error.to_string()),
                }
            }
        }
        Ok(WorkResult { work, rows, foreign })
    }

    /// One turn, and the share of the processors' time that went to other processes meanwhile.
    fn turn(&self, work: &Work, contestant: &Contestant) -> (Outcome<Figures>, f64) {
        // What the last turn removed is its own business, not the next one's: on a journalling file
        // system this writes the journal. Not sync(2), which waits for all that others write.
        let _ = File::open(&self.directory).and_then(|directory| directory.sync_all());
        let (began, busy, children) = (Instant::now(), machine::busy_seconds(), machine::children_seconds());
        let outcome = self.turn_process(work, contestant);
        let others = machine::busy_seconds() - busy - (machine::children_seconds() - children);
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        (outcome, (others / (began.elapsed().as_secs_f64() * processors)).max(0.0))
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
