//! Runs a plan against a file: several threads, overlapping writes, some awaited and some not.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fz_bufpool::BufPool;
use fz_file::{FileError, SlotFile};
use fz_wpipe::{PipeError, PipeErrorKind, WritePipe, WriteRequest};

use crate::os::resources;
use crate::subject::content::{self, Accepted, Tag};
use crate::subject::plan::{MODULE_ID, Operation, Plan, Wait};

/// A wait that lasts longer is reported as a hang. The slowest machine with the slowest disk gets by with a
/// tenth of it.
///
/// Of programs broken on purpose hangs are expected, and waited for less.
const PATIENCE: Duration = Duration::from_secs(if cfg!(fz_mutants) { 5 } else { 60 });

/// What a write and its sync may take on a slow disk.
const SLOW_WRITE: Duration = Duration::from_millis(20);

/// Hears what a run promised, at the moment it did.
pub(crate) trait Observer: Sync {
    /// The file is open, and has `slots` slots.
    fn opened(&self, slots: u64);
    /// A write was accepted.
    fn accepted(&self, write: Accepted);
    /// Everything up to `epoch` was reported durable.
    fn durable(&self, epoch: u64);
    /// The file has grown to `slots` slots.
    fn grown(&self, slots: u64);
}

/// What a run said of its failures, if it had any.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) errors: Vec<Failure>,
    /// The durable epoch that closing returned.
    pub(crate) closed: Option<u64>,
}

/// An error that a call returned.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    File(FileError),
    Pipe(PipeError),
    /// Something that no disk may cause.
    Broken(String),
}

impl Failure {
    /// The operating system's number for the cause.
    pub(crate) fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::File(error) => error.raw_os_error(),
            Self::Pipe(error) => error.raw_os_error(),
            Self::Broken(_) => None,
        }
    }

    /// Only a disk that failed may be the reason for an error, and each error must carry this run's module id.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Pipe(error) => {
                let no_disk = matches!(error.kind(), PipeErrorKind::Panicked { .. } | PipeErrorKind::TimedOut { .. });
                no_disk || error.module_id() != MODULE_ID
            }
            Self::File(error) => error.module_id() != MODULE_ID,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => write!(f, "{error} (cause: {:?})", error.io_error()),
            Self::Pipe(error) => write!(f, "{error} (cause: {:?})", error.io_error()),
            Self::Broken(message) => f.write_str(message),
        }
    }
}

/// Runs `plan` on the file at `path` to its end, or until the disk fails.
///
/// A run that hangs cannot be ended from outside, since its threads are ours: then the whole process says so
/// and stops.
pub(crate) fn run(plan: &Plan, path: &Path, observer: &impl Observer) -> Outcome {
    let (ended, end) = channel::<()>();
    let hanging = plan.clone();
    let limit = limit(plan);
    let watch = move || {
        if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "FAILED: the run hangs, which no disk may cause: {hanging:?}");
            resources::stop();
        }
    };
    let watcher = thread::Builder::new().name("fz-crash-watch".to_owned()).spawn(watch);
    let outcome = run_unwatched(plan, path, observer);
    drop(ended);
    if let Ok(watcher) = watcher {
        let _ = watcher.join();
    }
    outcome
}

/// What a run may take: twice the time of a single wait, and what a slow disk takes for each write.
pub(crate) fn limit(plan: &Plan) -> Duration {
    2 * PATIENCE + SLOW_WRITE * u32::from(plan.writers) * plan.writes
}

fn run_unwatched(plan: &Plan, path: &Path, observer: &impl Observer) -> Outcome {
    let mut outcome = Outcome::default();
    match open(plan, path) {
        Ok((file, pool, pipe)) => {
            observer.opened(file.slots());
            let errors = Mutex::new(Vec::new());
            thread::scope(|scope| {
                for writer in 0..plan.writers {
                    let (plan, pool, pipe, errors) = (plan, &pool, &pipe, &errors);
                    scope.spawn(move || {
                        let failures = write(plan, writer, pool, pipe, observer);
                        errors.lock().expect("no writer panics").extend(failures);
                    });
                }
            });
            outcome.errors = errors.into_inner().expect("no writer panics");
            match pipe.close() {
                Ok(epoch) => {
                    observer.durable(epoch);
                    outcome.closed = Some(epoch);
                }
                Err(error) => outcome.errors.push(Failure::Pipe(error)),
            }
        }
        Err(failure) => outcome.errors.push(failure),
    }
    outcome
}

