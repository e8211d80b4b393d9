//! Reads what `strace -f` saw, and checks that no acknowledgement came before its sync.
//!
//! The tracer stops a thread before a call and after it. So when it shows that a write had ended before a
//! sync began, it was so; and what a thread did because a call had ended, it shows after that end.

use std::collections::HashMap;

use crate::subject::child::Line;
use crate::subject::content::Accepted;

/// Calls in which threads wait, for each other or for the time.
pub(crate) const WAITS: [&str; 7] =
    ["futex", "poll", "ppoll", "epoll_wait", "read", "clock_nanosleep", "restart_syscall"];

/// Findings that are written out; the rest is counted.
const FINDINGS_MAX: usize = 5;

/// A system call that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Bytes to a place of a file.
    Write { fd: u64, offset: u64 },
    /// `fsync` or `fdatasync`.
    Sync { fd: u64 },
    /// The child said something.
    Say(Line),
    /// Any other, by its name.
    Other(String),
}

/// What the tracer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Begin(u32, Call),
    /// With what the call returned, or the name of the error.
    End(u32, Call, Result<u64, String>),
    /// A thread got a signal; whether strace had sent it when a call began.
    Signal(u32, bool),
}

/// Reads the output of `strace -f -o`, with the numbers of writes and syncs raw.
pub(crate) fn parse(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut under_way: HashMap<u32, Call> = HashMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let (Ok(thread), rest) = (thread.parse::<u32>(), rest.trim_start()) else { continue };
        if let Some(rest) = rest.strip_prefix("<... ") {
            if let (Some(call), Some(result)) = (under_way.remove(&thread), result(rest)) {
                events.push(Event::End(thread, call, result));
            }
            continue;
        }
        if let Some(signal) = rest.strip_prefix("--- SIG") {
            events.push(Event::Signal(thread, signal.contains("si_code=SI_KERNEL")));
            continue;
        }
        let Some(call) = call(rest) else { continue };
        events.push(Event::Begin(thread, call.clone()));
        if rest.ends_with("<unfinished ...>") {
            under_way.insert(thread, call);
        } else if let Some(result) = result(rest) {
            events.push(Event::End(thread, call, result));
        }
    }
    events
}

fn call(text: &str) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let number = |place: usize| number(arguments.split(',').nth(place)?);
    Some(match name {
        "pwritev" | "pwritev2" | "pwrite64" => Call::Write { fd: number(0)?, offset: number(3)? },
        "fsync" | "fdatasync" => Call::Sync { fd: number(0)? },
        "write" => {
            let said = arguments.split('"').nth(1).unwrap_or_default().trim_end_matches("\\n");
            Line::parse(said).map_or_else(|| Call::Other("write".to_owned()), Call::Say)
        }
        name => Call::Other(name.to_owned()),
    })
}

/// A number, decimal or hexadecimal, with whatever follows it.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], radix).ok()
}

fn result(text: &str) -> Option<Result<u64, String>> {
    let (_, result) = text.rsplit_once(" = ")?;
    // The question mark: what the program gets is not decided yet, see `is_interruption`.
    if let Some(error) = result.strip_prefix("-1 ").or_else(|| result.strip_prefix("? ")) {
        return Some(Err(error.split(' ').next().unwrap_or_default().to_owned()));
    }
    number(result).map(Ok)
}

/// Whether an error says that a signal came. Inside the kernel it has other names than `EINTR`, which a tracer sees;
/// with a handler that asks for no restart the program gets `EINTR` for each of them.
fn is_interruption(error: &str) -> bool {
    error == "EINTR" || error.starts_with("ERESTART")
}

/// What a trace proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proved {
    /// Acknowledgements, each after the sync that covers it.
    pub(crate) acks: u64,
    /// Writes that they covered.
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    /// Calls on the file that failed, interrupted ones among them.
    pub(crate) failed_calls: u64,
    pub(crate) interrupted_calls: u64,
    /// Interrupted calls in which a thread waited for another or for the time.
    pub(crate) interrupted_waits: u64,
    pub(crate) signals: u64,
    /// Those of them that were pending while a call on the file ran.
    pub(crate) signals_in_calls: u64,
}

