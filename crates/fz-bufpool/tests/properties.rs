//! Any sequence of operations against a plain model: which buffers are taken, and by which allocation, their bytes, the
//! line.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod wakes;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use wakes::Wakes;

const SIZE: BufferSize = BufferSize::S8;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Try { count: usize },
    Join { count: usize },
    Release { which: prop::sample::Index },
    Leave { which: prop::sample::Index },
    Append { to: prop::sample::Index, next: prop::sample::Index },
    Split { which: prop::sample::Index, at: prop::sample::Index },
    Truncate { which: prop::sample::Index, to: prop::sample::Index },
    Write { which: prop::sample::Index, byte: u8 },
    CloneHandle,
}

fn operation(capacity: usize) -> impl Strategy<Value = Operation> {
    let count =
        prop_oneof![4 => 1..=4usize, 2 => 1..=40usize, 1 => 1..=capacity].prop_map(move |count| count.min(capacity));
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => count.clone().prop_map(|count| Operation::Try { count }),
        3 => count.prop_map(|count| Operation::Join { count }),
        6 => index().prop_map(|which| Operation::Release { which }),
        1 => index().prop_map(|which| Operation::Leave { which }),
        2 => (index(), index()).prop_map(|(to, next)| Operation::Append { to, next }),
        2 => (index(), index()).prop_map(|(which, at)| Operation::Split { which, at }),
        2 => (index(), index()).prop_map(|(which, to)| Operation::Truncate { which, to }),
        2 => (index(), any::<u8>()).prop_map(|(which, byte)| Operation::Write { which, byte }),
        1 => Just(Operation::CloneHandle),
    ]
}

/// An allocation and the byte that fills it.
struct Held {
    allocation: Allocation,
    byte: u8,
}

struct Waiting {
    future: AllocateFuture,
    wakes: Arc<Wakes>,
    count: usize,
}

struct World {
    pool: BufPool,
    /// The address of the first buffer.
    base: usize,
    /// The model of the bitmap: whether each buffer is taken.
    taken: Vec<bool>,
    held: Vec<Held>,
    line: VecDeque<Waiting>,
    next_byte: u8,
}

impl World {
    fn new(capacity: usize) -> Self {
        let pool = BufPool::new(BufPoolConfig::new(SIZE, capacity * SIZE.bytes())).unwrap();
        let base = pool.allocate(capacity).unwrap().as_slice().as_ptr().addr();
        Self { pool, base, taken: vec![false; capacity], held: vec![], line: VecDeque::new(), next_byte: 0 }
    }

    fn range(&self, allocation: &Allocation) -> std::ops::Range<usize> {
        let first = (allocation.as_slice().as_ptr().addr() - self.base) / SIZE.bytes();
        first..first + allocation.count()
    }

    fn has_run(&self, count: usize) -> bool {
        self.taken.split(|&taken| taken).any(|run| run.len() >= count)
    }

    fn take(&mut self, mut allocation: Allocation, count: usize) {
        assert_eq!(allocation.count(), count);
        assert_eq!(allocation.len(), count * SIZE.bytes());
        let range = self.range(&allocation);
        assert!(range.end <= self.taken.len(), "outside of the arena");
        assert!(self.taken[range.clone()].iter().all(|taken| !taken), "{range:?} overlaps held buffers");
        self.taken[range].fill(true);
        self.next_byte = self.next_byte.wrapping_add(1);
        allocation.as_mut_slice().fill(self.next_byte);
        self.held.push(Held { allocation, byte: self.next_byte });
    }

    fn check_contents(held: &Held) {
        assert!(
            held.allocation.buffers().flatten().all(|&byte| byte == held.byte),
            "another owner wrote into a held buffer"
        );
    }

    fn try_allocate(&mut self, count: usize) {
        let possible = self.line.is_empty() && self.has_run(count);
        match self.pool.try_allocate(count) {
            Ok(allocation) => {
                assert!(possible, "a request passed the line or found what is not there");
                self.take(allocation, count);
            }
            Err(error) => {
                let capacity = self.taken.len();
                let expected = match self.line.is_empty() {
                    true => BufPoolErrorKind::Exhausted { count, capacity },
                    false => BufPoolErrorKind::RequestsWaiting { count, capacity },
                };
                assert_eq!(error.kind(), &expected);
                assert!(!possible, "a run of {count} is free and no request waits");
            }
        }
    }