fn open(plan: &Plan, path: &Path) -> Result<(std::sync::Arc<SlotFile>, BufPool, WritePipe), Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::Broken(error.to_string());
    let file = std::sync::Arc::new(SlotFile::open(plan.file(path)).map_err(Failure::File)?);
    let pool = plan.pool().map_err(|error| broken(&error))?;
    let pipe = WritePipe::new(plan.pipe(), std::sync::Arc::clone(&file)).map_err(Failure::Pipe)?;
    Ok((file, pool, pipe))
}

/// All writes of one writer. It goes on after a ticket that failed, as a program may that does not know the
/// pipe: then it is refused, and nothing that it still hears may be wrong.
fn write(plan: &Plan, writer: u8, pool: &BufPool, pipe: &WritePipe, observer: &impl Observer) -> Vec<Failure> {
    let file = pipe.file();
    let mut failures = Vec::new();
    for sequence in plan.first..plan.writes {
        if plan.grows_before(writer, sequence) {
            match file.grow(plan.slots_added()) {
                Ok(slots) => observer.grown(slots),
                Err(error) => failures.push(Failure::File(error)),
            }
        }
        let operation = plan.operation(writer, sequence, file.slots());
        // A plan of distinct slots has no room after a growth that failed.
        if !failures.is_empty() && operation.slot + operation.count > file.slots() {
            break;
        }
        let tag = Tag::new(plan.round, writer, sequence);
        match write_one(plan, tag, operation, pool, pipe, observer) {
            Ok(()) => {}
            Err(Stopped::Ticket(failure)) if !failure.is_broken() => failures.push(failure),
            Err(Stopped::Ticket(failure) | Stopped::Refused(failure)) => {
                failures.push(failure);
                break;
            }
        }
    }
    failures
}

/// Where a write failed.
enum Stopped {
    /// It was not accepted.
    Refused(Failure),
    /// It was accepted, and its ticket failed.
    Ticket(Failure),
}

fn write_one(
    plan: &Plan,
    tag: Tag,
    operation: Operation,
    pool: &BufPool,
    pipe: &WritePipe,
    observer: &impl Observer,
) -> Result<(), Stopped> {
    let Operation { slot, count, wait } = operation;
    let buffers = usize::try_from(count).expect("a write is small");
    let allocated = pool.allocate(buffers);
    let mut allocation = allocated.map_err(|error| Stopped::Refused(Failure::Broken(error.to_string())))?;
    content::fill(tag, slot, plan.slot_size, allocation.as_mut_slice());
    let request = WriteRequest { allocation, slot_index: slot };
    let ticket = pipe.write(request).map_err(|rejected| Stopped::Refused(Failure::Pipe(rejected.error)))?;
    let epoch = ticket.epoch();
    observer.accepted(Accepted { tag: tag.word(), epoch, slot, count });
    let broken = |words: String| Stopped::Ticket(Failure::Broken(words));
    let began = Instant::now();
    let durable = match wait {
        Wait::No => return Ok(()),
        Wait::Block => ticket.wait(),
        Wait::Limited => ticket.wait_timeout(PATIENCE),
    };
    // A waiter with a limit looks once more when the limit is over: then the answer was there, and no thread woke it.
    if wait == Wait::Limited && began.elapsed() >= PATIENCE {
        return Err(broken(format!("epoch {epoch} was heard of only after {PATIENCE:?}: {durable:?}")));
    }
    let durable = durable.map_err(|error| Stopped::Ticket(Failure::Pipe(error)))?;
    if durable < epoch {
        return Err(broken(format!("epoch {epoch} was reported durable by epoch {durable}")));
    }
    observer.durable(durable);
    Ok(())
}
