//! Real signals, many of them, to every thread of this process.

use std::fs;
use std::io::{self, PipeWriter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid, read};

/// The one that [`jobserver`] handles.
pub(crate) const SIGNAL: &str = "SIGUSR1";

/// Between two signals. They go to one thread after the other.
const PAUSE: Duration = Duration::from_micros(50);

/// Signals to all threads, until it is [stopped](Self::stop).
///
/// The handler does nothing and is installed without `SA_RESTART`: whatever a signal interrupts returns `EINTR`. To
/// install one oneself takes `unsafe`; `jobserver` has such a handler, because it interrupts a `read` of its own by it.
#[derive(Debug)]
pub(crate) struct Storm {
    is_over: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    reader: JoinHandle<u64>,
    unread: PipeWriter,
    _handler: jobserver::HelperThread,
}

impl Storm {
    /// Begins. Every thread that is started from now on is hit as well.
    ///
    /// # Errors
    ///
    /// The handler could not be installed, or a thread not be started.
    pub(crate) fn begin() -> io::Result<Self> {
        let handler = jobserver::Client::new(1)?.into_helper_thread(drop)?;
        let (reading, unread) = io::pipe()?;
        let reader = thread::Builder::new().name("fz-crash-reads".to_owned()).spawn(move || {
            let mut interrupted = 0;
            // Nothing comes before the other end is closed.
            while read(&reading, &mut [0]) == Err(Errno::EINTR) {
                interrupted += 1;
            }
            interrupted
        })?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let sender = thread::Builder::new().name("fz-crash-storm".to_owned()).spawn(move || {
            // Relaxed: nothing is passed on with it.
            while !seen.load(Ordering::Relaxed) {
                hit_each_thread_once();
            }
        })?;
        Ok(Self { is_over, sender, reader, unread, _handler: handler })
    }

    /// Ends; returns how often a `read` that waited all the time was interrupted: it shows that the signals came, and
    /// that the kernel restarts nothing.
    pub(crate) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.sender.join();
        drop(self.unread);
        self.reader.join().unwrap_or(0)
    }
}

fn hit_each_thread_once() {
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let thread = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
        let Some(thread) = thread.filter(|&thread| thread != gettid()) else { continue };
        // To the number of a thread: Linux prefers that thread. It may have ended meanwhile.
        let _ = kill(thread, Signal::SIGUSR1);
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_waits_is_interrupted() {
        let storm = Storm::begin().unwrap();
        let (reading, _unread) = io::pipe().unwrap();
        assert_eq!(read(&reading, &mut [0]), Err(Errno::EINTR));
        storm.stop();
    }
}
