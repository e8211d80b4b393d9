//! Plain threads at work on a queue, a pool and a pipe, for ThreadSanitizer to watch.
//!
//! `cargo xtask sanitize` builds it with `-Zsanitizer=thread` and runs it. Built with `--cfg fz_mutants` and run
//! with `FZ_MUTANT=overlapping_allocation` it has a race: two owners of the same bytes.
//!
//! No test harness, no channel and no lock of the standard library hands data from thread to thread here: that
//! library is compiled without the sanitizer, which then sees races where there are none. What orders the accesses
//! is what is to be checked.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_mpsc::{QueueConfig, channel};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const COUNT: usize = 4;
const THREADS: u64 = COUNT as u64;
const SLOT: usize = 64;

type Outcome = Result<(), Box<dyn Error>>;

/// `races [ROUNDS [SEED]]`
fn main() -> Outcome {
    let mut numbers = env::args().skip(1).map(|word| word.parse::<u64>());
    let rounds = numbers.next().transpose()?.unwrap_or(20);
    let seed = numbers.next().transpose()?.unwrap_or(1);
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        held()?;
        queue(false)?;
        queue(true)?;
        pool(seed)?;
        pipe(seed)?;
    }
    writeln!(io::stdout(), "{rounds} rounds of {THREADS} threads on a queue, a pool and a pipe")?;
    Ok(())
}

/// A scope learns inside the standard library that its threads are at their end, where the sanitizer does not look; a
/// join it sees.
fn join(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    }
}

/// Boxed values through the queue: their bytes are written by one thread, read and freed by another.
fn queue(blocking: bool) -> Outcome {
    const VALUES: u64 = 2_000;
    // Small, so that every place is used many times over.
    let (sender, mut receiver) = channel::<Box<[u64; 4]>>(QueueConfig::new(16))?;
    thread::scope(|scope| {
        let spawned = (0..THREADS).map(|producer| {
            let sender = &sender;
            scope.spawn(move || {
                for value in 1..=VALUES {
                    let mut boxed = Box::new([producer, value, value, value]);
                    if blocking {
                        assert!(sender.push(boxed).is_ok(), "the queue is open");
                        continue;
                    }
                    while let Err(refused) = sender.try_push(boxed) {
                        boxed = refused.into_value();
                        thread::yield_now();
                    }
                }
            })
        });
        let threads: Vec<_> = spawned.collect();
        let mut last = [0; COUNT];
        let mut drained = Vec::new();
        while last != [VALUES; COUNT] {
            if blocking {
                receiver.wait().expect("this process made the queue");
            }
            if receiver.drain(&mut drained, 8) == 0 {
                thread::yield_now();
            }
            for value in drained.drain(..) {
                let [producer, number, ..] = *value;
                let last = &mut last[usize::try_from(producer).expect("a small number")];
                assert_eq!(*value, [producer, *last + 1, *last + 1, *last + 1]);
                *last = number;
            }
        }
        join(threads);
    });
    Ok(())
}

fn fill(allocation: &mut Allocation, tag: u8) {
    allocation.as_mut_slice().fill(tag);
}

/// Allocations that all threads hold at the same time, in few buffers: had one two owners, both would fill it.
fn held() -> Outcome {
    const EACH: u64 = 3;
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 32 * SLOT))?;
    let filled = AtomicU64::new(0);
    thread::scope(|scope| {
        let spawned = (0..THREADS).map(|thread| {
            let (pool, filled) = (&pool, &filled);
            scope.spawn(move || {
                let tag = u8::try_from(thread).expect("a small number");
                let mut allocations = Vec::new();
                for _ in 0..EACH {
                    let mut allocation = pool.try_allocate(2).expect("there is enough for all");
                    fill(&mut allocation, tag);
                    allocations.push(allocation);
                }
                // Relaxed: to order nothing is the purpose. Nobody may release before all have filled.
                filled.fetch_add(1, Ordering::Relaxed);
                while filled.load(Ordering::Relaxed) < THREADS {
                    thread::yield_now();
                }
                assert!(allocations.iter().all(|one| one.as_slice().iter().all(|byte| *byte == tag)));
            })
        });
        let threads: Vec<_> = spawned.collect();
        join(threads);
    });
    Ok(())
}

