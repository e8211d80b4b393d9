//! A disk whose syncs wait for a gate, so that tickets stay undecided as long as wanted, and that knows
//! when it last made something durable.

use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use fz_file::{Access, FileIdentity, HostVolume, Storage, Volume};

/// The host's file system with a gate before each sync of data.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatedVolume {
    host: HostVolume,
    gate: Arc<Gate>,
}

/// Open at first.
#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    /// When the last sync of data ended.
    synced: Mutex<Option<Instant>>,
}

impl GatedVolume {
    /// When the last sync of data ended, if there was one.
    pub(crate) fn synced(&self) -> Option<Instant> {
        *self.gate.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_shut(&self, shut: bool) {
        *self.gate.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.gate.opened.notify_all();
    }

    fn gated(&self, file: io::Result<Box<dyn Storage>>) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(GatedFile { file: file?, gate: Arc::clone(&self.gate) }))
    }
}

impl Gate {
    fn pass(&self) {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        while *shut {
            shut = self.opened.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Volume for GatedVolume {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        self.gated(self.host.open(path, access))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.gated(self.host.create(path))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.host.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.host.remove(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        self.host.identity(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.host.sync_directory(path)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Box<dyn Storage>,
    gate: Arc<Gate>,
}

impl Storage for GatedFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.file.read_vectored_at(buffers, offset)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.file.write_vectored_at(buffers, offset)
    }

    fn buffers_max(&self) -> usize {
        self.file.buffers_max()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()?;
        *self.gate.synced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.file.write_back(offset, bytes)
    }

    fn drop_clean_pages(&self) -> io::Result<()> {
        self.file.drop_clean_pages()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_length(bytes)
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.file.allocate(offset, bytes)
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        self.file.try_lock(access)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.file.identity()
    }
}
