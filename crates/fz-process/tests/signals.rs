//! A thread of a library takes none of the program's signals.
#![cfg(unix)]

use nix::sys::signal::SigSet;

#[test]
fn every_signal_is_blocked_and_the_callers_mask_is_restored() {
    let before = SigSet::thread_get_mask().unwrap();
    let inside = fz_process::thread::spawn("quiet", || SigSet::thread_get_mask().unwrap()).unwrap().join().unwrap();
    for signal in nix::sys::signal::Signal::iterator() {
        let is_blockable = !matches!(signal, nix::sys::signal::SIGKILL | nix::sys::signal::SIGSTOP);
        assert_eq!(inside.contains(signal), is_blockable, "{signal}");
    }
    assert_eq!(SigSet::thread_get_mask().unwrap(), before);
}
