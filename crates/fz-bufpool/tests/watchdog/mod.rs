//! A lost wake-up must fail a test, not hang the suite.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Far beyond what any test here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `body` on a thread of its own; panics if it panics or is stuck.
#[track_caller]
pub(crate) fn finishes(body: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        body();
        // The receiver is gone only if we have been given up.
        let _ = done.send(());
    });
    match is_done.recv_timeout(PATIENCE) {
        Ok(()) => worker.join().expect("it has said that it is done"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().expect_err("it panicked")),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("stuck: a thread waits for ever"),
    }
}