    fn join(&mut self, count: usize) {
        let wakes = Arc::<Wakes>::default();
        let mut future = self.pool.allocate_async(count);
        let possible = self.line.is_empty() && self.has_run(count);
        match wakes::poll(&mut future, &wakes) {
            Poll::Ready(allocation) => {
                assert!(possible, "a request passed the line or found what is not there");
                self.take(allocation.unwrap(), count);
            }
            Poll::Pending => {
                assert!(!possible, "a run of {count} is free and no request waits");
                self.line.push_back(Waiting { future, wakes, count });
            }
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Try { count } => self.try_allocate(count),
            Operation::Join { count } => self.join(count),
            Operation::Release { which } if !self.held.is_empty() => {
                let held = self.held.swap_remove(which.index(self.held.len()));
                Self::check_contents(&held);
                let range = self.range(&held.allocation);
                self.taken[range].fill(false);
            }
            Operation::Leave { which } if !self.line.is_empty() => {
                self.line.remove(which.index(self.line.len()));
            }
            Operation::Append { to, next } if self.held.len() > 1 => {
                let next = self.held.swap_remove(next.index(self.held.len()));
                let at = to.index(self.held.len());
                let follows = self.range(&self.held[at].allocation).end == self.range(&next.allocation).start;
                match self.held[at].allocation.try_append(next.allocation) {
                    Ok(()) => {
                        assert!(follows);
                        let byte = self.held[at].byte;
                        self.held[at].allocation.as_mut_slice().fill(byte);
                    }
                    Err(allocation) => {
                        assert!(!follows);
                        self.held.push(Held { allocation, byte: next.byte });
                    }
                }
            }
            Operation::Split { which, at } if !self.held.is_empty() => {
                let which = which.index(self.held.len());
                let held = &mut self.held[which];
                let (byte, count) = (held.byte, held.allocation.count());
                let at = at.index(count + 1);
                match held.allocation.split_off(at) {
                    Ok(rest) => {
                        assert_eq!((held.allocation.count(), rest.count()), (at, count - at));
                        self.held.push(Held { allocation: rest, byte });
                    }
                    Err(_) => assert!(at == 0 || at == count),
                }
            }
            Operation::Truncate { which, to } if !self.held.is_empty() => {
                let at = which.index(self.held.len());
                let range = self.range(&self.held[at].allocation);
                let kept = 1 + to.index(range.len());
                self.held[at].allocation.truncate(kept).unwrap();
                self.taken[range.start + kept..range.end].fill(false);
            }
            Operation::Write { which, byte } if !self.held.is_empty() => {
                let at = which.index(self.held.len());
                self.held[at].allocation.buffers_mut().for_each(|buffer| buffer.fill(byte));
                self.held[at].byte = byte;
            }
            Operation::CloneHandle => self.pool = self.pool.clone(),
            _ => {}
        }
    }

    /// Takes the buffers that the head of the line was served, as often as it was; then no request that could be served
    /// may be left.
    fn serve(&mut self) {
        while let Some(head) = self.line.front_mut() {
            let woken = head.wakes.count();
            match wakes::poll(&mut head.future, &head.wakes) {
                Poll::Ready(allocation) => {
                    assert_eq!(woken, 1, "a request that is served is woken, once");
                    let count = self.line.pop_front().unwrap().count;
                    self.take(allocation.unwrap(), count);
                }
                Poll::Pending => {
                    let count = head.count;
                    assert!(!self.has_run(count), "a run of {count} is free for the head of the line");
                    break;
                }
            }
        }
        assert!(self.line.iter().all(|waiting| waiting.wakes.count() == 0), "a waiter was woken out of turn");
        let stats = self.pool.stats();
        assert_eq!(stats.in_use, self.taken.iter().filter(|&&taken| taken).count());
        assert_eq!(stats.waiters, self.line.len());
    }
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn f_h_every_history_is_that_of_the_model(
        (capacity, operations) in prop_oneof![1..8usize, 60..70usize, 120..400usize, 1020..1100usize, 4090..4200usize]
            .prop_flat_map(|capacity| (Just(capacity), prop::collection::vec(operation(capacity), 1..200)))
    ) {
        let mut world = World::new(capacity);
        for operation in operations {
            world.apply(operation);
            world.serve();
        }
        let World { pool, held, line, .. } = world;
        drop(pool);
        drop(line);
        held.iter().for_each(World::check_contents);
    }
}
