//! A log of messages on a slot file, with the power cut at every operation, in every way.
//!
//! ```text
//! cargo run -p fz-sim --example log             # the log, then its broken twins
//! cargo run -p fz-sim --example log -- 7        # with another seed
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::error::Error;

use fz_file::{SlotFile, SlotFileConfig};
use fz_sim::{Acknowledged, CrashTest, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate, SimDisk};

const SLOT: usize = 128;

/// The flaw of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    AcknowledgesBeforeTheSync,
    OpensAgainAfterAFailedSync,
}

/// Message *n* stands in slot *n*, after its length.
struct Log {
    file: SlotFile,
    next: u64,
}

impl Log {
    fn open(disk: &SimDisk) -> fz_file::Result<Self> {
        let config = SlotFileConfig::new("/log", SLOT).initial_slots(8);
        let file = SlotFile::open_on(disk.volume(), config)?;
        let mut log = Self { file, next: 0 };
        while log.next < log.file.slots() && log.read(log.next)?.is_some() {
            log.next += 1;
        }
        Ok(log)
    }

    fn read(&self, slot: u64) -> fz_file::Result<Option<String>> {
        let mut bytes = [0; SLOT];
        self.file.read(slot, &mut bytes)?;
        let (length, text) = (usize::from(bytes[0]), &bytes[1..]);
        Ok((length > 0).then(|| String::from_utf8_lossy(&text[..length]).into_owned()))
    }

    /// Writes one message; it is durable after `sync`.
    fn append(&mut self, message: &str) -> fz_file::Result<()> {
        let mut bytes = [0; SLOT];
        bytes[0] = u8::try_from(message.len()).expect("the messages here are short");
        bytes[1..=message.len()].copy_from_slice(message.as_bytes());
        self.file.write(self.next, &bytes)?;
        self.next += 1;
        Ok(())
    }
}

/// Appends some messages, and says which of them the log acknowledged.
fn append_all(disk: &SimDisk, flaw: Flaw, acknowledged: &Acknowledged<String>) {
    let Ok(mut log) = Log::open(disk) else { return };
    // One sync fails, as when a disk has a bad moment: pages dropped, next sync "fine".
    let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault).nth(4)));
    for number in 0..6 {
        let message = format!("message {number}");
        if log.append(&message).is_err() {
            break;
        }
        if flaw == Flaw::AcknowledgesBeforeTheSync {
            acknowledged.push(message.clone());
        }
        if log.file.sync().is_err() {
            if flaw != Flaw::OpensAgainAfterAFailedSync {
                break;
            }
            // The message may not be there, or be there by chance: a sync of clean pages says nothing about it.
            drop(log);
            let Ok(again) = Log::open(disk) else { break };
            log = again;
            if log.next <= number || log.file.sync().is_err() {
                break;
            }
        }
        if flaw != Flaw::AcknowledgesBeforeTheSync {
            acknowledged.push(message);
        }
    }
}

/// Whether everything acknowledged is in the log.
fn check(image: &SimDisk, acknowledged: &[String]) -> Result<(), String> {
    let log = Log::open(image).map_err(|error| format!("the log does not open: {error}"))?;
    for (slot, message) in (0..).zip(acknowledged) {
        let found = log.read(slot).map_err(|error| error.to_string())?;
        if found.as_ref() != Some(message) {
            return Err(format!("slot {slot} holds {found:?}, {message:?} was acknowledged"));
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(42), |seed| seed.parse())?;
    let test = CrashTest::new(seed);
    let report = test.run(|disk, told| append_all(disk, Flaw::None, told), check)?;
    println!("seed {seed}: the log keeps its word\n{report}\n");
    for flaw in [Flaw::AcknowledgesBeforeTheSync, Flaw::OpensAgainAfterAFailedSync] {
        match test.run(|disk, told| append_all(disk, flaw, told), check) {
            Ok(_) => return Err(format!("{flaw:?} got through").into()),
            Err(failure) => println!("{flaw:?}: {failure}"),
        }
    }
    Ok(())
}