/// Checks that every acknowledgement of `events` came after a successful sync that began after the
/// last byte of every write it covers had been written. No two writes share a slot.
///
/// # Errors
///
/// What is wrong, in words.
pub(crate) fn check(events: &[Event], accepted: &[Accepted], slot_size: usize) -> Result<Proved, String> {
    let mut accepted = accepted.to_vec();
    accepted.sort_unstable_by_key(|write| write.epoch);
    let mut checker = Checker { slot_size: slot_size as u64, ..Checker::default() };
    for (place, event) in events.iter().enumerate() {
        checker.hear(place, event, &accepted);
    }
    if checker.wrong == 0 {
        return Ok(checker.proved);
    }
    Err(format!("{} acknowledgements came too early:\n{}", checker.wrong, checker.findings.join("\n")))
}

/// A range of bytes that a call wrote.
struct Written {
    /// The place of its end among those of all writes, counted from 0.
    place: u64,
    fd: u64,
    from: u64,
    to: u64,
}

#[derive(Default)]
struct Checker {
    slot_size: u64,
    /// The file is open: what was written before was its creation.
    is_open: bool,
    /// What no sync has covered yet, in the order in which the writes ended.
    written: Vec<Written>,
    /// How many writes have ended.
    ended: u64,
    /// For a running sync, how many of them had when it began.
    syncing: HashMap<u32, u64>,
    /// For each slot, its bytes that a sync has covered.
    bytes_of_slot: HashMap<u64, u64>,
    /// After a failed sync no later one proves anything.
    sync_failed: bool,
    /// How many of the accepted writes an acknowledgement has covered.
    acknowledged: usize,
    proved: Proved,
    findings: Vec<String>,
    wrong: u64,
}

impl Checker {
    fn hear(&mut self, place: usize, event: &Event, accepted: &[Accepted]) {
        match event {
            Event::Begin(_, Call::Say(Line::Slots(_))) => self.is_open = true,
            Event::Begin(_, Call::Say(Line::Durable(epoch))) => self.acknowledge(place, *epoch, accepted),
            Event::Begin(thread, Call::Sync { .. }) => {
                self.syncing.insert(*thread, self.ended);
            }
            Event::End(_, Call::Write { fd, offset }, Ok(bytes)) if self.is_open => {
                self.written.push(Written { place: self.ended, fd: *fd, from: *offset, to: *offset + *bytes });
                self.ended += 1;
            }
            Event::End(thread, Call::Sync { fd }, result) => self.synced(*thread, *fd, result),
            Event::End(_, Call::Other(name), Err(error)) if WAITS.contains(&name.as_str()) => {
                self.proved.interrupted_waits += u64::from(is_interruption(error));
            }
            Event::End(_, _, Err(error)) => self.failed(error),
            Event::Signal(_, in_call) => {
                self.proved.signals += 1;
                self.proved.signals_in_calls += u64::from(*in_call);
            }
            _ => {}
        }
    }

