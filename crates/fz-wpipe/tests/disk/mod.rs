//! A disk of one file that does what the test says: it keeps apart what the kernel has (`cache`)
//! and what a power cut leaves (`stable`: only what a sync covers that began after the write
//! ended), records every call, holds calls back, and fails the n-th of them.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fz_file::{Access, FileIdentity, Storage, Volume};

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// A kind of call that can be held, counted and failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
    Read,
    /// The device is told to begin with what was written.
    WriteBack,
}

/// What a call does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fails. A sync that does drops the dirty pages that it was to write.
    Errno(i32),
    /// Is interrupted before it did anything.
    Interrupted,
    /// Transfers only so many bytes.
    Short(usize),
    /// Panics with a text.
    Panic,
    /// Panics with a text made at that moment.
    PanicFormatted,
    /// Panics with something that is no text.
    PanicWithoutText,
}

/// A call as it was made. The numbers are points in the order of all beginnings and ends.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) call: Call,
    pub(crate) is_full_sync: bool,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
    pub(crate) began: u64,
    /// 0 while it runs.
    pub(crate) ended: u64,
    pub(crate) is_ok: bool,
}

#[derive(Default)]
struct State {
    name: Option<PathBuf>,
    handles: usize,
    cache: Vec<u8>,
    stable: Vec<u8>,
    /// Writes that ended and that no sync has covered, in order.
    dirty: Vec<(usize, Vec<u8>)>,
    records: Vec<Record>,
    clock: u64,
    faults: Vec<(Call, usize, Fault)>,
    /// Every write transfers at most so many bytes.
    transfer_max: Option<usize>,
    /// Every other call is interrupted.
    interrupts: bool,
    calls_seen: usize,
    /// Writes become visible by parts.
    tears: bool,
    held: Vec<Call>,
    passes: Vec<Call>,
    waiting: Vec<Call>,
}

