//! Kills at any instant: a process that writes is killed, and its slot file must honour what the process
//! had reported.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use fz_file::{Create, FileErrorKind, SlotFile, SlotFileConfig};

use crate::oracle::history::{History, check_order};
use crate::os::resources::{self, Directory};
use crate::random::Random;
use crate::report::Findings;
use crate::subject::child::{self, Line};
use crate::subject::content::Tag;
use crate::subject::plan::Plan;

/// How long a child lives at most, before it is killed.
const LIFE_MAX_MICROS: u64 = 40_000;

/// One child in `WATCHED_EVERY`, the first among them, lives until the pipe has accepted up to `WATCHED_WRITES`
/// writes of each of its writers and has reported one durable: a child that does not get so far hangs.
const WATCHED_EVERY: u64 = 4;
const WATCHED_WRITES: u64 = 50;

/// How long that may take, a hundred times what it does. Of programs broken on purpose hangs are expected.
const WATCHED_MAX: Duration = Duration::from_secs(if cfg!(fz_mutants) { 2 } else { 30 });

/// How long a process that was killed may take to end: what it had begun on the slowest disk ends before.
const DYING_MAX: Duration = Duration::from_secs(60);

/// Rounds on one file before a new one is made.
const ROUNDS_ON_A_FILE: u64 = 8;

/// Kills `kills` children, or until `until`.
pub(crate) fn check(seed: u64, kills: u64, until: Option<Instant>, directory: &Path) -> io::Result<Findings> {
    let place = Directory::new(directory)?;
    let path = place.path().join("slots");
    let mut findings = Findings::default();
    let mut shape = Plan::small(&mut Random::new(seed), 0);
    let mut before = None;
    for round in 0..kills {
        if findings.is_over(until) {
            break;
        }
        let mut random = Random::part(seed, round);
        if round % ROUNDS_ON_A_FILE == 0 {
            before = None;
            if path.exists() {
                fs::remove_file(&path)?;
            }
            shape = Plan::small(&mut random, 0);
            // A file that is killed again and again grows each time.
            shape.grow_every = if random.chance(0.3) { 97 } else { 0 };
        }
        let plan = Plan {
            seed: random.word(),
            round: u16::try_from(round % 0xFFFF).expect("less than 2^16") + 1,
            writers: random.pick(&[1, 2, 4, 6]),
            // More than it will live to see.
            writes: 1 << 20,
            wait_every: random.pick(&[1, 2, 3, 8]),
            ..shape.clone()
        };
        match one_kill(&plan, &path, &mut random, before.take(), &mut findings)? {
            Ok(bytes) => before = Some(bytes),
            Err(failure) => {
                resources::halt_if_stopping();
                // Threads do not repeat, so the file is all the evidence there is.
                let kept = match findings.failed() {
                    0 => keep(&path, &format!("fz-crash-kill-failed-{seed}-{round}")),
                    _ => String::new(),
                };
                findings.fail(format!("seed {seed}, kill {round} with {plan:?}:\n{failure}{kept}"));
                fs::remove_file(&path).or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
            }
        }
    }
    findings.require(until, &["kills", "acks", "acknowledged writes checked"]);
    Ok(findings)
}

/// Copies a file to where it stays, also when the file system that it is on is unmounted; says where.
fn keep(path: &Path, name: &str) -> String {
    let kept = std::env::temp_dir().join(name);
    match fs::copy(path, &kept) {
        Ok(_) => format!("\nthe file is kept: {}", kept.display()),
        Err(error) => format!("\nthe file is not kept: {error}"),
    }
}

