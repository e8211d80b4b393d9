//! The host's file system with something before and after each sync.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fz_file::{Access, FileIdentity, HostVolume, Storage, Volume};

/// What happens around a sync of data.
pub(crate) trait SyncHook: fmt::Debug + Send + Sync + 'static {
    /// The sync begins when this returns.
    fn before(&self);

    /// The sync has succeeded.
    fn after(&self) {}
}

/// A device that takes longer: each sync waits this long and is made then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay(pub(crate) Duration);

impl SyncHook for Delay {
    fn before(&self) {
        if !self.0.is_zero() {
            std::thread::sleep(self.0);
        }
    }
}

#[derive(Debug)]
pub(crate) struct HookedVolume<H> {
    host: HostVolume,
    hook: Arc<H>,
}

impl<H: SyncHook> HookedVolume<H> {
    pub(crate) fn new(hook: Arc<H>) -> Self {
        Self { host: HostVolume, hook }
    }

    fn hooked(&self, file: io::Result<Box<dyn Storage>>) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(HookedFile { file: file?, hook: Arc::clone(&self.hook) }))
    }
}

impl<H: SyncHook> Volume for HookedVolume<H> {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        self.hooked(self.host.open(path, access))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.hooked(self.host.create(path))
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
struct HookedFile<H> {
    file: Box<dyn Storage>,
    hook: Arc<H>,
}

impl<H: SyncHook> Storage for HookedFile<H> {
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
        self.hook.before();
        self.file.sync_data()?;
        self.hook.after();
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

    fn check_journal(&self) -> io::Result<()> {
        self.file.check_journal()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
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
