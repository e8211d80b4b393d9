//! Promise G: a pipe that cannot get its thread is an error, and leaves nothing behind. It needs no descriptor.
//!
//! Limits bind the whole process, so this is the only test of its binary.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;

use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Runs `body` while the soft limit of `resource` is `limit`.
fn limited<T>(resource: Resource, limit: u64, body: impl FnOnce() -> T) -> T {
    let (soft, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, limit, hard).unwrap();
    let outcome = body();
    setrlimit(resource, soft, hard).unwrap();
    outcome
}

/// The number that the next descriptor gets.
fn next_descriptor() -> u64 {
    use std::os::fd::AsRawFd;
    fs::File::open("/dev/null").unwrap().as_raw_fd().try_into().unwrap()
}

fn address_space() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    // Pages are at least as large as this.
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn g_without_a_thread_there_is_an_error_and_the_file_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = Arc::new(SlotFile::open(SlotFileConfig::new(&path, 64).initial_slots(4)).unwrap());
    let config = WritePipeConfig::new().module_id(9).queue_capacity(8);
    let refused = |errno: Errno, outcome: fz_wpipe::Result<WritePipe>| {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.module_id()), (&PipeErrorKind::Thread, 9));
        assert_eq!(error.raw_os_error(), Some(errno as i32), "{error:?}");
        assert_eq!(Arc::strong_count(&file), 1, "something keeps the file");
    };
    let open = || WritePipe::new(config.clone(), Arc::clone(&file));
    let free = next_descriptor();
    // Less than the stack of a thread.
    refused(Errno::EAGAIN, limited(Resource::RLIMIT_AS, address_space() + (1 << 20), open));
    assert_eq!(next_descriptor(), free, "a descriptor is left open");
    // Last, because the memory of a thread that ended may serve the next one.
    limited(Resource::RLIMIT_NOFILE, free, open).unwrap().close().unwrap();
}
