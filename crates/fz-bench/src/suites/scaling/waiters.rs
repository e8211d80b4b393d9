//! Many tasks that wait, each for a write of its own.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest, WriteTicket};

use super::gate::Gate;
use crate::Outcome;
use crate::disk::HookedVolume;
use crate::measure::figures::Figures;
use crate::workload::Work;
use crate::workload::payload;

/// Writes under one clock.
const TIMED: u64 = 10_000;

/// The waiting tasks, and the thread that waits for all of them.
#[derive(Debug)]
struct Crowd {
    asleep: AtomicU64,
    all_woken: Mutex<Option<Instant>>,
    watcher: Thread,
}

/// One task: a waker that is no other task's.
#[derive(Debug)]
struct Member(Arc<Crowd>);

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        let crowd = &self.0;
        // A task of the crowd is woken once: its ticket is settled once.
        if crowd.asleep.fetch_sub(1, Ordering::AcqRel) == 1 {
            *crowd.all_woken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            crowd.watcher.unpark();
        }
    }
}

/// Writes and begins to await while `x` tickets wait; then how long each takes to be woken.
pub(crate) fn waiters(work: &Work, directory: &Path) -> Outcome<Figures> {
    let waiting = super::x(work)?;
    let gate = Arc::new(Gate::default());
    let volume = Arc::new(HookedVolume::new(Arc::clone(&gate)));
    let config = SlotFileConfig::new(directory.join("gated"), work.bytes).initial_slots(work.slots);
    let file = Arc::new(SlotFile::open_on(volume, config)?);
    let bytes = usize::try_from(waiting + TIMED)? * work.bytes;
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::try_from(work.bytes)?, bytes))?;
    // What gathers behind the gate is one batch, with one sync.
    let config =
        WritePipeConfig::new().queue_capacity(1 << 22).batch_writes_max(usize::MAX).batch_bytes_max(usize::MAX);
    let pipe = WritePipe::new(config, file)?;
    gate.set_shut(true);
    let outcome = behind_the_gate(work, &pipe, &pool, waiting, &gate);
    // Else the pipe could not close.
    gate.set_shut(false);
    outcome
}

fn behind_the_gate(work: &Work, pipe: &WritePipe, pool: &BufPool, waiting: u64, gate: &Gate) -> Outcome<Figures> {
    let tickets = waiting + TIMED;
    let crowd =
        Arc::new(Crowd { asleep: AtomicU64::new(tickets), all_woken: Mutex::default(), watcher: thread::current() });
    let record = payload(work.bytes);
    // Made before the clock starts: a task brings its waker along.
    let wakers = || Waker::from(Arc::new(Member(Arc::clone(&crowd))));
    let await_one = |slot_index: u64, waker: &Waker| -> Outcome<WriteTicket> {
        let mut allocation = pool.allocate(1)?;
        allocation.as_mut_slice().copy_from_slice(&record);
        let mut ticket = pipe.write(WriteRequest { allocation, slot_index })?;
        if Pin::new(&mut ticket).poll(&mut Context::from_waker(waker)).is_ready() {
            return Err("a ticket was ready although no sync has returned".into());
        }
        Ok(ticket)
    };
    let mut waits = Vec::new();
    for number in 0..waiting {
        waits.push(await_one(number % work.slots, &wakers())?);
    }
    let timed: Vec<_> = (0..TIMED).map(|_| wakers()).collect();
    let began = Instant::now();
    for (number, waker) in (0..TIMED).zip(&timed) {
        waits.push(await_one(number % work.slots, waker)?);
    }
    let took = began.elapsed();
    gate.set_shut(false);
    let woken = loop {
        if let Some(woken) = *crowd.all_woken.lock().unwrap_or_else(PoisonError::into_inner) {
            break woken;
        }
        thread::park();
    };
    let syncs = pipe.stats().syncs;
    if syncs > 2 {
        // The clock below starts at the end of the last one: with more, it would miss a part of the crowd.
        return Err(format!("{syncs} syncs where one should cover the first write and one the rest").into());
    }
    let synced = gate.synced().ok_or("tickets were settled without a sync")?;
    let nanos = |seconds: f64, count: u64| seconds * 1e9 / count as f64;
    let through = nanos(woken.saturating_duration_since(synced).as_secs_f64(), tickets);
    Ok(Figures::from([("op_ns".to_owned(), nanos(took.as_secs_f64(), TIMED)), ("through_ns".to_owned(), through)]))
}
