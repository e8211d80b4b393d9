//! Between the pipeline and the simulated disk: the same disk, and an observer that is told before
//! and after each call.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::Arc;

use fz_file::{Access, FileIdentity, Storage, Volume};

use crate::disk::phase::{Phase, context};
use crate::disk::watch::Watch;

/// A [`Volume`] on a simulated disk, watched.
#[derive(Debug)]
pub(crate) struct ObservedVolume {
    inner: Arc<dyn Volume>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct ObservedStorage {
    inner: Box<dyn Storage>,
    watch: Arc<Watch>,
}

impl ObservedVolume {
    pub(crate) fn new(watch: &Arc<Watch>) -> Arc<Self> {
        Arc::new(Self { inner: watch.disk().volume(), watch: Arc::clone(watch) })
    }

    fn observed(&self, storage: Box<dyn Storage>) -> Box<dyn Storage> {
        Box::new(ObservedStorage { inner: storage, watch: Arc::clone(&self.watch) })
    }

    /// A change to the directory, and the state that it left.
    fn changed<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.watch.look(phase(&result, Phase::Creating));
        result
    }
}

/// The phase after a call that ended so; `usual` if the thread has not noted its own.
fn phase<T>(result: &io::Result<T>, usual: Phase) -> Phase {
    match result {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Phase::Failing,
        _ => context().unwrap_or(usual),
    }
}

impl ObservedStorage {
    fn before(&self, usual: Phase) {
        self.watch.look(self.usual(usual));
    }

    fn after<T>(&self, result: io::Result<T>, usual: Phase) -> io::Result<T> {
        self.watch.look(phase(&result, self.usual(usual)));
        result
    }

    fn usual(&self, usual: Phase) -> Phase {
        if let Some(phase) = context() {
            return phase;
        }
        if self.watch.is_closing() { Phase::Closing } else { usual }
    }
}

impl Volume for ObservedVolume {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        Ok(self.observed(self.inner.open(path, access)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        Ok(self.observed(self.changed(self.inner.create(path))?))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.changed(self.inner.rename_new(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.changed(self.inner.rename(from, to))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.changed(self.inner.create_directory(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changed(self.inner.remove(path))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.inner.identity(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.changed(self.inner.sync_directory(path))
    }
}

impl Storage for ObservedStorage {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.inner.read_vectored_at(buffers, offset)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.before(Phase::Queued);
        self.after(self.inner.write_vectored_at(buffers, offset), Phase::Writing)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.before(Phase::Syncing);
        self.after(self.inner.sync_data(), Phase::Publishing)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.before(Phase::Syncing);
        self.after(self.inner.sync_all(), Phase::Publishing)
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.inner.write_back(offset, bytes)
    }

    fn drop_clean_pages(&self) -> io::Result<()> {
        self.inner.drop_clean_pages()
    }

    fn check_journal(&self) -> io::Result<()> {
        self.inner.check_journal()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.after(self.inner.set_length(bytes), Phase::Growing)
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.after(self.inner.allocate(offset, bytes), Phase::Growing)
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        self.inner.try_lock(access)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }
}
