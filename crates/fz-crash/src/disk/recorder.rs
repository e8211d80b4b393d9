//! A disk that remembers: every write and flush in order, what was promised between them, and, when
//! asked to, the errors that it answered with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::image::Image;
use crate::disk::log::{Event, Promise, Write};

/// Which requests a disk refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskFault {
    /// The write that fails, counted from 1; 0: none.
    pub(crate) write: u64,
    /// The flush that fails, counted from 1; 0: none.
    pub(crate) flush: u64,
    /// All that follow fail as well.
    pub(crate) persistent: bool,
}

#[derive(Debug)]
struct State {
    image: Image,
    log: Option<Vec<Event>>,
    fault: DiskFault,
    reads: u64,
    writes: u64,
    flushes: u64,
    refused: u64,
}

/// A disk under a FUSE file. Shared by the thread that serves it and those that look at it.
#[derive(Debug)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    bytes: u64,
}

/// The disk refused a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

impl Recorder {
    pub(crate) fn new(image: Image) -> Arc<Self> {
        let bytes = image.bytes();
        let fault = DiskFault::default();
        let state = State { image, log: None, fault, reads: 0, writes: 0, flushes: 0, refused: 0 };
        Arc::new(Self { state: Mutex::new(state), bytes })
    }

    /// The size of the disk, which never changes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment or one call, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another disk in, of the same size, and begins to record if `record`.
    pub(crate) fn insert(&self, image: Image, record: bool) {
        assert_eq!(image.bytes(), self.bytes, "a disk keeps its size");
        let mut state = self.lock();
        state.image = image;
        state.log = record.then(Vec::new);
        state.reads = 0;
    }

    /// Lets requests fail from now on; the counts begin anew.
    pub(crate) fn fail(&self, fault: DiskFault) {
        let mut state = self.lock();
        (state.fault, state.writes, state.flushes, state.refused) = (fault, 0, 0, 0);
    }

    /// Ends the recording and returns it.
    pub(crate) fn take_log(&self) -> Vec<Event> {
        self.lock().log.take().unwrap_or_default()
    }

    /// Read requests since the disk was put in: none means that the kernel showed a cache instead.
    pub(crate) fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// How many writes and flushes were refused since [`fail`](Self::fail).
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Puts a promise into the log, at the place where it stands now.
    pub(crate) fn promise(&self, promise: Promise) {
        if let Some(log) = &mut self.lock().log {
            log.push(Event::Promise(promise));
        }
    }

    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) {
        let mut state = self.lock();
        state.reads += 1;
        state.image.read(offset, buffer);
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        let mut state = self.lock();
        state.writes += 1;
        let (number, failing) = (state.writes, state.fault.write);
        state.check(number, failing)?;
        state.image.write(offset, bytes);
        if let Some(log) = &mut state.log {
            log.push(Event::Write(Write { offset, bytes: bytes.into() }));
        }
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<(), Refused> {
        let mut state = self.lock();
        state.flushes += 1;
        let (number, failing) = (state.flushes, state.fault.flush);
        state.check(number, failing)?;
        if let Some(log) = &mut state.log {
            log.push(Event::Flush);
        }
        Ok(())
    }
}

impl State {
    fn check(&mut self, number: u64, failing: u64) -> Result<(), Refused> {
        if failing != 0 && (number == failing || self.fault.persistent && number > failing) {
            self.refused += 1;
            return Err(Refused);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::image::Base;

    fn recorder() -> Arc<Recorder> {
        Recorder::new(Image::new(Arc::new(Base::empty(8192))))
    }

    #[test]
    fn requests_and_promises_are_recorded_in_their_order() {
        let disk = recorder();
        disk.insert(Image::new(Arc::new(Base::empty(8192))), true);
        disk.write(512, &[1; 512]).unwrap();
        disk.flush().unwrap();
        disk.promise(Promise::Durable(3));
        let log = disk.take_log();
        assert!(matches!(&log[0], Event::Write(write) if write.offset == 512 && write.bytes.len() == 512));
        assert!(matches!(log[1..], [Event::Flush, Event::Promise(Promise::Durable(3))]));
    }

    #[test]
    fn a_refused_request_changes_nothing_and_is_not_recorded() {
        let disk = recorder();
        disk.insert(Image::new(Arc::new(Base::empty(8192))), true);
        disk.fail(DiskFault { write: 2, flush: 1, persistent: false });
        disk.write(0, &[1; 512]).unwrap();
        assert!(disk.write(0, &[2; 512]).is_err());
        assert!(disk.flush().is_err());
        disk.flush().unwrap();
        let mut back = [0; 512];
        disk.read(0, &mut back);
        assert_eq!((back, disk.take_log().len(), disk.refused()), ([1; 512], 2, 2));
    }

    #[test]
    fn a_persistent_fault_stays() {
        let disk = recorder();
        disk.fail(DiskFault { write: 2, flush: 0, persistent: true });
        disk.write(0, &[1; 512]).unwrap();
        assert!(disk.write(0, &[2; 512]).is_err() && disk.write(0, &[2; 512]).is_err());
    }
}
