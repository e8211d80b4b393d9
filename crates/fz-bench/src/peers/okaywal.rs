//! `okaywal`: an entry is durable when its commit returns; commits of several threads share syncs.

use std::io;

use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::Outcome;
use crate::peers::peer::{BATCH_BYTES, Peer, Setup, Writer};

pub(crate) struct OkayWal(WriteAheadLog);

/// Nothing is checkpointed to anywhere: only the log is measured.
#[derive(Debug)]
struct Forget;

impl LogManager for Forget {
    fn recover(&mut self, _: &mut Entry<'_>) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

impl Peer for OkayWal {
    const NAME: &'static str = "okaywal";
    type Writer<'a> = OkayWriter<'a>;

    fn open(setup: &Setup) -> Outcome<Self> {
        Ok(Self(WriteAheadLog::recover(setup.directory.join("log"), Forget)?))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(OkayWriter { log: &self.0, batch: Vec::new(), bytes: 0 })
    }

    fn sync(&self) -> Outcome<()> {
        // Every commit was durable.
        Ok(())
    }
}

pub(crate) struct OkayWriter<'a> {
    log: &'a WriteAheadLog,
    /// It has no write without durability: records are gathered to one entry.
    batch: Vec<u8>,
    bytes: usize,
}

impl Writer for OkayWriter<'_> {
    fn submit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        self.batch.extend_from_slice(bytes);
        self.bytes = bytes.len();
        if self.batch.len() >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Outcome<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut entry = self.log.begin_entry()?;
        for record in self.batch.chunks(self.bytes) {
            entry.write_chunk(record)?;
        }
        entry.commit()?;
        self.batch.clear();
        Ok(())
    }

    fn commit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        // With what `submit` holds back, as an awaited write of the other contestants covers all before it.
        self.batch.extend_from_slice(bytes);
        self.bytes = bytes.len();
        self.finish()
    }
}
