//! A lost wake-up must fail a test, not hang the suite.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Far beyond what any test here takes on a busy machine. Where hangs are expected, less.
const PATIENCE: Duration = Duration::from_secs(if cfg!(fz_mutants) { 8 } else { 30 });

/// Runs `body` on a thread of its own; panics if it panics or is stuck.
#[track_caller]
pub(crate) fn finishes<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        // The receiver is gone only if we have been given up.
        let _ = done.send(body());
    });
    match is_done.recv_timeout(PATIENCE) {
        Ok(result) => {
            worker.join().expect("it has said that it is done");
            result
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().expect_err("it panicked")),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("stuck: somebody waits for ever"),
    }
}

/// Yields until `is_so`; for what comes without anybody to tell. Within [`finishes`].
pub(crate) fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}