/// What was in the file before, if it was there, to what is in it after one more run was killed.
fn one_kill(
    plan: &Plan,
    path: &Path,
    random: &mut Random,
    before: Option<Vec<u8>>,
    findings: &mut Findings,
) -> io::Result<Result<Vec<u8>, String>> {
    let (_running, mut child) = child::start(&child::command_line(plan, path, &[])?)?;
    let output = child.stdout.take().expect("it is piped");
    let (promised, promises) = channel();
    let hear = move |line: &Line| {
        let awaited = match line {
            Line::Accepted(write) => Tag::from_word(write.tag).map(|tag| Awaited::Write(tag.writer())),
            Line::Durable(_) => Some(Awaited::Acknowledgement),
            _ => None,
        };
        // Promises that come later are not counted.
        let _ = awaited.map(|awaited| promised.send(awaited));
    };
    let listener = thread::spawn(move || child::listen(output, hear));
    // Half of the lives are short: creation and opening take a millisecond or two.
    let life = if random.chance(0.5) { LIFE_MAX_MICROS } else { LIFE_MAX_MICROS / 8 };
    thread::sleep(Duration::from_micros(random.below(life)));
    // The first as well, so that the fewest kills check an acknowledgement.
    let is_watched = random.below(WATCHED_EVERY) == 0 || findings.counted("kills") == 0;
    let wanted = if is_watched { 1 + random.below(WATCHED_WRITES) } else { 0 };
    let hanging = if is_watched { stuck(&promises, plan.writers, wanted, WATCHED_MAX) } else { Vec::new() };
    let threads = if hanging.is_empty() { String::new() } else { threads(child.id()) };
    let killed = kill(child)?;
    let lines = listener.join().map_err(|_| io::Error::other("the listener panicked"))??;
    if let Err(words) = killed {
        return Ok(Err(format!("{words}\nthe last it said: {:?}", lines.last())));
    }
    if !hanging.is_empty() {
        let words = format!("the run hangs: after {WATCHED_MAX:?} still missing, of {wanted} writes each: {hanging:?}");
        return Ok(Err(format!("{words}; its threads:\n{threads}")));
    }
    findings.count("kills", 1);
    findings.count("watched", u64::from(is_watched));
    Ok(verdict(plan, path, &lines, before.unwrap_or_default(), findings))
}

/// What a watched child is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// A write of this writer was accepted.
    Write(u64),
    /// Something was reported durable.
    Acknowledgement,
}

/// Waits until each writer has had `wanted` writes accepted, and for one acknowledgement; what is still missing when
/// `patience` is over. The end of a child is no hang.
fn stuck(came: &Receiver<Awaited>, writers: u8, wanted: u64, patience: Duration) -> Vec<Awaited> {
    let deadline = Instant::now() + patience;
    let mut missing: BTreeMap<Awaited, u64> = (0..u64::from(writers))
        .map(|writer| (Awaited::Write(writer), wanted))
        .chain([(Awaited::Acknowledgement, 1)])
        .collect();
    loop {
        missing.retain(|_, times| *times > 0);
        if missing.is_empty() {
            return Vec::new();
        }
        match came.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(awaited) => {
                if let Some(times) = missing.get_mut(&awaited) {
                    *times -= 1;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Vec::new(),
            Err(RecvTimeoutError::Timeout) => return missing.into_keys().collect(),
        }
    }
}

/// The threads of a process and where in the kernel each of them is.
fn threads(process: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let told = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let lines = tasks.map(|task| {
        let [name, place, call] = ["comm", "wchan", "syscall"].map(|file| told(&task.path().join(file)));
        format!("{name}: in {place}, call {call}\n")
    });
    lines.collect()
}

/// Kills a child. One that had ended by itself, however well, says nothing about kills: the error tells how.
fn kill(mut child: Child) -> io::Result<Result<(), String>> {
    child.kill()?;
    let Some(output) = child::end(child, DYING_MAX)? else {
        return Err(io::Error::other(format!("a process that was killed has not ended for {DYING_MAX:?}")));
    };
    if output.status.signal() == Some(Signal::SIGKILL as i32) {
        return Ok(Ok(()));
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Ok(Err(format!("the run ended by itself: {}: {}", output.status, words.trim_end())))
}

fn verdict(
    plan: &Plan,
    path: &Path,
    lines: &[Line],
    before: Vec<u8>,
    findings: &mut Findings,
) -> Result<Vec<u8>, String> {
    let heard = Heard::new(lines)?;
    let was_there = !before.is_empty();
    let slots_before = (before.len() / plan.slot_size) as u64;
    let history = heard.history(plan, before);
    // Each writer was perhaps killed before it could report its last write.
    check_order(history.writes(), plan.writers.into())?;
    let file = match SlotFile::open(SlotFileConfig::new(path, plan.slot_size).create(Create::Never)) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), FileErrorKind::NotFound) && heard.slots.is_none() && !was_there => {
            findings.count("killed while creating", 1);
            return Ok(Vec::new());
        }
        Err(error) => return Err(format!("the file does not open: {error} (cause: {:?})", error.io_error())),
    };
    let slots = file.slots();
    let promised = heard.slots.unwrap_or(0).max(slots_before);
    if slots < promised || !plan.may_have(slots) {
        return Err(format!(
            "the file has {slots} slots; at least {promised} were promised, it began with {}",
            plan.slots
        ));
    }
    let bytes = plan.slot_size * usize::try_from(slots).map_err(|error| error.to_string())?;
    let mut content = vec![0; bytes];
    file.read(0, &mut content).map_err(|error| format!("the file cannot be read: {error}"))?;
    let checked = history.check(&content, heard.durable)?;
    findings.count("acks", heard.acks);
    findings.count("acknowledged writes checked", history.writes_through(heard.durable));
    findings.count("accepted", history.writes().len() as u64);
    findings.count("slots checked", slots);
    findings.count("newer", checked.newer);
    findings.count("torn", checked.torn);
    Ok(content)
}

