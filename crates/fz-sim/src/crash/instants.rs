//! The instants of a run at which the power could have gone, recorded while the run goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::random::Random;
use crate::tree::Tree;
use crate::{Operation, Outcome};

/// The disk in the middle of one operation, and the number of acknowledgements made by then.
#[derive(Clone, Debug)]
pub(crate) struct Instant {
    /// The number of the operation; one more than the last for the end of the run.
    pub(crate) operation: u64,
    /// With the operation's change, which is not known to be on the media; before a sync made any change durable.
    pub(crate) tree: Arc<Tree>,
    pub(crate) acknowledged: usize,
}

/// Which instants are kept.
#[derive(Debug)]
pub(crate) enum Keep {
    /// Those of every `stride`-th operation, the first included; the stride doubles when they are more than `max`.
    Spread { max: usize, stride: u64 },
    /// That of one operation.
    Only(u64),
    /// At most `max` of those that differ from the one before, each with the same probability.
    Any { max: usize, random: Random, seen: usize },
}

impl Keep {
    pub(crate) fn spread(max: u64) -> Self {
        Keep::Spread { max: usize::try_from(max).unwrap_or(usize::MAX), stride: 1 }
    }

    pub(crate) fn any(max: usize, random: Random) -> Self {
        Keep::Any { max, random, seen: 0 }
    }
}

/// Records the instants of one run. Its lock is taken under the disk's.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug)]
struct Record {
    keep: Keep,
    acknowledged: Arc<AtomicUsize>,
    kept: Vec<Instant>,
    operations: u64,
    history: Vec<Operation>,
    /// The disk at the last instant, and as the last operation left it.
    previous: Arc<Tree>,
    last: Arc<Tree>,
}

impl Recorder {
    /// For a run that begins with `tree`.
    pub(crate) fn new(keep: Keep, acknowledged: &Arc<AtomicUsize>, tree: &Arc<Tree>) -> Self {
        Self(Arc::new(Mutex::new(Record {
            keep,
            acknowledged: Arc::clone(acknowledged),
            kept: Vec::new(),
            operations: 0,
            history: Vec::new(),
            previous: Arc::clone(tree),
            last: Arc::clone(tree),
        })))
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Every method leaves the record whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power could go now, in the middle of `operation`.
    pub(crate) fn offer(&self, operation: u64, tree: &Arc<Tree>) {
        self.record().offer(operation, tree);
    }

    /// The operation has ended so, and left the disk so.
    pub(crate) fn ended(&self, operation: Operation, tree: &Arc<Tree>) {
        let mut record = self.record();
        record.history.push(operation);
        record.last = Arc::clone(tree);
    }

    /// Ends the recording. `end`: the disk as the run left it, unless it was killed; then the last operation left it
    /// so.
    pub(crate) fn finish(&self, end: Option<Arc<Tree>>) -> Recorded {
        let mut record = self.record();
        let operations = record.operations;
        let tree = end.unwrap_or_else(|| Arc::clone(&record.last));
        if matches!(record.keep, Keep::Any { .. }) {
            record.offer(operations + 1, &tree);
        }
        let acknowledged = record.acknowledged.load(Ordering::Acquire);
        Recorded {
            instants: std::mem::take(&mut record.kept),
            end: Instant { operation: operations + 1, tree, acknowledged },
            operations,
            history: std::mem::take(&mut record.history),
        }
    }
}

/// A recorded run.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Those that were to be kept.
    pub(crate) instants: Vec<Instant>,
    pub(crate) end: Instant,
    pub(crate) operations: u64,
    history: Vec<Operation>,
}

impl Recorded {
    /// The operations up to `cut_at`, in the middle of which the power went.
    pub(crate) fn history(&self, cut_at: u64) -> Vec<Operation> {
        let until_then = self.history.iter().filter(|operation| operation.number <= cut_at).cloned();
        until_then
            .map(|mut operation| {
                if operation.number == cut_at {
                    operation.outcome = Outcome::PowerCut;
                }
                operation
            })
            .collect()
    }
}

impl Record {
    fn offer(&mut self, operation: u64, tree: &Arc<Tree>) {
        self.operations += 1;
        let is_new = !Arc::ptr_eq(&self.previous, tree);
        self.previous = Arc::clone(tree);
        let instant = || Instant {
            operation,
            tree: Arc::clone(tree),
            // Acquire: pairs with the Release store in `Acknowledged::push`. The disk's lock is held, so every
            // value acknowledged by now was made durable in this tree.
            acknowledged: self.acknowledged.load(Ordering::Acquire),
        };
        match &mut self.keep {
            Keep::Only(wanted) => {
                if operation == *wanted {
                    self.kept.push(instant());
                }
            }
            Keep::Any { max, random, seen } => {
                if is_new {
                    *seen += 1;
                    if self.kept.len() < *max {
                        self.kept.push(instant());
                    } else if let Some(place) = self.kept.get_mut(random.below(*seen)) {
                        *place = instant();
                    }
                }
            }
            Keep::Spread { max, stride } => {
                let is_kept = |operation: u64, stride: u64| (operation - 1).is_multiple_of(stride);
                if *max > 0 && is_kept(operation, *stride) {
                    self.kept.push(instant());
                }
                while self.kept.len() > *max {
                    *stride *= 2;
                    self.kept.retain(|kept| is_kept(kept.operation, *stride));
                }
            }
        }
    }
}
