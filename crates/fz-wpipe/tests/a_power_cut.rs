//! Promise A at the instant that decides it: while the sync runs. A simulated disk holds the sync until the
//! test has looked, and loses its power then; so an acknowledgement that comes too early is seen every time, and
//! not when threads happen to meet.

mod watchdog;

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_sim::{Fault, FaultPlan, FaultRule, OpSet, PowerCut, SimDisk};
use fz_wpipe::{PipeError, SyncMode, WritePipe, WritePipeConfig, WriteRequest, WriteTicket};
use watchdog::{finishes, until};

const SLOT: usize = 64;
const SLOTS: u64 = 64;
const PATH: &str = "/slots";
/// Longer than any test: nothing becomes durable that nobody asks for.
const NEVER: Duration = Duration::from_secs(3600);

/// A pipe on a simulated disk.
struct Rig {
    disk: SimDisk,
    pool: BufPool,
    pipe: Arc<WritePipe>,
}

fn config() -> SlotFileConfig {
    SlotFileConfig::new(PATH, SLOT).initial_slots(SLOTS)
}

impl Rig {
    fn new(seed: u64, pipe: WritePipeConfig) -> Self {
        let disk = SimDisk::new(seed);
        let file = SlotFile::open_on(disk.volume(), config()).expect("the disk is sound");
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 256 * SLOT)).expect("there is memory");
        let pipe = Arc::new(WritePipe::new(pipe, Arc::new(file)).expect("the config is fine"));
        Self { disk, pool, pipe }
    }

    /// Writes `tag` to all bytes of `count` slots.
    fn write(&self, slot_index: u64, count: usize, tag: u8) -> WriteTicket {
        let mut allocation = self.pool.allocate(count).expect("count is fine");
        allocation.as_mut_slice().fill(tag);
        self.pipe.write(WriteRequest { allocation, slot_index }).expect("the pipe is sound")
    }

    /// Holds every sync from now on.
    fn hold_syncs(&self) {
        self.disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, Fault::Hang)));
    }
}

/// The bytes of `count` slots in the file.
fn bytes_of(slot: u64, count: usize) -> Range<usize> {
    let at = usize::try_from(slot).expect("the test's file is small") * SLOT;
    at..at + count * SLOT
}

/// Who asks that the writes become durable.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// A thread that blocks on a ticket, and leads the round itself.
    Thread,
    /// A task: the flusher leads.
    Task,
    /// Nobody: the flusher leads when the interval is over.
    Interval,
    /// A thread that closes the pipe.
    Close,
}

impl Asker {
    const ALL: [Self; 4] = [Self::Thread, Self::Task, Self::Interval, Self::Close];

    fn config(self) -> WritePipeConfig {
        let interval = if matches!(self, Self::Interval) { Duration::from_millis(1) } else { NEVER };
        WritePipeConfig::new().flush_interval(interval)
    }

    fn ask(self, pipe: Arc<WritePipe>, ticket: WriteTicket) -> thread::JoinHandle<Option<Outcome>> {
        thread::spawn(move || match self {
            Self::Thread => Some(ticket.wait()),
            Self::Task => Some(pollster::block_on(ticket)),
            Self::Interval => None,
            Self::Close => Some(pipe.close()),
        })
    }
}

type Outcome = Result<u64, PipeError>;