/// What a child had said when it was killed.
struct Heard<'a> {
    lines: &'a [Line],
    slots: Option<u64>,
    durable: u64,
    acks: u64,
}

impl<'a> Heard<'a> {
    fn new(lines: &'a [Line]) -> Result<Self, String> {
        let mut heard = Self { lines, slots: None, durable: 0, acks: 0 };
        for line in lines {
            match line {
                Line::Slots(slots) => heard.slots = Some(heard.slots.unwrap_or(0).max(*slots)),
                Line::Durable(epoch) => {
                    heard.durable = heard.durable.max(*epoch);
                    heard.acks += 1;
                }
                Line::Accepted(_) | Line::Interrupted(_) => {}
                Line::Error(_, words) | Line::Broken(words) => {
                    return Err(format!("the run failed by itself: {words}"));
                }
                Line::Ended => return Err("the run came to its end before it was killed".to_owned()),
            }
        }
        Ok(heard)
    }

    /// The writes that were reported, and for each writer the next one in doubt: it may have been
    /// accepted, and the writer killed before it could say so.
    fn history(&self, plan: &Plan, before: Vec<u8>) -> History {
        let accepted: Vec<_> = self
            .lines
            .iter()
            .filter_map(|line| match line {
                Line::Accepted(write) => Some(*write),
                _ => None,
            })
            .collect();
        let mut next: BTreeMap<u8, u32> = (0..plan.writers).map(|writer| (writer, 0)).collect();
        for tag in accepted.iter().filter_map(|write| Tag::from_word(write.tag)) {
            let (writer, sequence) = (tag.writer(), tag.sequence());
            let next = next.entry(u8::try_from(writer).unwrap_or(0)).or_default();
            *next = (*next).max(u32::try_from(sequence).unwrap_or(0) + 1);
        }
        let mut history = History::of(plan.slot_size, before, accepted);
        for (writer, sequence) in next {
            history.doubt(Tag::new(plan.round, writer, sequence));
        }
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::content;
    use crate::subject::content::Accepted;

    fn plan() -> Plan {
        Plan { slot_size: 64, slots: 4, grow_every: 0, ..Plan::small(&mut Random::new(1), 1) }
    }

    fn file(path: &Path, written: &[(Tag, u64)]) {
        let file = SlotFile::open(plan().file(path)).unwrap();
        for &(tag, slot) in written {
            let mut bytes = [0; 64];
            content::fill(tag, slot, 64, &mut bytes);
            file.write(slot, &bytes).unwrap();
        }
    }

    fn said(durable: u64) -> Vec<Line> {
        let write = |sequence: u32, epoch| {
            Line::Accepted(Accepted { tag: Tag::new(1, 0, sequence).word(), epoch, slot: 2, count: 1 })
        };
        vec![Line::Slots(4), write(0, 1), write(1, 2), Line::Durable(durable)]
    }

    /// A child that panics, or cannot even read its plan, says nothing: it passed for one that was
    /// killed while it created its file.
    #[test]
    fn a_child_that_ended_by_itself_is_rejected_and_one_that_was_killed_is_not() {
        let start = |words: &[&str]| child::start(&words.iter().map(Into::into).collect::<Vec<_>>()).unwrap().1;
        let mut panicked = start(&["sh", "-c", "echo a writer panicked >&2; exit 101"]);
        panicked.wait().unwrap();
        let words = kill(panicked).unwrap().unwrap_err();
        assert!(words.contains("101") && words.contains("a writer panicked"), "{words}");
        let mut content = start(&["true"]);
        content.wait().unwrap();
        kill(content).unwrap().unwrap_err();
        // It waits for a line that never comes.
        let mut waits = std::process::Command::new("cat");
        waits.stdin(std::process::Stdio::piped());
        assert_eq!(kill(waits.spawn().unwrap()).unwrap(), Ok(()));
    }

    #[test]
    fn a_writer_that_gets_no_further_hangs_and_a_child_that_ends_does_not() {
        let patience = Duration::from_millis(20);
        let (said, came) = channel();
        let writes = |writers: &[u64]| writers.iter().for_each(|&writer| said.send(Awaited::Write(writer)).unwrap());
        let acknowledgement = || said.send(Awaited::Acknowledgement).unwrap();
        writes(&[0]);
        acknowledgement();
        writes(&[1, 1]);
        assert!(stuck(&came, 2, 1, patience).is_empty());
        writes(&[0, 0, 0]);
        acknowledgement();
        assert_eq!(stuck(&came, 2, 2, patience), [Awaited::Write(1)], "one of its two was the second of before");
        writes(&[0, 1]);
        assert_eq!(stuck(&came, 2, 1, patience), [Awaited::Acknowledgement], "no ticket resolves");
        drop(said);
        assert!(stuck(&came, 2, 1, patience).is_empty(), "that it ended by itself is found out when it is killed");
    }

    #[test]
    fn a_file_that_lost_an_acknowledged_write_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots");
        file(&path, &[(Tag::new(1, 0, 0), 2)]);
        let judge = |durable| verdict(&plan(), &path, &said(durable), Vec::new(), &mut Findings::default());
        assert!(judge(1).is_ok());
        assert!(judge(2).is_err());
    }

