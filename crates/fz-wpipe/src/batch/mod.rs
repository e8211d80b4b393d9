//! What is written: from the queue to the file, batch by batch, under one lock.
//!
//! A batch is drained from the queue, ordered by slot ([`order`]), and written with the fewest calls ([`io`]), all
//! under the batch lock, so batches reach the file in the order in which they were drained. The leader of a round and
//! a reader that must see queued writes do so; the sync needs no lock. The memory of a batch is released without the
//! lock.
//!
//! # Locks
//!
//! The batch lock before those of the queue and the pool, which are leaves; [`Recent`]'s is one too.

mod io;
mod order;
mod recent;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use fz_commit::{Event, Fault, Medium};
use fz_file::{FileError, FileErrorKind, SlotFile};
use fz_mpsc::{Receiver, Sender};

pub(crate) use self::io::Written;
use self::io::{FileWriter, WriteBack};
use self::order::{Order, SlotOrder};
use self::recent::Recent;
use crate::stats::Counters;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::{PipeError, PipeErrorKind, Result, SyncMode, WritePipeConfig, WriteRequest, observe};

/// How long a batch waits for a producer that was stopped between its claim and its write, before the leader looks
/// again. All older writes are written by then.
const STOPPED_PRODUCER: Duration = Duration::from_millis(1);

/// The file's slots as a medium of group commit.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) sender: Sender<WriteRequest>,
    pub(crate) counters: Counters,
    config: WritePipeConfig,
    file: Arc<SlotFile>,
    batch: Mutex<Batch>,
    /// The highest epoch handed to the kernel; a copy of the batch's, to be read without its lock.
    written: CachePadded<AtomicU64>,
    recent: Mutex<Recent>,
    /// Why a write or a sync failed: set before the lock under which it failed is released.
    failure: OnceLock<PipeError>,
}

/// Everything that needs the batch lock: the queue's end and the file's.
#[derive(Debug)]
struct Batch {
    receiver: Receiver<WriteRequest>,
    /// As they were accepted. Empty between two batches, and so is `merged`; both keep their memory.
    requests: Vec<WriteRequest>,
    merged: Vec<WriteRequest>,
    order: SlotOrder,
    write_back: WriteBack,
    /// A batch is under way, or one failed or panicked: nothing may be written after that.
    is_broken: bool,
    /// The highest epoch handed to the kernel. Kept, not counted from the queue: what a batch that failed took out of
    /// the queue is not written.
    written: u64,
    /// For the mutant `older_batch_after_newer`: what the last batch wrote.
    #[cfg(fz_mutants)]
    older: Vec<(u64, Vec<u8>)>,
}

impl Slots {
    pub(crate) fn new(
        config: WritePipeConfig,
        file: Arc<SlotFile>,
        sender: Sender<WriteRequest>,
        receiver: Receiver<WriteRequest>,
    ) -> Self {
        let batch = Batch {
            receiver,
            requests: Vec::new(),
            merged: Vec::new(),
            order: SlotOrder::default(),
            write_back: WriteBack::new(&file, config.write_back_bytes_asked()),
            is_broken: false,
            written: 0,
            #[cfg(fz_mutants)]
            older: Vec::new(),
        };
        Self {
            sender,
            counters: Counters::default(),
            config,
            file,
            batch: Mutex::new(batch),
            written: CachePadded::new(AtomicU64::new(0)),
            recent: Mutex::new(Recent::default()),
            failure: OnceLock::new(),
        }
    }

    pub(crate) fn module_id(&self) -> u8 {
        self.config.module_id
    }

    fn error(&self, operation: &'static str, kind: PipeErrorKind) -> PipeError {
        PipeError::new(self.module_id(), operation, kind)
    }

    /// Why a write or a sync failed, as soon as it has.
    pub(crate) fn failure(&self) -> Option<&PipeError> {
        self.failure.get()
    }

    /// Why the batch is broken, also before its panic is known.
    fn broken(&self) -> PipeError {
        let panicked = || self.error("write", PipeErrorKind::Panicked { message: "a batch is incomplete".to_owned() });
        self.failure.get_or_init(panicked).clone()
    }

    /// The highest epoch handed to the kernel.
    pub(crate) fn written_epoch(&self) -> u64 {
        // Acquire: pairs with the Release in `write_batch`.
        self.written.load(Ordering::Acquire)
    }

    /// Writes accepted and not yet handed to the kernel: those in the queue and those of the batch under way.
    pub(crate) fn queue_depth(&self) -> u64 {
        // In this order the difference cannot be negative.
        let written = self.written_epoch();
        self.sender.last_position() - written
    }