    /// A sync covers the writes of its own file that had ended when it began.
    fn synced(&mut self, thread: u32, fd: u64, result: &Result<u64, String>) {
        let covered = self.syncing.remove(&thread).unwrap_or(0);
        match result {
            Ok(_) if !self.sync_failed => {
                self.proved.syncs += 1;
                for written in self.written.extract_if(.., |write| write.fd == fd && write.place < covered) {
                    let mut at = written.from;
                    while at < written.to {
                        let end = (at - at % self.slot_size + self.slot_size).min(written.to);
                        *self.bytes_of_slot.entry(at / self.slot_size).or_default() += end - at;
                        at = end;
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.failed(error);
                self.sync_failed |= !is_interruption(error);
            }
        }
    }

    fn failed(&mut self, error: &str) {
        self.proved.failed_calls += 1;
        self.proved.interrupted_calls += u64::from(is_interruption(error));
    }

    fn acknowledge(&mut self, place: usize, epoch: u64, accepted: &[Accepted]) {
        let covered = accepted.partition_point(|write| write.epoch <= epoch);
        let mut early = None;
        for write in accepted.get(self.acknowledged..covered).unwrap_or_default() {
            let bytes = |slot: u64| self.bytes_of_slot.get(&slot).copied().unwrap_or(0);
            if (write.slot..write.slot + write.count).any(|slot| bytes(slot) < self.slot_size) {
                early.get_or_insert(*write);
            }
        }
        self.proved.acks += 1;
        self.proved.writes += covered.saturating_sub(self.acknowledged) as u64;
        self.acknowledged = self.acknowledged.max(covered);
        let dense = accepted.get(..covered).is_some_and(|writes| writes.len() as u64 == epoch);
        let finding = match early {
            Some(write) => format!("event {place}: epoch {epoch} acknowledged, but {write:?} is in no sync"),
            None if !dense => format!("event {place}: epoch {epoch} acknowledged, but {covered} writes are known"),
            None => return,
        };
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: usize = 64;

    fn accepted(count: u64) -> Vec<Accepted> {
        (1..=count).map(|epoch| Accepted { tag: 165, epoch, slot: epoch - 1, count: 1 }).collect()
    }

    fn verdict(lines: &[&str], count: u64) -> Result<Proved, String> {
        let text = lines.join("\n");
        check(&parse(&text), &accepted(count), SLOT)
    }

    const OPENED: &str = r#"7 write(1, "S 8\n", 4) = 4"#;

    #[test]
    fn an_acknowledgement_after_the_sync_is_right() {
        let lines = [
            OPENED,
            "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x80",
            "7 fdatasync(0x4)                 = 0",
            r#"8 write(1, "D 2\n", 4) = 4"#,
        ];
        assert_eq!(verdict(&lines, 2), Ok(Proved { acks: 1, writes: 2, syncs: 1, ..Proved::default() }));
    }

    #[test]
    fn an_acknowledgement_without_a_sync_or_before_it_is_wrong() {
        let write = "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x40";
        let (sync, ack) = ("7 fdatasync(0x4) = 0", r#"8 write(1, "D 1\n", 4) = 4"#);
        assert!(verdict(&[OPENED, write, sync, ack], 1).is_ok());
        assert!(verdict(&[OPENED, write, ack], 1).is_err());
        assert!(verdict(&[OPENED, write, ack, sync], 1).is_err());
        assert!(verdict(&[OPENED, sync, write, ack], 1).is_err());
        assert!(verdict(&[OPENED, sync, ack], 1).is_err());
        assert!(verdict(&[write, OPENED, sync, ack], 1).is_err(), "zeros of the creation are no write");
    }

    #[test]
    fn a_sync_that_began_before_the_write_ended_covers_nothing() {
        let lines = [
            OPENED,
            "7 pwritev(0x4, 0x7f00, 0x1, 0, 0 <unfinished ...>",
            "8 fdatasync(0x4 <unfinished ...>",
            "7 <... pwritev resumed>) = 0x40",
            "8 <... fdatasync resumed>) = 0",
            r#"9 write(1, "D 1\n", 4) = 4"#,
        ];
        assert!(verdict(&lines, 1).is_err());
        let again = ["8 fdatasync(0x4) = 0", r#"9 write(1, "D 1\n", 4) = 4"#];
        assert!(verdict(&[&lines[..5], &again].concat(), 1).is_ok());
    }

    #[test]
    fn a_sync_covers_the_writes_of_its_own_file_and_of_no_other() {
        let write = "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x40";
        let (sync, ack) = ("7 fdatasync(0x4) = 0", r#"8 write(1, "D 1\n", 4) = 4"#);
        let of_the_directory = "7 fsync(0x5) = 0";
        assert!(verdict(&[OPENED, write, of_the_directory, ack], 1).is_err());
        assert!(verdict(&[OPENED, write, of_the_directory, sync, ack], 1).is_ok());
        // It began before the second write, and one of the directory ends while it runs.
        let lines = [
            OPENED,
            write,
            "8 fdatasync(0x4 <unfinished ...>",
            "7 pwritev(0x4, 0x7f00, 0x1, 0x40, 0) = 0x40",
            of_the_directory,
            "8 <... fdatasync resumed>) = 0",
        ];
        assert!(verdict(&[&lines[..], &[ack]].concat(), 2).is_ok());
        assert!(verdict(&[&lines[..], &[r#"8 write(1, "D 2\n", 4) = 4"#]].concat(), 2).is_err());
    }

    #[test]
    fn a_failed_sync_proves_nothing_and_neither_does_one_after_it() {
        let write = "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x40";
        let failed = "7 fdatasync(0x4) = -1 EIO (Input/output error) (INJECTED)";
        let interrupted = "7 fdatasync(0x4) = -1 EINTR (Interrupted system call) (INJECTED)";
        let (sync, ack) = ("7 fdatasync(0x4) = 0", r#"8 write(1, "D 1\n", 4) = 4"#);
        assert!(verdict(&[OPENED, write, failed, ack], 1).is_err());
        assert!(verdict(&[OPENED, write, failed, sync, ack], 1).is_err());
        assert!(verdict(&[OPENED, write, interrupted, ack], 1).is_err());
        assert!(verdict(&[OPENED, write, interrupted, sync, ack], 1).is_ok());
    }

    #[test]
    fn a_short_write_is_written_as_far_as_it_went() {
        let (sync, ack) = ("7 fdatasync(0x4) = 0", r#"8 write(1, "D 2\n", 4) = 4"#);
        let half = "7 pwritev(0x4, 0x7f00, 0x2, 0, 0) = 0x50";
        let rest = "7 pwritev(0x4, 0x7f00, 0x2, 0x50, 0) = 0x30";
        assert!(verdict(&[OPENED, half, sync, ack], 2).is_err());
        assert!(verdict(&[OPENED, half, rest, sync, ack], 2).is_ok());
        assert!(verdict(&[OPENED, half, sync, rest, sync, ack], 2).is_ok());
    }

    #[test]
    fn an_epoch_that_nobody_knows_is_wrong() {
        let write = "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x40";
        assert!(verdict(&[OPENED, write, "7 fdatasync(0x4) = 0", r#"8 write(1, "D 2\n", 4) = 4"#], 1).is_err());
    }

    #[test]
    fn signals_and_what_they_interrupt_are_counted_apart() {
        let lines = [
            OPENED,
            "7 pwritev(0x4, 0x7f00, 0x1, 0, 0) = 0x40",
            "7 --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_KERNEL} ---",
            "8 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>",
            "7 fdatasync(0x4 <unfinished ...>",
            "8 <... futex resumed>) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
            "8 --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=6, si_uid=0} ---",
            "7 <... fdatasync resumed>) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
            "8 poll([{fd=5, events=POLLIN}], 1, -1) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
            "8 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
            "7 fdatasync(0x4) = 0",
            r#"8 write(1, "D 1\n", 4) = 4"#,
            "7 exit_group(0) = ?",
        ];
        let counts = Proved { failed_calls: 1, interrupted_calls: 1, interrupted_waits: 2, ..Proved::default() };
        let proved = Proved { acks: 1, writes: 1, syncs: 1, signals: 2, signals_in_calls: 1, ..counts };
        assert_eq!(verdict(&lines, 1), Ok(proved));
        assert!(verdict(&[&lines[..10], &lines[11..]].concat(), 1).is_err(), "an interrupted sync proves nothing");
    }
}