/// What a ticket says at this instant.
fn outcome(ticket: &WriteTicket) -> Option<Outcome> {
    let mut ticket = ticket.clone();
    match Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// One durable write, then three whose sync is held; the power goes while it is.
fn power_goes_while_the_sync_runs(seed: u64, asker: Asker, mode: SyncMode) {
    let rig = Rig::new(seed, asker.config().sync_mode(mode));
    assert_eq!(rig.write(0, 4, 1).wait().expect("the disk is sound"), 1);
    rig.hold_syncs();
    let writes = [(2, 1), (9, 3), (5, 1)];
    let tickets = writes.map(|(slot, count)| rig.write(slot, count, 2));
    let asking = asker.ask(Arc::clone(&rig.pipe), tickets[2].clone());
    rig.disk.wait_until_hung(1);

    // Looked at first, judged when nobody hangs any more.
    let said = tickets.each_ref().map(outcome);
    let resolved = tickets.each_ref().map(WriteTicket::is_durable);
    let epoch = rig.pipe.durable_epoch();
    let guaranteed = rig.disk.guaranteed(PATH).expect("the file was made durable");
    let restarted = rig.disk.power_cut(seed);
    let asked = asking.join().expect("it does not panic");

    assert!(said.iter().all(Option::is_none), "a ticket resolved while the sync ran: {said:?}");
    assert_eq!((resolved, epoch), ([false; 3], 1), "durable is what a sync that has returned covers");
    for (slot, count) in writes {
        let lost = guaranteed[bytes_of(slot, count)].iter().all(Option::is_none);
        assert!(lost, "this power cut endangers nothing: the test has lost its subject");
    }
    for failed in tickets.iter().map(WriteTicket::wait).chain(asked) {
        let error = failed.expect_err("the sync was never finished");
        assert!(PowerCut::caused(&error), "{error}");
    }
    assert_eq!(rig.pipe.durable_epoch(), 1, "the durable epoch never moves again");

    let file = SlotFile::open_on(restarted.volume(), config()).expect("it opens after a power cut");
    let mut back = [0; 4 * SLOT];
    file.read(0, &mut back).expect("the new disk is sound");
    assert_eq!(file.slots(), SLOTS);
    assert!([0, 1, 3].iter().all(|&slot| back[bytes_of(slot, 1)] == [1; SLOT]), "what was durable before stays");
}

#[test]
fn a_nothing_is_durable_while_its_sync_runs() {
    finishes(|| {
        for (seed, asker) in (1..).zip(Asker::ALL) {
            for mode in [SyncMode::Data, SyncMode::Full] {
                power_goes_while_the_sync_runs(seed, asker, mode);
            }
        }
    });
}

#[test]
fn a_what_was_declared_durable_is_the_same_after_every_power_cut() {
    finishes(|| {
        let rig = Rig::new(7, WritePipeConfig::new().flush_interval(NEVER));
        let mut model = vec![0; bytes_of(0, 64).end];
        for round in 0..40_u8 {
            // Backwards, overlapping, and of several slots: one batch of all.
            let last = (0..=round % 5).rev().map(|step| {
                let (slot, count, tag) = (u64::from(round + 3 * step), 1 + usize::from(step), 1 + round * 5 + step);
                model[bytes_of(slot, count)].fill(tag);
                rig.write(slot, count, tag)
            });
            let ticket = last.last().expect("each round writes");
            let durable = if round % 2 == 0 { ticket.wait() } else { pollster::block_on(ticket.clone()) };
            assert_eq!(durable.expect("the disk is sound"), ticket.epoch());
            let guaranteed = rig.disk.guaranteed(PATH).expect("the file was made durable");
            let differs = guaranteed.iter().zip(&model).position(|(byte, right)| *byte != Some(*right));
            assert_eq!(differs.map(|at| at / SLOT), None, "round {round}: a slot that some power cut changes");
        }
    });
}

/// Notes, at the instant at which it is woken, whether the bytes are safe.
struct Look {
    disk: SimDisk,
    range: Range<u64>,
    seen: Mutex<Vec<bool>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        self.seen.lock().unwrap().push(self.disk.is_durable(PATH, self.range.clone()));
    }
}

#[test]
fn a_who_is_woken_finds_the_bytes_durable() {
    finishes(|| {
        // Who lingers is also woken by itself.
        let rig = Rig::new(8, WritePipeConfig::new().flush_interval(NEVER).linger_max(Duration::ZERO));
        for slot in 0..SLOTS {
            let range = slot * SLOT as u64..(slot + 1) * SLOT as u64;
            let look = Arc::new(Look { disk: rig.disk.clone(), range, seen: Mutex::default() });
            rig.hold_syncs();
            let mut ticket = rig.write(slot, 1, 1);
            let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&look))));
            assert!(polled.is_pending(), "the sync is held");
            rig.disk.wait_until_hung(1);
            rig.disk.release_hung();
            ticket.wait().expect("the disk is sound");
            // A woken task may come after the thread that waits.
            until(|| !look.seen.lock().unwrap().is_empty());
            assert_eq!(*look.seen.lock().unwrap(), [true], "slot {slot}");
        }
    });
}