    /// Drains one batch and writes it. Returns the highest epoch handed to the kernel.
    fn write_batch(&self) -> Result<u64> {
        let mut batch = lock(&self.batch);
        if batch.is_broken {
            // Its failure is being declared, or it was. The memory goes with the rest of the queue.
            return Err(self.broken());
        }
        batch.drain(&self.config);
        if batch.requests.is_empty() {
            return Ok(batch.written);
        }
        let (first, last) = (batch.written + 1, batch.receiver.next_position() - 1);
        batch.is_broken = true;
        let written = match batch.write(&self.file, &self.recent) {
            Ok(written) => written,
            Err(source) => {
                let error = self.failed_write(first, last, source);
                let error = self.failure.get_or_init(|| error).clone();
                let released = batch.take_memory();
                drop(batch);
                drop(released);
                return Err(error);
            }
        };
        batch.is_broken = false;
        batch.written = last;
        // Release: pairs with the Acquire in `written_epoch`. Under the lock, or it could go back.
        self.written.store(last, Ordering::Release);
        self.counters.batch(last + 1 - first, &written, self.file.slot_size());
        let mut released = batch.take_memory();
        drop(batch);
        // The pool wakes callers that wait for memory: foreign code, so without the lock.
        released.clear();
        lock(&self.batch).keep_memory(released);
        Ok(last)
    }

    fn failed_write(&self, first: u64, last: u64, source: FileError) -> PipeError {
        let kind = match source.kind() {
            // The device could not be told to begin with what is written and not synced.
            FileErrorKind::SyncFailed { failed_in: "sync_range", .. } => {
                PipeErrorKind::WriteFailed { first: self.counters.durable() + 1, last }
            }
            // A sync failed before, so the file refused the write.
            FileErrorKind::SyncFailed { .. } => {
                PipeErrorKind::SyncFailed { written: first - 1, durable: self.counters.durable() }
            }
            _ => PipeErrorKind::WriteFailed { first, last },
        };
        self.error("write", kind).with_source(source)
    }

    /// Hands everything up to `accepted` to the kernel, for a reader.
    pub(crate) fn write_through(&self, accepted: u64) -> Result<()> {
        while self.written_epoch() < accepted {
            if let Some(error) = self.failure() {
                return Err(error.clone());
            }
            self.write_batch()?;
        }
        Ok(())
    }

    /// Reads slots that are in the file. The bytes are those of whole writes, however many batches are written
    /// meanwhile.
    pub(crate) fn read(&self, slot_index: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        let count = u64::try_from(buffer.len() / self.file.slot_size()).unwrap_or(u64::MAX);
        let mark = lock(&self.recent).mark();
        self.file.read(slot_index, buffer)?;
        let is_torn = lock(&self.recent).has_touched(mark, slot_index..slot_index + count);
        if is_torn && !fz_error::mutants::active("read_beside_a_batch") {
            // A batch touched these slots meanwhile. They are in the page cache now, so this read is short.
            let batch = lock(&self.batch);
            self.file.read(slot_index, buffer)?;
            if batch.is_broken {
                // It may have left a part of a write. The caller looks for the failure after this.
                let _ = self.broken();
            }
        }
        Ok(())
    }

    fn sync_file(&self) -> Result<(), FileError> {
        let sync = || match self.config.sync_mode {
            _ if fz_error::mutants::active("write_back_taken_for_sync") => self.file.sync_range(0, self.file.slots()),
            SyncMode::Data => self.file.sync(),
            SyncMode::Full => self.file.sync_all(),
            SyncMode::DangerouslyNone => Ok(()),
        };
        match sync() {
            Err(_) if fz_error::mutants::active("retry_failed_sync") => sync().or(Ok(())),
            outcome => outcome,
        }
    }
}

impl Batch {
    /// Takes the writes that come next, in order, for as long as the limits allow and up to the first that is claimed
    /// and not filled. If that is the very first, waits for its producer a moment.
    fn drain(&mut self, config: &WritePipeConfig) {
        debug_assert!(self.requests.is_empty(), "the last batch was not written");
        let accepted = self.receiver.last_position();
        let writes_max = u64::try_from(config.batch_writes_max).unwrap_or(u64::MAX).min(u64::from(order::WRITES_MAX));
        let next = self.receiver.next_position();
        let last = accepted.min(next.saturating_add(writes_max - 1));
        if next > last || !self.receiver.wait_ready_timeout(STOPPED_PRODUCER).unwrap_or(false) {
            return;
        }
        let mut room = config.batch_bytes_max;
        self.receiver.drain_until(last, &mut self.requests, |request| {
            room = room.saturating_sub(request.allocation.len());
            room == 0
        });
    }

