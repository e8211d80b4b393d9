//! What an allocation costs: `cargo bench -p fz-bufpool --bench allocate`.
//!
//! The peers take turns within each round, so that a change of the machine's speed meets all of
//! them; the figure is the median of the rounds, in nanoseconds per operation and thread.
//! `queue` is a `crossbeam_queue::ArrayQueue` of boxed buffers, `malloc` a `Vec` of the size.

#![allow(missing_docs, reason = "a program")]
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};

const BUFFERS: usize = 16384;
const BUFFER_SIZE: BufferSize = BufferSize::S128;
const ROUNDS: usize = 15;
const OPERATIONS: usize = 200_000;
/// How many allocations are held at once where several are.
const BATCH: usize = 64;

fn main() {
    let pool = BufPool::new(BufPoolConfig::new(BUFFER_SIZE, BUFFERS * BUFFER_SIZE.bytes())).expect("a valid pool");
    let queue = ArrayQueue::new(BUFFERS);
    for _ in 0..BUFFERS {
        queue.push(vec![0u8; BUFFER_SIZE.bytes()].into_boxed_slice()).expect("it has room for all");
    }
    let work: [(&str, &(dyn Fn() + Sync)); 8] = [
        ("pool   allocate(1), drop", &|| pool_one(&pool, 1)),
        ("pool   allocate(4), drop", &|| pool_one(&pool, 4)),
        ("pool   allocate(40), drop", &|| pool_one(&pool, 40)),
        ("queue  pop, push", &|| queue_one(&queue)),
        ("malloc malloc, free", &malloc_one),
        ("pool   64 x allocate(1), merge, drop", &|| pool_batch(&pool)),
        ("queue  64 x pop, 64 x push", &|| queue_batch(&queue)),
        ("malloc 64 x malloc, 64 x free", &malloc_batch),
    ];
    for threads in [1, 2, 4] {
        println!("{threads} thread(s), ns per allocation and release");
        let mut rounds = vec![Vec::new(); work.len()];
        for _ in 0..ROUNDS {
            for (figures, (_, body)) in rounds.iter_mut().zip(&work) {
                figures.push(time(threads, body));
            }
        }
        for ((name, _), mut figures) in work.iter().zip(rounds) {
            figures.sort();
            #[expect(clippy::cast_precision_loss, reason = "the number of operations is small")]
            let ns = figures[ROUNDS / 2].as_nanos() as f64 / OPERATIONS as f64;
            println!("  {name:<40} {ns:>8.1}");
        }
    }
}

/// How long `threads` threads take, each with the whole of `body`.
fn time(threads: usize, body: &(dyn Fn() + Sync)) -> Duration {
    if threads == 1 {
        let start = Instant::now();
        body();
        return start.elapsed();
    }
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let start = Instant::now();
                    body();
                    start.elapsed()
                })
            })
            .collect();
        barrier.wait();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).max().expect("there are workers")
    })
}

fn pool_one(pool: &BufPool, count: usize) {
    for _ in 0..OPERATIONS {
        let mut allocation = pool.allocate(count).expect("a valid count");
        allocation.as_mut_slice()[0] = 1;
        black_box(&allocation);
    }
}

fn queue_one(queue: &ArrayQueue<Box<[u8]>>) {
    for _ in 0..OPERATIONS {
        let mut buffer = queue.pop().expect("it is never empty");
        buffer[0] = 1;
        queue.push(black_box(buffer)).expect("it has room for all");
    }
}

fn malloc_one() {
    for _ in 0..OPERATIONS {
        let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER_SIZE.bytes());
        buffer.push(1);
        drop(black_box(buffer));
    }
}

fn pool_batch(pool: &BufPool) {
    let mut held: Vec<Allocation> = Vec::with_capacity(BATCH);
    for _ in 0..OPERATIONS / BATCH {
        for _ in 0..BATCH {
            let next = pool.allocate(1).expect("a valid count");
            match held.last_mut() {
                None => held.push(next),
                Some(last) => {
                    if let Err(apart) = last.try_append(next) {
                        held.push(apart);
                    }
                }
            }
        }
        black_box(&mut held).clear();
    }
}

fn queue_batch(queue: &ArrayQueue<Box<[u8]>>) {
    let mut held = Vec::with_capacity(BATCH);
    for _ in 0..OPERATIONS / BATCH {
        held.extend((0..BATCH).map(|_| queue.pop().expect("it is never empty")));
        for buffer in black_box(&mut held).drain(..) {
            queue.push(buffer).expect("it has room for all");
        }
    }
}

fn malloc_batch() {
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(BATCH);
    for _ in 0..OPERATIONS / BATCH {
        held.extend((0..BATCH).map(|_| Vec::with_capacity(BUFFER_SIZE.bytes())));
        black_box(&mut held).clear();
    }
}
