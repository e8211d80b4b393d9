//! The pool and the queue alone, beside the queues of `crossbeam-queue` and the heap.

use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_queue::{ArrayQueue, SegQueue};
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_mpsc::{QueueConfig, Receiver, Sender, channel};

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::workload::Work;

const OPERATIONS: usize = 1 << 20;
const BUFFERS: usize = 1 << 14;
const CAPACITY: usize = 1 << 16;
const BATCH_MAX: usize = 256;

/// As large as a write request.
type Value = [u64; 5];

fn x(work: &Work) -> Outcome<usize> {
    Ok(usize::try_from(super::x(work)?)?)
}

/// The mean over all threads of one `operation`'s time.
fn by_threads(work: &Work, operation: impl Fn() + Sync) -> Outcome<Figures> {
    let threads = x(work)?;
    let start = Barrier::new(threads);
    let took = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let began = Instant::now();
                    for _ in 0..OPERATIONS {
                        operation();
                    }
                    began.elapsed()
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().map_err(|_| "a thread panicked")).sum::<Result<Duration, _>>()
    })?;
    let nanos = took.as_secs_f64() * 1e9 / (OPERATIONS * threads) as f64;
    Ok(Figures::from([("op_ns".to_owned(), nanos)]))
}

pub(crate) fn allocate_pool(work: &Work, _: &Path) -> Outcome<Figures> {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::try_from(work.bytes)?, BUFFERS * work.bytes))?;
    by_threads(work, || {
        let mut allocation = pool.allocate(1).expect("one buffer is a valid request");
        allocation.as_mut_slice()[0] = 1;
        black_box(&allocation);
    })
}

pub(crate) fn allocate_queue(work: &Work, _: &Path) -> Outcome<Figures> {
    let queue = ArrayQueue::new(BUFFERS);
    for _ in 0..BUFFERS {
        let _ = queue.push(vec![0_u8; work.bytes].into_boxed_slice());
    }
    by_threads(work, || {
        let mut buffer = queue.pop().expect("there are more buffers than threads");
        buffer[0] = 1;
        let _ = queue.push(black_box(buffer));
    })
}

pub(crate) fn allocate_malloc(work: &Work, _: &Path) -> Outcome<Figures> {
    by_threads(work, || {
        let mut buffer: Vec<u8> = Vec::with_capacity(work.bytes);
        buffer.push(1);
        drop(black_box(buffer));
    })
}

/// A queue as this suite sees it.
trait Queue: Sync {
    fn try_push(&self, value: Value) -> Result<(), Value>;
}

/// Its consumer's side.
trait Consume: Send {
    fn drain(&mut self, batch: &mut Vec<Value>) -> usize;
}

impl Queue for Sender<Value> {
    fn try_push(&self, value: Value) -> Result<(), Value> {
        Sender::try_push(self, value).map(drop).map_err(fz_mpsc::PushError::into_value)
    }
}

impl Consume for Receiver<Value> {
    fn drain(&mut self, batch: &mut Vec<Value>) -> usize {
        Receiver::drain(self, batch, BATCH_MAX)
    }
}

impl Queue for ArrayQueue<Value> {
    fn try_push(&self, value: Value) -> Result<(), Value> {
        self.push(value)
    }
}

impl Consume for &ArrayQueue<Value> {
    fn drain(&mut self, batch: &mut Vec<Value>) -> usize {
        batch.extend(std::iter::from_fn(|| self.pop()).take(BATCH_MAX));
        batch.len()
    }
}

impl Queue for SegQueue<Value> {
    fn try_push(&self, value: Value) -> Result<(), Value> {
        self.push(value);
        Ok(())
    }
}

impl Consume for &SegQueue<Value> {
    fn drain(&mut self, batch: &mut Vec<Value>) -> usize {
        batch.extend(std::iter::from_fn(|| self.pop()).take(BATCH_MAX));
        batch.len()
    }
}

pub(crate) fn push_fz(work: &Work, _: &Path) -> Outcome<Figures> {
    let (sender, receiver) = channel(QueueConfig::new(CAPACITY))?;
    push(x(work)?, &sender, receiver)
}

pub(crate) fn push_array(work: &Work, _: &Path) -> Outcome<Figures> {
    let queue = ArrayQueue::new(CAPACITY);
    push(x(work)?, &queue, &queue)
}

pub(crate) fn push_segments(work: &Work, _: &Path) -> Outcome<Figures> {
    let queue = SegQueue::new();
    push(x(work)?, &queue, &queue)
}

fn push(producers: usize, queue: &impl Queue, consumer: impl Consume) -> Outcome<Figures> {
    let (pushing, through) =
        if producers == 0 { alone(queue, consumer) } else { together(producers, queue, consumer)? };
    let nanos = |time: Duration| time.as_secs_f64() * 1e9 / OPERATIONS as f64;
    Ok(Figures::from([("op_ns".to_owned(), nanos(pushing)), ("through_ns".to_owned(), nanos(through))]))
}

/// One thread fills the queue and empties it, again and again: the pushes' time, and all of it.
fn alone(queue: &impl Queue, mut consumer: impl Consume) -> (Duration, Duration) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let (mut pushing, began) = (Duration::ZERO, Instant::now());
    for _ in 0..OPERATIONS / CAPACITY {
        let filling = Instant::now();
        for number in 0..CAPACITY {
            let _ = queue.try_push(black_box([number as u64; 5]));
        }
        pushing += filling.elapsed();
        let mut taken = 0;
        while taken < CAPACITY {
            batch.clear();
            taken += consumer.drain(&mut batch);
            black_box(&batch);
        }
    }
    (pushing, began.elapsed())
}

/// Producers beside a consumer that is awake: the mean of the producers' own time, and until all
/// is drained.
fn together(producers: usize, queue: &impl Queue, mut consumer: impl Consume) -> Outcome<(Duration, Duration)> {
    let start = Barrier::new(producers + 1);
    let each = OPERATIONS / producers;
    thread::scope(|scope| {
        let handles: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let began = Instant::now();
                    for number in 0..each {
                        let mut value = black_box([number as u64; 5]);
                        while let Err(refused) = queue.try_push(value) {
                            value = refused;
                            thread::yield_now();
                        }
                    }
                    began.elapsed()
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        let (mut taken, mut batch) = (0, Vec::with_capacity(BATCH_MAX));
        while taken < each * producers {
            batch.clear();
            let more = consumer.drain(&mut batch);
            black_box(&batch);
            taken += more;
            if more == 0 {
                thread::yield_now();
            }
        }
        let through = began.elapsed();
        let mut pushing = Duration::ZERO;
        for handle in handles {
            pushing += handle.join().map_err(|_| "a producer panicked")?;
        }
        Ok((pushing, through))
    })
}
