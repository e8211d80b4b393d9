//! `walrus-rust`: a topic for each writer, `FsyncSchedule::SyncEach`; batches where no writer waits.
//!
//! A batch spares system calls and not the disk: each record is a write of its own, all submitted to
//! `io_uring` at once, to a file opened with `O_SYNC`. The device flushes once a record.

use std::sync::atomic::{AtomicU64, Ordering};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::Outcome;
use crate::peers::peer::{BATCH_BYTES, Peer, Setup, Writer};

pub(crate) struct WalrusRust {
    wal: Walrus,
    writers: AtomicU64,
}

impl Peer for WalrusRust {
    const NAME: &'static str = "walrus";
    type Writer<'a> = WalrusWriter<'a>;

    fn open(setup: &Setup) -> Outcome<Self> {
        // It takes its directory, like its verbosity, from the environment alone, and a process
        // may not change that while other threads run: it writes below the current directory.
        std::env::set_current_dir(&setup.directory)?;
        let consistency = ReadConsistency::AtLeastOnce { persist_every: 1 << 20 };
        let wal = Walrus::with_consistency_and_schedule(consistency, FsyncSchedule::SyncEach)?;
        Ok(Self { wal, writers: AtomicU64::new(0) })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        let topic = format!("writer-{}", self.writers.fetch_add(1, Ordering::Relaxed));
        Ok(WalrusWriter { wal: &self.wal, topic, batch: Vec::new(), bytes: 0 })
    }

    fn sync(&self) -> Outcome<()> {
        // Every append was synced.
        Ok(())
    }
}

pub(crate) struct WalrusWriter<'a> {
    wal: &'a Walrus,
    topic: String,
    batch: Vec<u8>,
    bytes: usize,
}

impl Writer for WalrusWriter<'_> {
    fn submit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        self.batch.extend_from_slice(bytes);
        self.bytes = bytes.len();
        if self.batch.len() >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Outcome<()> {
        if !self.batch.is_empty() {
            let records: Vec<_> = self.batch.chunks(self.bytes).collect();
            self.wal.batch_append_for_topic(&self.topic, &records)?;
            self.batch.clear();
        }
        Ok(())
    }

    fn commit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        if self.batch.is_empty() {
            return Ok(self.wal.append_for_topic(&self.topic, bytes)?);
        }
        // With what `submit` holds back, as an awaited write of the other contestants covers all before it.
        self.batch.extend_from_slice(bytes);
        self.bytes = bytes.len();
        self.finish()
    }
}
