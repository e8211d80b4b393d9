//! The whole pipe under random schedules: producers, waiters of all kinds, readers, a close or a
//! drop, and a disk that fails. A lost wake-up is a deadlock, which shuttle reports.
//!
//! `RUSTFLAGS="--cfg fz_shuttle" cargo test --release -p fz-wpipe --test shuttle`
#![cfg(fz_shuttle)]

use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Access, FileIdentity, SlotFile, SlotFileConfig, Storage, Volume};
use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest, WriteTicket};
use shuttle::{future, rand, rand::Rng, thread};

mod disk;
use disk::{Call, Disk, EIO, Fault};

const ITERATIONS: usize = 6000;
const SLOT: usize = 64;

/// The scripted disk, but any call may be preempted, before it and after.
#[derive(Debug)]
struct Preempted<T: ?Sized>(T);

fn preempted<R>(body: impl FnOnce() -> R) -> R {
    thread::yield_now();
    let result = body();
    thread::yield_now();
    result
}

impl Storage for Preempted<Box<dyn Storage>> {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        preempted(|| self.0.read_vectored_at(buffers, offset))
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        preempted(|| self.0.write_vectored_at(buffers, offset))
    }

    fn buffers_max(&self) -> usize {
        self.0.buffers_max()
    }

    fn sync_data(&self) -> io::Result<()> {
        preempted(|| self.0.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.write_back(offset, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_length(bytes)
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.allocate(offset, bytes)
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        self.0.try_lock(access)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.0.identity()
    }
}

impl Volume for Preempted<Disk> {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(Preempted(self.0.open(path, access)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(Preempted(self.0.create(path)?)))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Volume::identity(&self.0, path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.sync_directory(path)
    }
}

struct Rig {
    disk: Disk,
    pool: BufPool,
    pipe: WritePipe,
}

fn rig() -> Rig {
    let mut random = rand::thread_rng();
    let disk = Disk::default();
    let config = SlotFileConfig::new("/slots", SLOT).initial_slots(16);
    let file = SlotFile::open_on(Arc::new(Preempted(disk.clone())), config).expect("the disk is sound");
    disk.start();
    // Small, so that limits and a full queue are met.
    let config = WritePipeConfig::new()
        .flush_interval(Duration::from_secs(random.gen_range(0..2) * 3600))
        .queue_capacity(random.gen_range(1..6))
        .batch_writes_max(random.gen_range(1..5));
    // Often so small that writers wait for the memory of queued writes.
    let buffers = if random.gen_bool(0.5) { 64 } else { random.gen_range(2..5) };
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * SLOT)).expect("there is memory");
    let pipe = WritePipe::new(config, Arc::new(file)).expect("the config is fine");
    Rig { disk, pool, pipe }
}

/// One byte tells the write.
fn request(pool: &BufPool, slot_index: u64, tag: u8) -> WriteRequest {
    let mut allocation = pool.allocate(1).expect("there is enough");
    allocation.as_mut_slice().fill(tag);
    WriteRequest { allocation, slot_index }
}

fn settle(ticket: WriteTicket) -> fz_wpipe::Result<u64> {
    match rand::thread_rng().gen_range(0..4) {
        0 => ticket.wait(),
        1 => ticket.wait_timeout(Duration::MAX),
        2 => future::block_on(ticket),
        _ => {
            // Cancelled first, then waited for anew.
            let again = ticket.clone();
            let _ = ticket.wait_timeout(Duration::ZERO);
            again.wait()
        }
    }
}

/// Each thread writes its own slots, and finds on the stable part of the disk what was declared
/// durable. Ends at the first error, which it returns.
fn writer(rig: &Rig, thread: u64) -> Option<fz_wpipe::PipeError> {
    for tag in 1..=3_u8 {
        let slot = thread * 4 + u64::from(tag % 2);
        let request = request(&rig.pool, slot, tag);
        let outcome = match rand::thread_rng().gen_range(0..3) {
            0 => rig.pipe.write(request),
            1 => future::block_on(rig.pipe.write_async(request)),
            _ => match rig.pipe.try_write(request) {
                Err(rejected) if matches!(rejected.error.kind(), PipeErrorKind::QueueFull { .. }) => {
                    rig.pipe.write(rejected.request)
                }
                outcome => outcome,
            },
        };
        let ticket = match outcome {
            Ok(ticket) => ticket,
            Err(rejected) => {
                assert_eq!(rejected.request.allocation.as_slice(), [tag; SLOT]);
                return Some(rejected.error);
            }
        };
        let epoch = ticket.epoch();
        if rand::thread_rng().gen_bool(0.3) {
            let mut back = [0; SLOT];
            match rig.pipe.read(slot, &mut back) {
                Ok(()) => assert_eq!(back, [tag; SLOT], "a read misses an accepted write"),
                Err(error) => assert!(error.kind().is_poison(), "{error}"),
            }
        }
        if rand::thread_rng().gen_bool(0.7) {
            match settle(ticket) {
                Ok(durable) => {
                    assert!(durable >= epoch);
                    let at = usize::try_from(slot).unwrap() * SLOT;
                    assert_eq!(rig.disk.stable()[at], tag, "epoch {epoch} is lost, {durable} was declared");
                }
                Err(error) => {
                    let rejected = rig.pipe.write(self::request(&rig.pool, slot, 99));
                    assert_eq!(rejected.expect_err("it was told").error.id(), error.id());
                    return Some(error);
                }
            }
        }
    }
    None
}

