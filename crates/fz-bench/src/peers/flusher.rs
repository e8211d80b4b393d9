//! The simplest competitor, written by hand: a byte buffer under a mutex, one thread that writes
//! and syncs it, one condition variable for everybody who waits.
//!
//! It appends: records lie in the order in which they came, not in their slots, and its memory has
//! no bound.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use super::raw::written_file;
use crate::Outcome;
use crate::peer::{Peer, Setup, TaskPeer, Writer};

#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    file: File,
    file_bytes: usize,
    state: Mutex<State>,
    work: Condvar,
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
        state.buffer.extend_from_slice(bytes);
        state.appended += 1;
        if state.sleeps {
            state.sleeps = false;
            self.work.notify_one();
        }
        state.appended
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
        loop {
            let mut state = self.lock();
            while state.buffer.is_empty() {
                if state.ends {
                    return;
                }
                state.sleeps = true;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.sleeps = false;
            std::mem::swap(&mut state.buffer, &mut batch);
            let appended = state.appended;
            drop(state);

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
            state: Mutex::default(),
            work: Condvar::new(),
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
