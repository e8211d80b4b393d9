//! A process that was copied by `fork` beside an open pipe writes nothing, waits for nothing and ends.
//!
//! Found by a program that detached after it had opened its store: the child dropped its copy of the pipe, which wrote
//! the copied queue once more, over newer and durable bytes; its awaits hung, its close panicked.
#![cfg(unix)]

mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use fork::Fork;
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use watchdog::finishes;

/// A child that waits for ever ends by a signal: no thread of the watchdog's is in it.
fn end_if_stuck() {
    nix::unistd::alarm::set(if cfg!(fz_mutants) { 4 } else { 30 });
}

/// What `body` returns in a child process, as its exit status. The child ends without running anything else.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    match fork::fork().expect("a process more") {
        Fork::Child => {
            end_if_stuck();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            std::process::exit(i32::from(!matches!(outcome, Ok(true))));
        }
        Fork::Parent(child) => {
            matches!(waitpid(Pid::from_raw(child), None).unwrap(), WaitStatus::Exited(_, 0))
        }
    }
}

struct Rig {
    _directory: tempfile::TempDir,
    file: Arc<SlotFile>,
    pool: BufPool,
    pipe: WritePipe,
}

fn rig() -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let file = SlotFileConfig::new(directory.path().join("x"), 64).initial_slots(8);
    let file = Arc::new(SlotFile::open(file).unwrap());
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64 * 64)).unwrap();
    let config = WritePipeConfig::new().flush_interval(Duration::from_secs(3600));
    let pipe = WritePipe::new(config, Arc::clone(&file)).unwrap();
    Rig { _directory: directory, file, pool, pipe }
}

impl Rig {
    fn request(&self, byte: u8) -> WriteRequest {
        WriteRequest { allocation: self.pool.allocate_copy(&[byte; 64]).unwrap(), slot_index: 0 }
    }

    fn slot(&self) -> u8 {
        let mut slot = [0; 64];
        self.file.read(0, &mut slot).unwrap();
        slot[0]
    }
}

/// One test: a child of a process whose tests run beside each other would copy their locks too.
#[test]
fn a_b_c_d_e_a_forked_copy_writes_nothing_and_ends() {
    finishes(|| {
        // The copied queue holds an older write than the parent makes durable.
        let rig = rig();
        drop(rig.pipe.write(rig.request(1)).unwrap());
        let Rig { pipe, .. } = &rig;
        let (stop, go) = std::os::unix::net::UnixStream::pair().unwrap();
        match fork::fork().unwrap() {
            Fork::Child => {
                end_if_stuck();
                // Only when the parent's newer write is durable.
                std::io::Read::read_exact(&mut &go, &mut [0]).unwrap();
                let Rig { pipe, .. } = rig;
                drop(pipe);
                std::process::exit(0);
            }
            Fork::Parent(child) => {
                pipe.write(rig.request(2)).unwrap().wait().unwrap();
                std::io::Write::write_all(&mut &stop, &[0]).unwrap();
                let ended = waitpid(Pid::from_raw(child), None).unwrap();
                assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
            }
        }
        assert_eq!(rig.slot(), 2, "the child wrote its copy of the queue");

        let ticket = rig.pipe.write(rig.request(3)).unwrap();
        assert!(in_child(|| {
            let other = |error: &fz_wpipe::PipeError| *error.kind() == PipeErrorKind::OtherProcess;
            let request = rig.request(9);
            let rejected = rig.pipe.write(request).unwrap_err();
            assert!(other(&rejected.error), "{:?}", rejected.error);
            assert!(other(&rig.pipe.try_write(rejected.request).unwrap_err().error));
            assert!(other(&ticket.wait().unwrap_err()));
            assert!(other(&ticket.wait_timeout(Duration::from_secs(3600)).unwrap_err()));
            assert!(other(&pollster::block_on(ticket.clone()).unwrap_err()));
            assert!(other(&ticket.status().unwrap().unwrap_err()));
            assert!(other(&rig.pipe.sync().wait().unwrap_err()));
            assert!(other(&rig.pipe.read(0, &mut [0; 64]).unwrap_err()));
            assert!(other(&rig.pipe.close().unwrap_err()));
            assert!(other(&rig.pipe.close_timeout(Duration::from_secs(3600)).unwrap_err()));
            assert_eq!(rig.pipe.abandon(), 2, "it has nothing to give up");
            rig.pipe.flush();
            assert!(rig.pipe.ticket(2).unwrap().wait().is_ok(), "what was durable before the fork is");
            drop(ticket.clone());
            drop(rig.pipe.watch());
            true
        }));
        // A child's child, as a program makes that detaches.
        assert!(in_child(|| in_child(|| rig.pipe.close().is_err())));
        assert_eq!(rig.slot(), 2, "a child wrote");
        assert!(ticket.wait().is_ok(), "the parent goes on");
        assert_eq!(rig.slot(), 3);
        rig.pipe.close().unwrap();
    });
}
