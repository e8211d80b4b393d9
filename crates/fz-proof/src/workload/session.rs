//! The state that the threads of one generation share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fz_bufpool::BufPool;
use fz_file::SlotFile;
use fz_wpipe::{PipeError, WritePipe};

use crate::campaign::scenario::Scenario;
use crate::disk::watch::{Watch, lock};
use crate::oracle::excuses::Excuses;
use crate::oracle::ledger::Ledger;
use crate::oracle::readback::ReadBack;

/// The state that the producers of one generation share.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) excuses: &'a Excuses<'a>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) file: Arc<SlotFile>,
    pub(crate) pool: BufPool,
    pub(crate) pipe: Arc<WritePipe>,
    pub(crate) ledger: &'a Ledger,
    /// More slots than these are not asked for.
    pub(crate) slots_max: u64,
    /// The error that stopped the pipe, as the first thread that saw it reports.
    failure: Mutex<Option<PipeError>>,
    failed: AtomicBool,
    /// A sync of the file failed outside the pipe, which does not know yet. The kernel may have
    /// reverted bytes that reads showed.
    file_failed: AtomicBool,
    reads: Mutex<Vec<ReadBack>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        (scenario, slots_max): (&'a Scenario, u64),
        watch: &Arc<Watch>,
        file: Arc<SlotFile>,
        pool: BufPool,
        pipe: Arc<WritePipe>,
        ledger: &'a Ledger,
        excuses: &'a Excuses<'a>,
    ) -> Self {
        watch.attach(&pipe);
        Self {
            scenario,
            excuses,
            watch: Arc::clone(watch),
            file,
            pool,
            pipe,
            ledger,
            slots_max,
            failure: Mutex::new(None),
            failed: AtomicBool::new(false),
            file_failed: AtomicBool::new(false),
            reads: Mutex::new(Vec::new()),
        }
    }

    /// Notes the error that stopped the pipe.
    ///
    /// # Errors
    ///
    /// It is no error that stops a pipe, or another one did.
    pub(crate) fn stopped(&self, error: &PipeError) -> Result<(), String> {
        if !error.kind().is_poison() {
            return Err(format!("C: only a failed write or sync may end a ticket, and {error:?} did"));
        }
        self.failed.store(true, Ordering::SeqCst);
        let mut first = lock(&self.failure);
        match &*first {
            Some(first) if first.kind() != error.kind() => {
                Err(format!("C: the first failure is final, and after {first:?} came {error:?}"))
            }
            Some(_) => Ok(()),
            None => {
                *first = Some(error.clone());
                Ok(())
            }
        }
    }

    /// Whether any thread has been told that the pipe stopped.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn failure(&self) -> Option<PipeError> {
        lock(&self.failure).clone()
    }

    pub(crate) fn file_failed(&self) {
        self.file_failed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn read_back(&self, read: ReadBack) {
        if !self.file_failed.load(Ordering::SeqCst) {
            lock(&self.reads).push(read);
        }
    }

    pub(crate) fn reads(&self) -> Vec<ReadBack> {
        std::mem::take(&mut lock(&self.reads))
    }
}
