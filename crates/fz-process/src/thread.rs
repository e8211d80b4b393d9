//! Threads of a library, in a program that has its own ideas about signals.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread named `name` in which every signal is blocked, so that a signal sent to the process reaches one of
/// the program's own threads.
///
/// The thread inherits the mask at its creation, so there is no moment at which it could receive one. The calling
/// thread's mask is changed for that moment and then restored. Elsewhere than on Unix this is
/// [`std::thread::Builder::spawn`]. Does not block.
///
/// # Errors
///
/// The operating system's, if it cannot create the thread (`EAGAIN`: a limit on threads or on memory).
///
/// # Examples
///
/// ```
/// let thread = fz_process::thread::spawn("background", || 6 * 7)?;
/// assert_eq!(thread.join().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    let builder = Builder::new().name(name.to_owned());
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, SigmaskHow};

        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let spawned = builder.spawn(body);
        before.thread_set_mask()?;
        spawned
    }
    #[cfg(not(unix))]
    builder.spawn(body)
}
