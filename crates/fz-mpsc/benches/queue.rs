//! What a push and a drain cost, beside the queues of `crossbeam-queue`.
//!
//! `cargo bench -p fz-mpsc --bench queue` prints a table. All queues take turns within a round,
//! and each figure is the median of the rounds. Only the ratios within one run mean anything; run
//! it on an idle machine.
//!
//! `ArrayQueue` is bounded and `SegQueue` is not; neither gives a push its position nor lets the
//! consumer sleep, so for both the consumer here spins and yields, as it does for `fz-mpsc`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_queue::{ArrayQueue, SegQueue};
use fz_mpsc::{QueueConfig, Receiver, Sender, channel};

/// As large as a request of the write pipe.
#[derive(Clone, Copy)]
struct Value([u64; 5]);

const CAPACITY: usize = 1 << 16;
const VALUES: usize = 1 << 20;
const BATCH_MAX: usize = 256;
const ROUNDS: usize = 15;

/// The queues as the benchmark sees them: push until there is room, take a batch.
trait Queue: Sync {
    fn push(&self, value: Value);
    fn drain(&self, consumer: &mut Consumer) -> usize;
}

/// The one consumer's own state.
struct Consumer {
    batch: Vec<Value>,
    receiver: Option<Receiver<Value>>,
}

impl Consumer {
    fn new(receiver: Option<Receiver<Value>>) -> Self {
        Self { batch: Vec::with_capacity(BATCH_MAX), receiver }
    }
}

struct Fz(Sender<Value>);

impl Queue for Fz {
    #[inline]
    fn push(&self, value: Value) {
        let mut value = value;
        while let Err(refused) = self.0.try_push(value) {
            value = refused.into_value();
            thread::yield_now();
        }
    }

    #[inline]
    fn drain(&self, consumer: &mut Consumer) -> usize {
        consumer.batch.clear();
        let receiver = consumer.receiver.as_mut().expect("fz-mpsc's consumer has a receiver");
        receiver.drain(&mut consumer.batch, BATCH_MAX)
    }
}

impl Queue for ArrayQueue<Value> {
    #[inline]
    fn push(&self, value: Value) {
        let mut value = value;
        while let Err(refused) = ArrayQueue::push(self, value) {
            value = refused;
            thread::yield_now();
        }
    }

    #[inline]
    fn drain(&self, consumer: &mut Consumer) -> usize {
        consumer.batch.clear();
        consumer.batch.extend(std::iter::from_fn(|| self.pop()).take(BATCH_MAX));
        consumer.batch.len()
    }
}

impl Queue for SegQueue<Value> {
    #[inline]
    fn push(&self, value: Value) {
        SegQueue::push(self, value);
    }

    #[inline]
    fn drain(&self, consumer: &mut Consumer) -> usize {
        consumer.batch.clear();
        consumer.batch.extend(std::iter::from_fn(|| self.pop()).take(BATCH_MAX));
        consumer.batch.len()
    }
}

fn drain_one_batch(queue: &impl Queue, consumer: &mut Consumer) -> usize {
    let taken = queue.drain(consumer);
    for value in &consumer.batch {
        black_box(value.0[0]);
    }
    taken
}

/// One thread fills the queue, then empties it: nanoseconds per push and per value drained.
fn alone(queue: &impl Queue, consumer: &mut Consumer) -> (f64, f64) {
    let (mut pushing, mut draining) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..VALUES / CAPACITY {
        let start = Instant::now();
        for number in 0..CAPACITY {
            queue.push(black_box(Value([number as u64; 5])));
        }
        let filled = Instant::now();
        let mut taken = 0;
        while taken < CAPACITY {
            taken += drain_one_batch(queue, consumer);
        }
        pushing += filled - start;
        draining += filled.elapsed();
    }
    (nanos_each(pushing), nanos_each(draining))
}

/// Producers against a consumer that is awake: nanoseconds per value until all are drained, and
/// nanoseconds per push as the producers see it (the mean over their own time).
fn together(queue: &impl Queue, consumer: &mut Consumer, producers: usize) -> (f64, f64) {
    let start_line = Barrier::new(producers + 1);
    let pushing = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                start_line.wait();
                let start = Instant::now();
                for number in 0..VALUES / producers {
                    queue.push(black_box(Value([number as u64; 5])));
                }
                pushing.fetch_add(usize::try_from(start.elapsed().as_nanos()).unwrap_or(0), Ordering::Relaxed);
            });
        }
        start_line.wait();
        let start = Instant::now();
        let mut taken = 0;
        while taken < VALUES / producers * producers {
            let more = drain_one_batch(queue, consumer);
            if more == 0 {
                thread::yield_now();
            }
            taken += more;
        }
        let all = nanos_each(start.elapsed());
        (all, pushing.load(Ordering::Relaxed) as f64 / VALUES as f64)
    })
}

fn nanos_each(time: Duration) -> f64 {
    time.as_nanos() as f64 / VALUES as f64
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// One round of one queue: alone (push, drain), one producer (all, push), four producers.
fn round(queue: &impl Queue, receiver: Option<Receiver<Value>>) -> [f64; 6] {
    let mut consumer = Consumer::new(receiver);
    let (push, drain) = alone(queue, &mut consumer);
    let (one, one_push) = together(queue, &mut consumer, 1);
    let (four, four_push) = together(queue, &mut consumer, 4);
    [push, drain, one, one_push, four, four_push]
}

fn main() {
    let mut rounds: [[Vec<f64>; 6]; 3] = Default::default();
    for _ in 0..ROUNDS {
        let (sender, receiver) = channel(QueueConfig::new(CAPACITY)).expect("there is memory for a small queue");
        let all = [
            round(&Fz(sender), Some(receiver)),
            round(&ArrayQueue::new(CAPACITY), None),
            round(&SegQueue::new(), None),
        ];
        for (kept, new) in rounds.iter_mut().zip(all) {
            kept.iter_mut().zip(new).for_each(|(kept, new)| kept.push(new));
        }
    }
    println!("ns per value of {} bytes, median of {ROUNDS} rounds of {VALUES} values", size_of::<Value>());
    println!("{:12} {:>11} {:>11} {:>21} {:>21}", "", "alone", "alone", "1 producer", "4 producers");
    println!("{:12} {:>11} {:>11} {:>21} {:>21}", "queue", "push", "drain", "through | push", "through | push");
    for (name, kept) in ["fz-mpsc", "ArrayQueue", "SegQueue"].iter().zip(&mut rounds) {
        let [push, drain, one, one_push, four, four_push] = kept.each_mut().map(|values| median(values));
        println!(
            "{name:12} {push:>11.1} {drain:>11.1} {:>21} {:>21}",
            format!("{one:.1} | {one_push:.1}"),
            format!("{four:.1} | {four_push:.1}"),
        );
    }
}