    fn write(&mut self, file: &SlotFile, recent: &Mutex<Recent>) -> Result<Written, FileError> {
        #[cfg(fz_mutants)]
        let newer = self.break_batch();
        let (order, bounds) = self.order.order(&self.requests);
        lock(recent).begin(bounds);
        let mut writer = FileWriter::new(file, &mut self.write_back);
        let written = match order {
            Order::Given => {
                merge(self.requests.drain(..), &mut self.merged);
                writer.write_all(&self.merged)
            }
            Order::Sorted => {
                let mut sorted = std::mem::take(&mut self.requests);
                self.order.sort(&mut sorted);
                merge(sorted.drain(..), &mut self.merged);
                self.requests = sorted;
                writer.write_all(&self.merged)
            }
            Order::Segments(segments) => writer.write_segments(&self.requests, &segments),
        };
        lock(recent).end();
        #[cfg(fz_mutants)]
        for (slot_index, bytes) in std::mem::replace(&mut self.older, newer) {
            let _ = file.write(slot_index, &bytes);
        }
        written
    }

    /// The allocations of the batch, to be dropped without the lock.
    fn take_memory(&mut self) -> Vec<WriteRequest> {
        let mut released = std::mem::take(&mut self.merged);
        // One of the two is empty.
        released.append(&mut self.requests);
        released
    }

    fn keep_memory(&mut self, empty: Vec<WriteRequest>) {
        if self.merged.capacity() < empty.capacity() {
            self.merged = empty;
        }
    }

    #[cfg(fz_mutants)]
    fn break_batch(&mut self) -> Vec<(u64, Vec<u8>)> {
        use fz_error::mutants::active;
        if active("release_before_write") {
            // What a new owner of memory that was released too early would do to it.
            for request in &mut self.requests {
                request.allocation.as_mut_slice().fill(0xEE);
            }
        }
        if active("drop_one_write") && self.requests.len() > 1 {
            self.requests.remove(self.requests.len() / 2);
        }
        if active("reverse_batch") {
            self.requests.reverse();
        }
        if !active("older_batch_after_newer") {
            return Vec::new();
        }
        self.requests.iter().map(|request| (request.slot_index, request.allocation.as_slice().to_vec())).collect()
    }
}

/// Joins writes in slot order that are neighbours in the file and in memory: one slice, and one release instead of
/// many.
fn merge(sorted: impl Iterator<Item = WriteRequest>, merged: &mut Vec<WriteRequest>) {
    let mut end = None;
    for WriteRequest { mut allocation, slot_index } in sorted {
        let new_end = slot_index + u64::try_from(allocation.count()).unwrap_or(u64::MAX);
        if end == Some(slot_index)
            && let Some(last) = merged.last_mut()
        {
            match last.allocation.try_append(allocation) {
                Ok(()) => {
                    end = Some(new_end);
                    continue;
                }
                Err(back) => allocation = back,
            }
        }
        merged.push(WriteRequest { allocation, slot_index });
        end = Some(new_end);
    }
}

impl Medium for Slots {
    type Error = PipeError;

    fn accepted(&self) -> u64 {
        self.sender.last_position()
    }

    fn write(&self, _through: u64) -> Result<u64> {
        self.write_batch()
    }

    fn sync(&self, through: u64) -> Result<()> {
        lock(&self.batch).write_back.begin_sync();
        self.sync_file().map_err(|source| {
            let kind = PipeErrorKind::SyncFailed { written: through, durable: self.counters.durable() };
            let error = self.error("sync", kind).with_source(source);
            self.failure.get_or_init(|| error).clone()
        })?;
        self.counters.set_durable(through);
        Ok(())
    }

    fn announce_idle(&self) -> bool {
        let mut batch = lock(&self.batch);
        // A batch that was taken and not written is none of the queue's.
        (batch.written == batch.receiver.next_position() - 1 || batch.is_broken)
            && batch.receiver.announce_sleep().unwrap_or(false)
    }

    fn refuse(&self) {
        self.sender.close();
    }

    fn discard(&self) {
        let mut batch = lock(&self.batch);
        batch.is_broken = true;
        debug_assert!(batch.receiver.is_closed(), "more could come");
        let mut discarded = batch.take_memory();
        let last = batch.receiver.last_position();
        while batch.receiver.next_position() <= last
            && batch.receiver.wait_ready_timeout(STOPPED_PRODUCER).unwrap_or(false)
        {
            batch.receiver.drain_through(last, &mut discarded);
        }
        drop(batch);
        drop(discarded);
    }

    fn fault(&self, fault: Fault) -> PipeError {
        match fault {
            Fault::Panicked { operation, message } => {
                let error = self.error(operation, PipeErrorKind::Panicked { message });
                self.failure.get_or_init(|| error).clone()
            }
            Fault::Abandoned => {
                let error = self.error("abandon", PipeErrorKind::Abandoned { durable: self.counters.durable() });
                self.failure.get_or_init(|| error).clone()
            }
            _ => self.error("fork", PipeErrorKind::OtherProcess),
        }
    }

    fn observe(&self, event: Event<'_, PipeError>) {
        observe::event(self.module_id(), &event, || (self.counters.durable(), self.queue_depth()));
    }
}
