//! A log that keeps its newest records: a ring of slots in a file.
//!
//! ```text
//! cargo run -p fz-file --example ring -- /tmp/log "first message"
//! cargo run -p fz-file --example ring -- /tmp/log "second message"
//! ```
//!
//! Each record carries its sequence number, which says both where it goes (`sequence % slots`) and,
//! when the ring is opened again, which record is the newest. There is no other state to keep
//! consistent, so one sync makes an append durable.

use std::error::Error;
use std::io::Write;

use fz_file::{Preallocation, SlotFile, SlotFileConfig};

const SLOT_SIZE: usize = 128;
const RECORDS_MAX: u64 = 8;
/// The sequence number and the text's length, before the text.
const HEADER_BYTES: usize = 9;

struct Ring {
    file: SlotFile,
    /// The number of the next record; 0 in a slot means that it was never written.
    next: u64,
}

impl Ring {
    fn open(path: &str) -> fz_file::Result<Self> {
        // Zeroed slots: no append ever finds the disk full, and its sync costs no journal commit.
        let config =
            SlotFileConfig::new(path, SLOT_SIZE).initial_slots(RECORDS_MAX).preallocation(Preallocation::Zeroed);
        let mut ring = Self { file: SlotFile::open(config)?, next: 1 };
        ring.next = ring.records()?.last().map_or(1, |(sequence, _)| sequence + 1);
        Ok(ring)
    }

    /// Appends a record over the oldest one. Durable when it returns.
    fn append(&mut self, text: &str) -> fz_file::Result<u64> {
        let (sequence, mut slot) = (self.next, [0; SLOT_SIZE]);
        let length = fitting(text, SLOT_SIZE - HEADER_BYTES);
        slot[..8].copy_from_slice(&sequence.to_le_bytes());
        slot[8] = u8::try_from(length).expect("a slot's text is shorter than 256 bytes");
        slot[HEADER_BYTES..][..length].copy_from_slice(&text.as_bytes()[..length]);
        self.file.write(sequence % self.file.slots(), &slot)?;
        self.file.sync()?;
        self.next += 1;
        Ok(sequence)
    }

    /// The records in the ring, oldest first.
    fn records(&self) -> fz_file::Result<Vec<(u64, String)>> {
        let mut records = Vec::new();
        for index in 0..self.file.slots() {
            let mut slot = [0; SLOT_SIZE];
            self.file.read(index, &mut slot)?;
            let (sequence, rest) = slot.split_first_chunk::<8>().expect("a slot is longer than 8 bytes");
            let sequence = u64::from_le_bytes(*sequence);
            if sequence > 0 {
                let text = &rest[1..=usize::from(rest[0]).min(rest.len() - 1)];
                records.push((sequence, String::from_utf8_lossy(text).into_owned()));
            }
        }
        records.sort_unstable();
        Ok(records)
    }
}

/// The length of the longest start of `text` that has at most `bytes_max` bytes.
fn fitting(text: &str, bytes_max: usize) -> usize {
    (0..=bytes_max.min(text.len())).rev().find(|&length| text.is_char_boundary(length)).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut arguments = std::env::args().skip(1);
    // Without arguments it shows itself, in a directory that goes away.
    let path = arguments.next().unwrap_or_else(|| directory.path().join("log").display().to_string());
    let mut texts: Vec<_> = arguments.collect();
    if texts.is_empty() {
        texts = (1..=10).map(|number| format!("message {number}")).collect();
    }

    let mut ring = Ring::open(&path)?;
    for text in &texts {
        ring.append(text)?;
    }
    drop(ring); // gives the lock back

    let mut output = std::io::stdout().lock();
    for (sequence, text) in Ring::open(&path)?.records()? {
        writeln!(output, "{sequence:6} {text}")?;
    }
    Ok(())
}
