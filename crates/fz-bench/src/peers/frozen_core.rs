//! `frozen-core` 0.0.22, the reference of the idea, with two flush intervals.
//!
//! Its tickets share one place for a waker, so that of several waiters only the last is woken and the rest hang. Here
//! they share a waker, too, which wakes all of them ([`AllWaiters`]): the least that a program with several waiters has
//! to add, and its best case. One waiter alone waits as its documentation shows it, by `block_on(ticket)`.
//! Its buffers are raw pointers, and this crate has no unsafe code: each record is copied beside the
//! buffer instead of into it. That is at most as dear, because that place stays in the cache. The file
//! gets whatever the allocator's memory held before.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use frozen_core::bufpool::{BufPool, BufPoolCfg};
use frozen_core::ffile::{FFCfg, FrozenFile};
use frozen_core::utils::BufferSize;
use frozen_core::wpipe::{WritePipe, WritePipeCfg, WriteRequest, WriteTicket};
use futures_executor::block_on;

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, TaskPeer, Writer};

/// `MICROS` is the flush interval.
pub(crate) struct FrozenCore<const MICROS: u64> {
    // Dropped first: the pool's drop waits for the pipe's allocations.
    pipe: WritePipe,
    pool: BufPool,
    /// Its largest buffer is 16 KiB, so that a larger record takes several.
    buffer_bytes: usize,
    record_bytes: usize,
    waiting: Arc<AllWaiters>,
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
        Ok(Self { pipe, pool, buffer_bytes, record_bytes: setup.bytes, waiting: Arc::default() })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(FrozenWriter { frozen: self, scratch: vec![0; self.record_bytes] })
    }

    fn sync(&self) -> Outcome<()> {
        // It has no such call; a write of its own comes after all before it.
        let zeros = vec![0; self.record_bytes];
        block_on(self.write(&mut vec![0; self.record_bytes], 0, &zeros)?)
    }
}

impl<const MICROS: u64> FrozenCore<MICROS> {
    /// `scratch` takes the copy, see the module.
    fn write(&self, scratch: &mut [u8], slot: u64, bytes: &[u8]) -> Outcome<Waiter> {
        let buffers = bytes.len() / self.buffer_bytes;
        let allocation = self.pool.allocate(buffers);
        scratch.copy_from_slice(black_box(bytes));
        let slot_index = usize::try_from(slot)? * buffers;
        let ticket = self.pipe.write(WriteRequest { allocation, slot_index }).map_err(|error| format!("{error:?}"))?;
        Ok(Waiter { ticket, all: Arc::clone(&self.waiting) })
    }
}

impl<const MICROS: u64> TaskPeer for FrozenCore<MICROS> {
    async fn commit_task(&self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.write(&mut vec![0; self.record_bytes], slot, bytes)?.await
    }
}

pub(crate) struct FrozenWriter<'a, const MICROS: u64> {
    frozen: &'a FrozenCore<MICROS>,
    /// Takes the copy, see the module.
    scratch: Vec<u8>,
}

impl<const MICROS: u64> Writer for FrozenWriter<'_, MICROS> {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        drop(self.frozen.write(&mut self.scratch, slot, bytes)?);
        Ok(())
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        block_on(self.frozen.write(&mut self.scratch, slot, bytes)?)
    }
}

/// The wakers of all that wait.
#[derive(Default)]
struct AllWaiters(Mutex<Vec<Waker>>);

impl Wake for AllWaiters {
    fn wake(self: Arc<Self>) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

struct Waiter {
    ticket: WriteTicket,
    all: Arc<AllWaiters>,
}

impl Future for Waiter {
    type Output = Outcome<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Before the ticket is asked: what becomes durable after it has been asked wakes this one.
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
        let shared = Waker::from(Arc::clone(&self.all));
        let polled = Pin::new(&mut self.ticket).poll(&mut Context::from_waker(&shared));
        polled.map(|outcome| outcome.map(drop).map_err(|error| format!("{error:?}").into()))
    }
}
