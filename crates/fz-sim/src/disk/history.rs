//! The calls on a disk, and how each ended.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::{FaultKind, Op, PowerCut};

/// How an [`Operation`] ended.
///
/// ```
/// use fz_sim::{Outcome, SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// let _ = disk.remove("/nothing".as_ref());
/// assert!(matches!(disk.history()[0].outcome, Outcome::Failed(_)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It succeeded; the number is its result (bytes transferred, a length), else 0.
    Ok(u64),
    /// It failed with this `errno`, or with 0 where the error has none.
    Failed(i32),
    /// It panicked: [`Fault::Panic`](crate::Fault::Panic).
    Panicked,
    /// The power went, or was off.
    PowerCut,
}

impl Outcome {
    pub(crate) fn of_error(error: &io::Error) -> Self {
        if PowerCut::is(error) { Outcome::PowerCut } else { Outcome::Failed(error.raw_os_error().unwrap_or(0)) }
    }
}

/// One call, as it ended.
///
/// ```
/// use fz_sim::{Op, SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// disk.create("/log".as_ref())?;
/// let operation = &disk.history()[0];
/// assert_eq!((operation.number, operation.op, operation.bytes), (1, Op::Create, 0));
/// assert_eq!(operation.to_string(), "#1 create /log = 0");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// Its number among all calls on the disk, from 1, in the order in which they began.
    pub number: u64,
    /// The method.
    pub op: Op,
    /// The path of the file or directory, the file's as it was opened; for a rename, the old one.
    pub path: Arc<Path>,
    /// For a rename, the new path.
    pub to: Option<Arc<Path>>,
    /// The first byte, where there is a range.
    pub offset: u64,
    /// The bytes asked for, or the new length.
    pub bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The fault that was injected, if one was; of a pause and another, the other.
    pub fault: Option<FaultKind>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.number, self.op, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " -> {}", to.display())?;
        }
        match self.op {
            Op::Read | Op::Write | Op::WriteBack | Op::Allocate => write!(f, " {}+{}", self.offset, self.bytes)?,
            Op::SetLength => write!(f, " {}", self.bytes)?,
            _ => {}
        }
        match self.outcome {
            Outcome::Ok(value) => write!(f, " = {value}")?,
            Outcome::Failed(errno) => write!(f, " = {}", io::Error::from_raw_os_error(errno))?,
            Outcome::Panicked => f.write_str(" = panic")?,
            Outcome::PowerCut => f.write_str(" = power cut")?,
        }
        self.fault.map_or(Ok(()), |fault| write!(f, " [{fault}]"))
    }
}

/// The last operations.
#[derive(Debug, Default)]
pub(crate) struct History {
    operations: VecDeque<Operation>,
    max: usize,
}

impl History {
    pub(crate) fn new(max: usize) -> Self {
        Self { operations: VecDeque::new(), max }
    }

    pub(crate) fn push(&mut self, operation: Operation) {
        if self.max == 0 {
            return;
        }
        if self.operations.len() == self.max {
            self.operations.pop_front();
        }
        self.operations.push_back(operation);
    }

    pub(crate) fn to_vec(&self) -> Vec<Operation> {
        self.operations.iter().cloned().collect()
    }
}