    #[test]
    fn the_write_that_nobody_could_report_any_more_is_in_doubt_and_the_one_after_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for (sequence, right) in [(2, true), (3, false)] {
            let path = directory.path().join(sequence.to_string());
            file(&path, &[(Tag::new(1, 0, sequence), 2)]);
            assert_eq!(verdict(&plan(), &path, &said(2), Vec::new(), &mut Findings::default()).is_ok(), right);
        }
    }

    #[test]
    fn epochs_out_of_order_are_rejected_though_the_file_agrees() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots");
        file(&path, &[(Tag::new(1, 0, 0), 2), (Tag::new(1, 0, 1), 3)]);
        let judge = |epochs: [u64; 2]| {
            let write = |(sequence, epoch): (u32, u64)| {
                let tag = Tag::new(1, 0, sequence).word();
                Line::Accepted(Accepted { tag, epoch, slot: 2 + u64::from(sequence), count: 1 })
            };
            let lines = [Line::Slots(4), write((0, epochs[0])), write((1, epochs[1])), Line::Durable(2)];
            verdict(&plan(), &path, &lines, Vec::new(), &mut Findings::default())
        };
        assert!(judge([1, 2]).is_ok());
        judge([2, 1]).unwrap_err();
        judge([2, 2]).unwrap_err();
    }

    #[test]
    fn a_file_that_is_gone_or_too_short_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots");
        let judge = |lines: &[Line]| verdict(&plan(), &path, lines, Vec::new(), &mut Findings::default());
        assert!(judge(&[]).is_ok(), "it may never have been created");
        assert!(judge(&[Line::Slots(4)]).is_err());
        file(&path, &[]);
        assert!(judge(&[Line::Slots(5)]).is_err());
        assert!(judge(&[Line::Ended]).is_err());
    }
}
