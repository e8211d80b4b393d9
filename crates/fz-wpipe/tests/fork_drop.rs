//! A process that was copied by `fork` drops its copy of a pipe, with queued writes and tickets, without waiting: no
//! thread is in it that would do the work.
#![cfg(unix)]

mod disk;
mod rig;
mod watchdog;

use disk::Call;
use fork::Fork;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rig::Rig;
use watchdog::finishes;

/// The only test of this program: a copy of other tests' threads holds their locks for ever.
#[test]
fn d_e_a_forked_copy_drops_a_pipe_with_queued_writes_at_once() {
    finishes(|| {
        let rig = Rig::lazy();
        let ticket = rig.write(0, 1);
        let waiting = rig.pipe.sync();
        match fork::fork().expect("a process more") {
            Fork::Child => {
                // A copy that waits ends by a signal.
                nix::unistd::alarm::set(if cfg!(fz_mutants) { 4 } else { 30 });
                drop((ticket, waiting));
                let Rig { pipe, disk, .. } = rig;
                drop(pipe);
                std::process::exit(i32::from(disk.count(Call::Write) + disk.count(Call::Sync) > 0));
            }
            Fork::Parent(child) => {
                let ended = waitpid(Pid::from_raw(child), None).expect("it is a child");
                assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
                assert_eq!(waiting.wait().expect("the disk is sound"), 1, "the parent goes on");
                assert!(ticket.is_durable());
            }
        }
    });
}
