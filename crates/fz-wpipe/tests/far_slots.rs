//! Promise B where slots lie so far apart that a batch cannot be ordered in the quick way.
//!
//! A disk that keeps only what is written: no real one has room for such a file.

mod watchdog;

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Access, FileIdentity, Preallocation, SlotFile, SlotFileConfig, Storage, Volume};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
use watchdog::finishes;

const BYTES: usize = 8;
const SLOT: u64 = BYTES as u64;
/// The most that a file can have.
const SLOTS: u64 = i64::MAX as u64 / SLOT;

type Slots = BTreeMap<u64, [u8; BYTES]>;

#[derive(Clone, Debug, Default)]
struct Sparse {
    length: Arc<Mutex<Option<u64>>>,
    slots: Arc<Mutex<Slots>>,
}

impl Storage for Sparse {
    fn read_vectored_at(&self, _buffers: &mut [IoSliceMut<'_>], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let data: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        for (slot, bytes) in (offset / SLOT..).zip(data.chunks_exact(BYTES)) {
            self.slots.lock().unwrap().insert(slot, bytes.try_into().unwrap());
        }
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_back(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length.lock().unwrap().unwrap_or_default())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        *self.length.lock().unwrap() = Some(bytes);
        Ok(())
    }

    fn allocate(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self, _access: Access) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 1, inode: 1 })
    }
}

impl Volume for Sparse {
    fn open(&self, _path: &Path, _access: Access) -> io::Result<Box<dyn Storage>> {
        match *self.length.lock().unwrap() {
            Some(_) => Ok(Box::new(self.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, _path: &Path) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(self.clone()))
    }

    fn rename_new(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self, _path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity { device: 1, inode: 1 })
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn b_the_last_of_two_writes_stays_however_far_apart_the_others_are() {
    finishes(|| {
        let disk = Sparse::default();
        let config = SlotFileConfig::new("/slots", BYTES).initial_slots(SLOTS).preallocation(Preallocation::Sparse);
        let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), config).unwrap());
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 1024)).unwrap();
        // Nothing is written before it is asked for: all of it is one batch.
        let lazy = WritePipeConfig::new().flush_interval(Duration::from_secs(3600));
        // From one end to the other and back, some slots twice in different order, some not.
        let overlapping: Vec<u64> = (0..12).flat_map(|step| [SLOTS - 1 - step, step / 2]).collect();
        let disjoint: Vec<u64> = (0..12).flat_map(|step| [SLOTS - 1 - step, step]).collect();
        for (round, slots) in [overlapping, disjoint].into_iter().enumerate() {
            let pipe = WritePipe::new(lazy.clone(), Arc::clone(&file)).unwrap();
            let mut expected = disk.slots.lock().unwrap().clone();
            let mut last = None;
            for (tag, slot_index) in (1_u64..).zip(slots) {
                let bytes = (tag + 1000 * round as u64).to_le_bytes();
                expected.insert(slot_index, bytes);
                let allocation = pool.allocate_copy(&bytes).unwrap();
                last = Some(pipe.write(WriteRequest { allocation, slot_index }).unwrap());
            }
            last.unwrap().wait().unwrap();
            assert_eq!(pipe.stats().syncs, 1, "it was to be one batch");
            assert_eq!(*disk.slots.lock().unwrap(), expected);
        }
    });
}
