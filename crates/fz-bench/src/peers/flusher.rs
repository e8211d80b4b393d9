//! The simplest competitor, written by hand: a byte buffer under a mutex, one thread that writes
//! and syncs it, one condition variable for all waiters.
//!
//! It appends: records lie in the order in which they came, not in their slots. Its memory has no
//! bound, except where the suite sets one: there a writer waits while the buffer is full. The batch
//! that is being written may be as large again.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use super::raw::written_file;
use crate::Outcome;
use crate::disk::{Delay, SyncHook as _};
use crate::peers::peer::{Peer, Setup, TaskPeer, Writer};

#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    file: File,
    file_bytes: usize,
    buffer_bytes_max: usize,
    sync_delay: Delay,
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    appended: u64,
    durable: u64,
    syncs: u64,
    wakers: Vec<Waker>,
    sleeps: bool,
    ends: bool,
    failed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) -> u64 {
        let mut state = self.lock();
        while !self.has_room(state.buffer.len(), bytes.len()) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.buffer.extend_from_slice(bytes);
        state.appended += 1;
        if state.sleeps {
            state.sleeps = false;
            self.work.notify_one();
        }
        state.appended
    }

    /// Whether `more` bytes fit beside those that are held; a record larger than the bound fits alone.
    fn has_room(&self, held: usize, more: usize) -> bool {
        held == 0 || held + more <= self.buffer_bytes_max
    }

    /// Waits for records and swaps them for the empty `batch`. Returns the number of the last one, or
    /// `None` at the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.lock();
        while state.buffer.is_empty() {
            if state.ends {
                return None;
            }
            state.sleeps = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeps = false;
        std::mem::swap(&mut state.buffer, batch);
        let appended = state.appended;
        drop(state);
        if self.buffer_bytes_max < usize::MAX {
            self.room.notify_all();
        }
        Some(appended)
    }

    fn wait(&self, number: u64) -> Outcome<()> {
        let mut state = self.lock();
        while state.durable < number && !state.failed {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed { Err("the flusher's write failed".into()) } else { Ok(()) }
    }

    fn run(&self) {
        let mut batch = Vec::new();
        let mut offset = 0;
        while let Some(appended) = self.take(&mut batch) {
            let written = self.write(&batch, &mut offset);
            batch.clear();
            let mut state = self.lock();
            state.failed |= written.is_err();
            state.durable = appended;
            state.syncs += 1;
            let wakers = std::mem::take(&mut state.wakers);
            drop(state);
            self.done.notify_all();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Appends to the file, from its beginning again when it is full.
    fn write(&self, batch: &[u8], offset: &mut usize) -> std::io::Result<()> {
        for piece in batch.chunks(self.file_bytes) {
            if *offset + piece.len() > self.file_bytes {
                *offset = 0;
            }
            self.file.write_all_at(piece, *offset as u64)?;
            *offset += piece.len();
        }
        self.sync_delay.before();
        self.file.sync_data()
    }
}

impl Peer for Flusher {
    const NAME: &'static str = "flusher";
    const REUSES_FILES: bool = true;
    type Writer<'a> = &'a Shared;

    fn open(setup: &Setup) -> Outcome<Self> {
        let file = written_file(&setup.directory.join("flusher"), setup.file_bytes())?;
        let shared = Arc::new(Shared {
            file,
            file_bytes: usize::try_from(setup.file_bytes())?,
            buffer_bytes_max: setup.waiting_bytes_max.unwrap_or(usize::MAX),
            sync_delay: setup.sync_delay,
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            done: Condvar::new(),
        });
        let running = Arc::clone(&shared);
        let thread = thread::Builder::new().spawn(move || running.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(&self.shared)
    }

    fn sync(&self) -> Outcome<()> {
        let appended = self.shared.lock().appended;
        self.shared.wait(appended)
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.shared.lock().syncs)
    }

    fn read(&self, slot: u64, bytes: &mut [u8]) -> Outcome<()> {
        Ok(self.shared.file.read_exact_at(bytes, slot * bytes.len() as u64)?)
    }
}

impl Writer for &Shared {
    fn submit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        self.append(bytes);
        Ok(())
    }

    fn commit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        let number = self.append(bytes);
        self.wait(number)
    }
}

impl TaskPeer for Flusher {
    fn commit_task(&self, _: u64, bytes: &[u8]) -> impl Future<Output = Outcome<()>> {
        let number = self.shared.append(bytes);
        poll_fn(move |context| {
            let mut state = self.shared.lock();
            if state.failed {
                return Poll::Ready(Err("the flusher's write failed".into()));
            }
            if state.durable >= number {
                return Poll::Ready(Ok(()));
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that holds back at most 32 bytes.
    fn flusher(directory: &tempfile::TempDir) -> Flusher {
        let directory = directory.path().to_owned();
        let sync_delay = Delay(std::time::Duration::ZERO);
        let setup = Setup { directory, bytes: 8, slots: 64, in_flight: 4, waiting_bytes_max: Some(32), sync_delay };
        Flusher::open(&setup).unwrap()
    }

    #[test]
    fn a_full_buffer_has_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let flusher = flusher(&directory);
        let fits = |held| flusher.shared.has_room(held, 8);
        assert_eq!([0, 24, 25, 32].map(fits), [true, true, false, false]);
        assert!(flusher.shared.has_room(0, 33), "or a large record would wait for ever");
    }

    #[test]
    fn no_batch_is_larger_than_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let mut flusher = flusher(&directory);
        // The test takes the thread's place.
        flusher.shared.lock().ends = true;
        flusher.shared.work.notify_one();
        flusher.thread.take().unwrap().join().unwrap();
        flusher.shared.lock().ends = false;
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..100_u64 {
                    flusher.shared.append(&number.to_be_bytes());
                }
            });
            let (mut batch, mut taken) = (Vec::new(), Vec::new());
            while taken.len() < 800 {
                flusher.shared.take(&mut batch).unwrap();
                assert!(batch.len() <= 32, "{} bytes", batch.len());
                taken.append(&mut batch);
            }
            assert!(taken.chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap())).eq(0..100));
        });
    }

    #[test]
    fn all_is_durable_although_writers_wait_for_room() {
        let directory = tempfile::tempdir().unwrap();
        let flusher = flusher(&directory);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut writer = flusher.writer().unwrap();
                    (0..100).for_each(|slot| writer.submit(slot, &[7; 8]).unwrap());
                });
            }
        });
        flusher.sync().unwrap();
        assert_eq!(flusher.shared.lock().durable, 400);
    }
}