#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far is stable and forgotten.
    pub(crate) fn start(&self) {
        let mut state = self.state();
        state.stable = state.cache.clone();
        state.dirty.clear();
        state.records.clear();
    }

    /// Fails the `nth` call of a kind, counted from 0 since [`start`](Self::start).
    pub(crate) fn fail(&self, call: Call, nth: usize, fault: Fault) {
        self.state().faults.push((call, nth, fault));
    }

    pub(crate) fn transfer_max(&self, bytes: usize) {
        self.state().transfer_max = Some(bytes);
    }

    pub(crate) fn interrupt_every_other_call(&self) {
        self.state().interrupts = true;
    }

    pub(crate) fn tear_writes(&self) {
        self.state().tears = true;
    }

    /// From now on calls of this kind wait, before they do anything.
    pub(crate) fn hold(&self, call: Call) {
        self.state().held.push(call);
    }

    /// Until a call of this kind is being held.
    pub(crate) fn wait_until_held(&self, call: Call) {
        let mut state = self.state();
        while !state.waiting.contains(&call) {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets one held call of this kind go on; later ones are held again.
    pub(crate) fn let_one_pass(&self, call: Call) {
        self.state().passes.push(call);
        self.0.changed.notify_all();
    }

    /// Holds nothing any more.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.held.clear();
        state.passes.clear();
        drop(state);
        self.0.changed.notify_all();
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.state().records.iter().filter(|record| record.call == call).count()
    }

    /// How many calls of this kind have returned.
    pub(crate) fn ended(&self, call: Call) -> usize {
        self.state().records.iter().filter(|record| record.call == call && record.ended > 0).count()
    }

    /// How many open files there are.
    pub(crate) fn handles(&self) -> usize {
        self.state().handles
    }

    /// What the kernel shows.
    pub(crate) fn cache(&self) -> Vec<u8> {
        self.state().cache.clone()
    }

    /// What survives a power cut at this instant.
    pub(crate) fn stable(&self) -> Vec<u8> {
        self.state().stable.clone()
    }

    /// Begins a call: holds it, records it, and says what is to become of it.
    fn begin(&self, call: Call, is_full_sync: bool, offset: u64, bytes: usize) -> (usize, Option<Fault>) {
        let mut state = self.state();
        state.waiting.push(call);
        self.0.changed.notify_all();
        while state.held.contains(&call) && !state.passes.contains(&call) {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(pass) = state.passes.iter().position(|passed| *passed == call) {
            state.passes.remove(pass);
        }
        let place = state.waiting.iter().position(|other| *other == call).expect("pushed above");
        state.waiting.remove(place);
        let nth = state.records.iter().filter(|record| record.call == call).count();
        state.clock += 1;
        let began = state.clock;
        state.records.push(Record { call, is_full_sync, offset, bytes, began, ended: 0, is_ok: false });
        let scripted = state.faults.iter().find(|fault| (fault.0, fault.1) == (call, nth)).map(|fault| fault.2);
        state.calls_seen += 1;
        let is_interrupted = state.interrupts && state.calls_seen.is_multiple_of(2);
        let usual = match state.transfer_max {
            _ if is_interrupted => Some(Fault::Interrupted),
            Some(bytes) if call == Call::Write => Some(Fault::Short(bytes)),
            _ => None,
        };
        (state.records.len() - 1, scripted.or(usual))
    }

    fn end(state: &mut State, index: usize, is_ok: bool) {
        state.clock += 1;
        let ended = state.clock;
        // The record is gone if the test started anew meanwhile.
        if let Some(record) = state.records.get_mut(index) {
            record.ended = ended;
            record.is_ok = is_ok;
        }
    }

    fn failed(&self, index: usize, fault: Fault) -> io::Error {
        Self::end(&mut self.state(), index, false);
        match fault {
            Fault::Errno(errno) => io::Error::from_raw_os_error(errno),
            Fault::Interrupted => io::ErrorKind::Interrupted.into(),
            Fault::PanicFormatted => panic!("scripted panic of call {index}"),
            Fault::PanicWithoutText => std::panic::panic_any(index),
            _ => panic!("scripted panic of the disk"),
        }
    }

    fn write(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut data: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let (index, fault) = self.begin(Call::Write, false, offset, data.len());
        match fault {
            Some(Fault::Short(bytes)) => data.truncate(bytes),
            Some(fault) => return Err(self.failed(index, fault)),
            None => {}
        }
        let offset = usize::try_from(offset).expect("the test's file is small");
        let tears = self.state().tears;
        if tears {
            for (part, bytes) in data.chunks(24).enumerate() {
                let at = offset + part * 24;
                self.state().cache[at..at + bytes.len()].copy_from_slice(bytes);
                std::thread::yield_now();
            }
        }
        let mut state = self.state();
        state.cache[offset..offset + data.len()].copy_from_slice(&data);
        let bytes = data.len();
        state.dirty.push((offset, data));
        Self::end(&mut state, index, true);
        Ok(bytes)
    }

    fn sync(&self, is_full_sync: bool) -> io::Result<()> {
        // A held sync has not begun.
        let (index, fault) = self.begin(Call::Sync, is_full_sync, 0, 0);
        let mut state = self.state();
        let covered = std::mem::take(&mut state.dirty);
        match fault {
            // The pages are marked clean all the same: a retry would succeed and mean nothing.
            Some(fault @ (Fault::Errno(_) | Fault::Panic)) => {
                drop(state);
                Err(self.failed(index, fault))
            }
            Some(Fault::Interrupted) => {
                state.dirty = covered;
                drop(state);
                Err(self.failed(index, Fault::Interrupted))
            }
            _ => {
                for (offset, bytes) in covered {
                    state.stable[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                Self::end(&mut state, index, true);
                Ok(())
            }
        }
    }

    /// Makes nothing stable.
    fn write_back(&self, offset: u64, bytes: usize) -> io::Result<()> {
        let (index, fault) = self.begin(Call::WriteBack, false, offset, bytes);
        if let Some(fault @ (Fault::Errno(_) | Fault::Interrupted | Fault::Panic)) = fault {
            return Err(self.failed(index, fault));
        }
        Self::end(&mut self.state(), index, true);
        Ok(())
    }

    fn read(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let (index, fault) = self.begin(Call::Read, false, offset, buffers.iter().map(|buffer| buffer.len()).sum());
        if let Some(fault @ (Fault::Errno(_) | Fault::Interrupted | Fault::Panic)) = fault {
            return Err(self.failed(index, fault));
        }
        let mut at = usize::try_from(offset).expect("the test's file is small");
        let start = at;
        for buffer in buffers {
            // By parts, so that a write beside it could be seen in the middle.
            for part in buffer.chunks_mut(24) {
                part.copy_from_slice(&self.state().cache[at..at + part.len()]);
                at += part.len();
            }
        }
        Self::end(&mut self.state(), index, true);
        Ok(at - start)
    }
}

struct Handle(Disk);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().handles -= 1;
    }
}

impl Storage for Handle {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.0.read(buffers, offset)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.0.write(buffers, offset)
    }

    /// Few, so that batches are split.
    fn buffers_max(&self) -> usize {
        5
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync(false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync(true)
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.write_back(offset, usize::try_from(bytes).expect("the test's file is small"))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.state().cache.len() as u64)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).expect("the test's file is small");
        let mut state = self.0.state();
        state.cache.resize(bytes, 0);
        state.stable.resize(bytes, 0);
        Ok(())
    }

    fn allocate(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, _access: Access) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 1, inode: 1 })
    }
}

impl Disk {
    fn handle(&self) -> Box<dyn Storage> {
        self.state().handles += 1;
        Box::new(Handle(self.clone()))
    }
}

impl Volume for Disk {
    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn Storage>> {
        Volume::identity(self, path)?;
        Ok(self.handle())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.state().name = Some(path.to_owned());
        Ok(self.handle())
    }

    fn rename_new(&self, _from: &Path, to: &Path) -> io::Result<()> {
        self.state().name = Some(to.to_owned());
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        self.state().name = None;
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        if self.state().name.as_deref() == Some(path) {
            Ok(FileIdentity { device: 1, inode: 1 })
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}
