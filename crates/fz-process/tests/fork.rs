//! A value made before a fork knows that the child is another process.
#![cfg(unix)]

use fork::Fork;
use fz_process::Process;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What the child's `body` returns, as its exit status.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    match fork::fork().expect("a process more") {
        Fork::Child => std::process::exit(i32::from(!body())),
        Fork::Parent(child) => {
            let status = waitpid(Pid::from_raw(child), None).unwrap();
            matches!(status, WaitStatus::Exited(_, 0))
        }
    }
}

#[test]
fn a_child_is_another_process() {
    let owner = Process::current();
    assert!(owner.is_current());
    assert!(in_child(|| !owner.is_current()), "the child took itself for the parent");
    assert!(owner.is_current(), "the parent changed");
}

#[test]
fn a_child_of_a_child_is_neither() {
    let owner = Process::current();
    assert!(in_child(|| {
        let child = Process::current();
        child.is_current() && child != owner && in_child(|| !owner.is_current() && !child.is_current())
    }));
}

#[test]
fn a_child_has_a_process_of_its_own() {
    assert!(in_child(|| Process::current().is_current()));
}

#[test]
fn the_check_can_fail() {
    assert!(!in_child(|| false), "a child's verdict is ignored");
}