/// Allocations that are filled, checked, and released here or by another thread.
fn pool(seed: u64) -> Outcome {
    const ALLOCATIONS: u64 = 1_000;
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 256 * SLOT))?;
    let (sender, mut receiver) = channel::<(u8, Allocation)>(QueueConfig::new(64))?;
    thread::scope(|scope| {
        let spawned = (0..THREADS).map(|thread| {
            let (pool, sender) = (pool.clone(), sender.clone());
            scope.spawn(move || {
                let mut random = Pcg64Mcg::seed_from_u64(seed ^ thread << 32);
                for number in 0..ALLOCATIONS {
                    let tag = u8::try_from((thread * 61 + number) % 251).expect("below 251");
                    let mut allocation = pool.allocate(random.random_range(1..=5)).expect("no more than there is");
                    fill(&mut allocation, tag);
                    if random.random_bool(0.5) {
                        assert!(sender.push((tag, allocation)).is_ok(), "the queue is open");
                    } else {
                        thread::yield_now();
                        assert!(allocation.as_slice().iter().all(|byte| *byte == tag), "somebody else wrote here");
                    }
                }
            })
        });
        let threads: Vec<_> = spawned.collect();
        drop(sender);
        let mut drained = Vec::new();
        while receiver.wait().expect("this process made the queue") {
            receiver.drain(&mut drained, 16);
            for (tag, allocation) in drained.drain(..) {
                assert!(allocation.as_slice().iter().all(|byte| *byte == tag), "somebody else wrote here");
            }
        }
        join(threads);
    });
    Ok(())
}

/// Writes that are awaited by blocking, by polling or not at all, beside reads.
fn pipe(seed: u64) -> Outcome {
    const WRITES: u64 = 100;
    const SLOTS: u64 = 64;
    let directory = tempfile::tempdir()?;
    let config = SlotFileConfig::new(directory.path().join("slots"), SLOT).initial_slots(SLOTS);
    let file = Arc::new(SlotFile::open(config)?);
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 128 * SLOT))?;
    let pipe = WritePipe::new(WritePipeConfig::new().queue_capacity(32), file)?;
    thread::scope(|scope| {
        let spawned = (0..THREADS).map(|thread| {
            let (pool, pipe) = (pool.clone(), &pipe);
            scope.spawn(move || {
                let mut random = Pcg64Mcg::seed_from_u64(seed ^ thread << 32);
                for number in 0..WRITES {
                    let count = random.random_range(1..=3);
                    let mut allocation = pool.allocate(count).expect("no more than there is");
                    fill(&mut allocation, u8::try_from(number).expect("below 256"));
                    let slot_index = random.random_range(0..SLOTS - 3);
                    let ticket = pipe.write(WriteRequest { allocation, slot_index }).expect("the disk is sound");
                    let durable = match random.random_range(0..4) {
                        0 => ticket.wait(),
                        1 => pollster::block_on(ticket.clone()),
                        2 => {
                            let mut back = [0; SLOT];
                            pipe.read(slot_index, &mut back).expect("the disk is sound");
                            assert!(
                                back.iter().all(|byte| *byte == back[0]),
                                "half a slot of one write, half of another"
                            );
                            continue;
                        }
                        _ => continue,
                    };
                    assert!(durable.expect("the disk is sound") >= ticket.epoch());
                }
            })
        });
        let threads: Vec<_> = spawned.collect();
        join(threads);
    });
    assert_eq!(pipe.close()?, THREADS * WRITES);
    Ok(())
}