/// Writers, then a close beside them or after them, or a drop.
fn scenario(fault: Option<Fault>) {
    let rig = Arc::new(rig());
    if let Some(fault) = fault {
        let call = if rand::thread_rng().gen_bool(0.5) { Call::Write } else { Call::Sync };
        rig.disk.fail(call, rand::thread_rng().gen_range(0..4), fault);
    }
    let writers: Vec<_> = (0..3)
        .map(|id| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || writer(&rig, id))
        })
        .collect();
    let end = rand::thread_rng().gen_range(0..3);
    if end == 0 {
        let _ = rig.pipe.close();
    }
    let errors: Vec<_> = writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
    if end == 1 {
        assert_eq!(rig.pipe.close().is_err(), rig.pipe.durable_epoch() < rig.pipe.stats().accepted);
    }
    for error in &errors {
        let is_expected = if error.kind().is_poison() { fault.is_some() } else { end == 0 };
        assert!(is_expected, "{error}");
    }
    if fault.is_none() {
        let Rig { disk, pipe, pool: _pool } = Arc::into_inner(rig).expect("the writers are gone");
        let ticket = pipe.sync();
        drop(pipe);
        assert!(ticket.is_durable(), "the drop left something");
        assert_eq!(disk.handles(), 0, "the file is still open");
    }
}

#[test]
fn whatever_the_schedule_everybody_comes_through() {
    shuttle::check_random(|| scenario(None), ITERATIONS);
}

#[test]
fn whatever_the_schedule_a_failure_loses_nothing_that_was_declared() {
    shuttle::check_random(|| scenario(Some(Fault::Errno(EIO))), ITERATIONS);
}

#[test]
fn whatever_the_schedule_a_panic_of_the_disk_loses_nothing_that_was_declared() {
    shuttle::check_random(|| scenario(Some(Fault::Panic)), ITERATIONS / 3);
}

/// Two writes of two slots each, of which the second gets through by half before it fails, and
/// readers beside them.
#[test]
fn whatever_the_schedule_a_read_shows_no_half_of_a_write_that_fails() {
    shuttle::check_random(
        || {
            let rig = Arc::new(rig());
            rig.disk.fail(Call::Write, 1, Fault::Short(SLOT));
            rig.disk.fail(Call::Write, 2, Fault::Errno(EIO));
            let writer = {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    for tag in 1..=2 {
                        let mut allocation = rig.pool.allocate(2).expect("there is enough");
                        allocation.as_mut_slice().fill(tag);
                        match rig.pipe.write(WriteRequest { allocation, slot_index: 0 }) {
                            Ok(ticket) => drop(settle(ticket)),
                            Err(rejected) => assert!(rejected.error.kind().is_poison()),
                        }
                    }
                })
            };
            // Several, so that one of them has just looked at the queue when the second write comes.
            let readers = (0..4).map(|_| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    for _ in 0..4 {
                        let mut back = [0; 2 * SLOT];
                        match rig.pipe.read(0, &mut back) {
                            Ok(()) => assert_eq!(back, [back[0]; 2 * SLOT], "half of a write"),
                            Err(error) => {
                                assert!(error.kind().is_poison(), "{error}");
                                let refused = rig.pipe.write(request(&rig.pool, 9, 9)).expect_err("it was told");
                                assert_eq!(refused.error.id(), error.id());
                                assert!(rig.pipe.is_closed() && rig.pipe.failure().is_some());
                            }
                        }
                    }
                })
            });
            let threads: Vec<_> = readers.chain([writer]).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        },
        ITERATIONS,
    );
}
