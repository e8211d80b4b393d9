//! What a contestant must be able to do.

use std::future::Future;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::disk::Delay;
use crate::workload::Work;

/// What a contestant is opened for.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The contestant's own directory, which exists. Empty, unless [`Peer::REUSES_FILES`].
    pub(crate) directory: PathBuf,
    /// Bytes a record.
    pub(crate) bytes: usize,
    /// Slots that records may go to.
    pub(crate) slots: u64,
    /// How many records are submitted and not yet durable at most.
    pub(crate) in_flight: usize,
    /// Bytes of records that may wait in memory, where that is bounded for all contestants: a writer that submits
    /// more waits.
    pub(crate) waiting_bytes_max: Option<usize>,
    /// How much longer each sync takes, where this program makes or can reach the syncs.
    pub(crate) sync_delay: Delay,
}

impl Setup {
    pub(crate) fn of(work: &Work, directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            bytes: work.bytes,
            slots: work.slots,
            in_flight: work.in_flight(),
            waiting_bytes_max: work.waiting_bytes_max(),
            sync_delay: work.sync_delay(),
        }
    }

    /// The size of a file with all slots.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.slots * self.bytes as u64
    }
}

/// Something that makes records durable.
pub(crate) trait Peer: Sized + Send + Sync {
    /// As in the tables and after `--peers`.
    const NAME: &'static str;

    /// The files of one turn serve the next: a preallocated file need not be written anew.
    const REUSES_FILES: bool = false;

    /// What it acknowledged survives a power cut, as far as its system calls tell. A peer that says no is shown,
    /// but is never the best peer.
    const IS_DURABLE: bool = true;

    /// One writer's own state.
    type Writer<'a>: Writer + Send
    where
        Self: 'a;

    fn open(setup: &Setup) -> Outcome<Self>;

    /// A handle for one thread.
    fn writer(&self) -> Outcome<Self::Writer<'_>>;

    /// Returns when all that was submitted before is durable.
    fn sync(&self) -> Outcome<()>;

    /// How many syncs it made so far, if it counts them.
    fn syncs(&self) -> Option<u64> {
        None
    }

    /// Reads one record, if it lies in a slot.
    fn read(&self, slot: u64, bytes: &mut [u8]) -> Outcome<()> {
        let _ = (slot, bytes);
        Err("has no slots to read".into())
    }
}

/// What one writer does.
pub(crate) trait Writer {
    /// Told before a timed loop how many submits come.
    fn prepare(&mut self, submits: usize) -> Outcome<()> {
        let _ = submits;
        Ok(())
    }

    /// Hands a record over without waiting for its durability.
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()>;

    /// Hands over what `submit` held back to fill a batch.
    fn finish(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Returns when the record is durable.
    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()>;
}

/// A peer with commits that many tasks of one thread can await.
pub(crate) trait TaskPeer: Peer {
    fn commit_task(&self, slot: u64, bytes: &[u8]) -> impl Future<Output = Outcome<()>>;
}

/// How many bytes of records a contestant without cheap single writes gathers to one transaction or entry.
///
/// The size of a batch is the same for all of them, and large enough that the transaction's own
/// cost fades.
#[cfg(any(feature = "okaywal", feature = "raft-engine", feature = "walrus", feature = "sqlite", feature = "redb"))]
pub(crate) const BATCH_BYTES: usize = 128 << 10;
