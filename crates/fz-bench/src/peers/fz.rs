//! The pipe under test: a zeroed file, `fdatasync`, an interval of 1 ms.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

use crate::Outcome;
use crate::disk::{Delay, HookedVolume};
use crate::peers::peer::{Peer, Setup, TaskPeer, Writer};

/// In which way the pipe is used.
pub(crate) trait Variant: Send + Sync + 'static {
    const NAME: &'static str;
    /// The pool.
    const POOL: Pool = Pool::Ample;
    /// The queue holds whatever is on its way, too, so that no producer waits.
    const AMPLE_QUEUE: bool = true;
    /// Allocations are made before the clock starts.
    const WRITE_ONLY: bool = false;
    /// Reads go to the file, not through the pipe.
    const READS_FILE: bool = false;
}

/// How much memory a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// For whatever is on its way.
    Ample,
    /// 4 MiB.
    Default,
    /// What the work allows.
    Short,
}

#[derive(Debug)]
pub(crate) struct Ample;
impl Variant for Ample {
    const NAME: &'static str = "fz";
}

/// Allocations made and filled before the clock starts: `write()` alone.
#[derive(Debug)]
pub(crate) struct WriteOnly;
impl Variant for WriteOnly {
    const NAME: &'static str = "fz-write-only";
    const WRITE_ONLY: bool = true;
}

/// The default queue and a pool of 4 MiB: producers may have to wait.
#[derive(Debug)]
pub(crate) struct Default;
impl Variant for Default {
    const NAME: &'static str = "fz-default";
    const POOL: Pool = Pool::Default;
    const AMPLE_QUEUE: bool = false;
}

/// The default queue and memory for every record: what a short pool is compared with.
#[derive(Debug)]
pub(crate) struct PoolForAll;
impl Variant for PoolForAll {
    const NAME: &'static str = "fz-pool-for-all";
    const AMPLE_QUEUE: bool = false;
}

/// The default queue and as little memory as the work allows.
#[derive(Debug)]
pub(crate) struct ShortPool;
impl Variant for ShortPool {
    const NAME: &'static str = "fz-short-pool";
    const POOL: Pool = Pool::Short;
    const AMPLE_QUEUE: bool = false;
}

/// Reads the file beside the pipe instead of through it.
#[derive(Debug)]
pub(crate) struct FileRead;
impl Variant for FileRead {
    const NAME: &'static str = "fz-file-read";
    const READS_FILE: bool = true;
}

pub(crate) struct Fz<V> {
    pipe: WritePipe,
    pool: BufPool,
    file: Arc<SlotFile>,
    variant: PhantomData<V>,
}

impl<V> fmt::Debug for Fz<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fz").field("pipe", &self.pipe).finish_non_exhaustive()
    }
}

/// The smallest ample queue, in writes: the default one.
const QUEUE_MIN: usize = 16_384;
/// The smallest ample pool, in buffers, and the pool that is not ample.
const POOL_MIN: usize = 256;
const POOL_DEFAULT_BYTES: usize = 4 << 20;

impl<V: Variant> Peer for Fz<V> {
    const NAME: &'static str = V::NAME;
    const REUSES_FILES: bool = true;
    type Writer<'a> = FzWriter<'a, V>;

    fn open(setup: &Setup) -> Outcome<Self> {
        let path = setup.directory.join("slots");
        let config = SlotFileConfig::new(path, setup.bytes).initial_slots(setup.slots);
        let file = match setup.sync_delay {
            Delay(Duration::ZERO) => SlotFile::open(config)?,
            delay => SlotFile::open_on(Arc::new(HookedVolume::new(Arc::new(delay))), config)?,
        };
        let file = Arc::new(file);
        let buffers = match V::POOL {
            Pool::Ample => setup.in_flight.max(POOL_MIN),
            Pool::Default => POOL_DEFAULT_BYTES / setup.bytes,
            Pool::Short => setup.waiting_bytes_max.ok_or("no bound for a short pool")? / setup.bytes,
        };
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::try_from(setup.bytes)?, buffers * setup.bytes))?;
        let mut config = WritePipeConfig::new();
        if V::AMPLE_QUEUE {
            config = config.queue_capacity(setup.in_flight.max(QUEUE_MIN).next_power_of_two());
        }
        let pipe = WritePipe::new(config, Arc::clone(&file))?;
        Ok(Self { pipe, pool, file, variant: PhantomData })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(FzWriter { fz: self, ready: Vec::new() })
    }

    fn sync(&self) -> Outcome<()> {
        self.pipe.sync().wait()?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.pipe.stats().syncs)
    }

    fn read(&self, slot: u64, bytes: &mut [u8]) -> Outcome<()> {
        if V::READS_FILE {
            self.file.read(slot, bytes)?;
        } else {
            self.pipe.read(slot, bytes)?;
        }
        Ok(())
    }
}

pub(crate) struct FzWriter<'a, V> {
    fz: &'a Fz<V>,
    ready: Vec<Allocation>,
}

impl<V: Variant> Writer for FzWriter<'_, V> {
    fn prepare(&mut self, submits: usize) -> Outcome<()> {
        if V::WRITE_ONLY {
            for _ in 0..submits {
                let mut allocation = self.fz.pool.allocate(1)?;
                // Each page of the pool is touched, as it is where records are copied into it.
                allocation.as_mut_slice().fill(0xA5);
                self.ready.push(allocation);
            }
            // They are taken from the end, and neighbours in memory should stay neighbours in the file.
            self.ready.reverse();
        }
        Ok(())
    }

    #[inline]
    fn submit(&mut self, slot_index: u64, bytes: &[u8]) -> Outcome<()> {
        let allocation = if V::WRITE_ONLY {
            self.ready.pop().ok_or("more submits than were prepared")?
        } else {
            let mut allocation = self.fz.pool.allocate(1)?;
            allocation.as_mut_slice().copy_from_slice(bytes);
            allocation
        };
        let ticket = self.fz.pipe.write(WriteRequest { allocation, slot_index })?;
        drop(ticket);
        Ok(())
    }

    fn commit(&mut self, slot_index: u64, bytes: &[u8]) -> Outcome<()> {
        let mut allocation = self.fz.pool.allocate(1)?;
        allocation.as_mut_slice().copy_from_slice(bytes);
        self.fz.pipe.write(WriteRequest { allocation, slot_index })?.wait()?;
        Ok(())
    }
}

impl<V: Variant> TaskPeer for Fz<V> {
    async fn commit_task(&self, slot_index: u64, bytes: &[u8]) -> Outcome<()> {
        let mut allocation = self.pool.allocate_async(1).await?;
        allocation.as_mut_slice().copy_from_slice(bytes);
        self.pipe.write_async(WriteRequest { allocation, slot_index }).await?.await?;
        Ok(())
    }
}
