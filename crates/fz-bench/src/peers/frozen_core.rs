//! `frozen-core` 0.0.22, the reference of the idea, with two flush intervals.
//!
//! Its tickets share one waker, so that of several waiters only the last is woken. A waiting thread
//! here therefore looks again each interval, which is its best case: with wakers alone it hangs.
//! Its buffers are raw pointers, and this crate has no unsafe code: each record is copied beside the
//! buffer instead of into it. That is at most as dear, because that place stays in the cache. The file
//! gets whatever the allocator's memory held before.
//! Many tasks of one executor thread hang whatever one does, so it takes no part there.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use frozen_core::bufpool::{BufPool, BufPoolCfg};
use frozen_core::ffile::{FFCfg, FrozenFile};
use frozen_core::utils::BufferSize;
use frozen_core::wpipe::{WritePipe, WritePipeCfg, WriteRequest, WriteTicket};

use crate::Outcome;
use crate::peer::{Peer, Setup, Writer};

/// `MICROS` is the flush interval.
pub(crate) struct FrozenCore<const MICROS: u64> {
    // Dropped first: the pool's drop waits for the pipe's allocations.
    pipe: WritePipe,
    pool: BufPool,
    /// Its largest buffer is 16 KiB, so that a larger record takes several.
    buffer_bytes: usize,
    record_bytes: usize,
}

impl<const MICROS: u64> Peer for FrozenCore<MICROS> {
    const NAME: &'static str = if MICROS == 50 { "frozen-core-50us" } else { "frozen-core-1ms" };
    type Writer<'a> = FrozenWriter<'a, MICROS>;

    fn open(setup: &Setup) -> Outcome<Self> {
        let buffer_size = match setup.bytes {
            128 => BufferSize::S128,
            4096 => BufferSize::S4096,
            _ => BufferSize::S16384,
        };
        let buffer_bytes = buffer_size.bytes();
        let path = setup.directory.join("chunks");
        // Written once, as the other contestants' files are.
        drop(super::raw::written_file(&path, setup.file_bytes())?);
        let chunks = usize::try_from(setup.file_bytes())? / buffer_bytes;
        let file = FFCfg { path, chunk_size: buffer_bytes, initial_chunk_amount: chunks };
        let file = Arc::new(FrozenFile::new::<1>(file).map_err(|error| format!("{error:?}"))?);
        let max_memory = (setup.in_flight * setup.bytes).max(1024 * buffer_bytes);
        let pool = BufPool::new(BufPoolCfg { buffer_size, max_memory });
        let config = WritePipeCfg { module_id: 1, flush_duration: Duration::from_micros(MICROS) };
        let pipe = WritePipe::new(config, file).map_err(|error| format!("{error:?}"))?;
        Ok(Self { pipe, pool, buffer_bytes, record_bytes: setup.bytes })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(FrozenWriter { frozen: self, scratch: vec![0; self.record_bytes] })
    }

    fn sync(&self) -> Outcome<()> {
        // It has no such call; a write of its own comes after all others.
        let mut writer = self.writer()?;
        let zeros = vec![0; self.record_bytes];
        let ticket = writer.write(0, &zeros)?;
        wait::<MICROS>(ticket)
    }
}

pub(crate) struct FrozenWriter<'a, const MICROS: u64> {
    frozen: &'a FrozenCore<MICROS>,
    /// Takes the copy, see the module.
    scratch: Vec<u8>,
}

impl<const MICROS: u64> FrozenWriter<'_, MICROS> {
    fn write(&mut self, slot: u64, bytes: &[u8]) -> Outcome<WriteTicket> {
        let buffers = bytes.len() / self.frozen.buffer_bytes;
        let allocation = self.frozen.pool.allocate(buffers);
        self.scratch.copy_from_slice(black_box(bytes));
        let slot_index = usize::try_from(slot)? * buffers;
        self.frozen.pipe.write(WriteRequest { allocation, slot_index }).map_err(|error| format!("{error:?}").into())
    }
}

impl<const MICROS: u64> Writer for FrozenWriter<'_, MICROS> {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        drop(self.write(slot, bytes)?);
        Ok(())
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        let ticket = self.write(slot, bytes)?;
        wait::<MICROS>(ticket)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<const MICROS: u64>(mut ticket: WriteTicket) -> Outcome<()> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut ticket).poll(&mut context) {
            Poll::Ready(Ok(_)) => return Ok(()),
            Poll::Ready(Err(error)) => return Err(format!("{error:?}").into()),
            Poll::Pending => thread::park_timeout(Duration::from_micros(MICROS)),
        }
    }
}
