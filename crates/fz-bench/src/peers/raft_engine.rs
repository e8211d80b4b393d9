//! `raft-engine`: a log of key-value batches, one Raft group a writer; writers share syncs.

use std::sync::atomic::{AtomicU64, Ordering};

use raft_engine::{Config, Engine, LogBatch};

use crate::Outcome;
use crate::peers::peer::{BATCH_BYTES, Peer, Setup, Writer};

pub(crate) struct RaftEngine {
    engine: Engine,
    writers: AtomicU64,
}

impl Peer for RaftEngine {
    const NAME: &'static str = "raft-engine";
    type Writer<'a> = RaftWriter<'a>;

    fn open(setup: &Setup) -> Outcome<Self> {
        let dir = setup.directory.join("log").to_string_lossy().into_owned();
        Ok(Self { engine: Engine::open(Config { dir, ..Config::default() })?, writers: AtomicU64::new(1) })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        let group = self.writers.fetch_add(1, Ordering::Relaxed);
        Ok(RaftWriter { engine: &self.engine, group, batch: LogBatch::default(), gathered: 0 })
    }

    fn sync(&self) -> Outcome<()> {
        // Its own `sync` writes an empty batch, and an empty batch returns before the sync.
        let mut batch = LogBatch::default();
        batch.put(u64::MAX, Vec::new(), vec![0])?;
        self.engine.write(&mut batch, true)?;
        Ok(())
    }
}

pub(crate) struct RaftWriter<'a> {
    engine: &'a Engine,
    group: u64,
    batch: LogBatch,
    gathered: usize,
}

impl RaftWriter<'_> {
    fn put(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        Ok(self.batch.put(self.group, slot.to_be_bytes().to_vec(), bytes.to_vec())?)
    }
}

impl Writer for RaftWriter<'_> {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.put(slot, bytes)?;
        self.gathered += 1;
        if self.gathered * bytes.len() >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Outcome<()> {
        self.engine.write(&mut self.batch, false)?;
        self.gathered = 0;
        Ok(())
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.put(slot, bytes)?;
        self.engine.write(&mut self.batch, true)?;
        self.gathered = 0;
        Ok(())
    }
}
