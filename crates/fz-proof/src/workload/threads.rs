//! The workload of several threads: every fate that a ticket can have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fz_bufpool::{Allocation, BufPoolErrorKind};
use fz_wpipe::WriteTicket;

use crate::random::Random;
use crate::workload::driver::{Driver, Submission};
use crate::workload::session::Session;
use crate::workload::single::{may_grow, place};

/// How often hanging calls are released.
const HANG: Duration = Duration::from_micros(700);

/// Runs `producers` threads of `steps` steps each, and one that waits for the tickets that they
/// send it; `closes`: one of them closes the pipe while the other producers write.
pub(crate) fn run<'s, 'a>(
    session: &'s Session<'a>,
    random: &mut Random,
    producers: usize,
    steps: u64,
    hangs: bool,
    closes: bool,
) -> Vec<(Driver<'s, 'a>, Result<(), String>)> {
    let running = AtomicUsize::new(producers + 1);
    let (send, receive) = mpsc::channel();
    let hot = random.within(0, session.file.slots() - 1);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for writer in 0..producers {
            let (mut random, send) = (random.fork(), send.clone());
            let closer = closes && writer == 0;
            let running = &running;
            threads.push(scope.spawn(move || {
                let _end = End(running);
                let mut driver = Driver::new(session, writer);
                let outcome = produce(&mut driver, &mut random, &send, hot, steps, closer);
                (driver, outcome)
            }));
        }
        drop(send);
        let running = &running;
        threads.push(scope.spawn(move || {
            let _end = End(running);
            let mut driver = Driver::new(session, producers);
            let outcome =
                receive.iter().try_for_each(|ticket: WriteTicket| driver.wait("sent and waited for", &ticket));
            (driver, outcome)
        }));
        while hangs && running.load(Ordering::SeqCst) > 0 {
            thread::park_timeout(HANG);
            session.watch.disk().release_hung();
        }
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

struct End<'a>(&'a AtomicUsize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn produce(
    driver: &mut Driver<'_, '_>,
    random: &mut Random,
    others: &mpsc::Sender<WriteTicket>,
    hot: u64,
    steps: u64,
    closer: bool,
) -> Result<(), String> {
    for step in 0..steps {
        if closer && step == steps / 2 {
            driver.session.watch.closing();
            // Its result is asked for again at the end.
            let _ = driver.session.pipe.close();
        }
        match random.within(0, 99) {
            0..=79 => write(driver, random, others, hot)?,
            80..=85 => {
                let ticket = driver.session.pipe.sync();
                driver.wait("sync awaited", &ticket)?;
            }
            86..=93 => {
                let (slot, count) = place(driver, random, hot);
                driver.read(slot, count)?;
            }
            94..=95 => {
                let by = random.within(1, 5);
                // Three threads may pass this together, each with a quarter of the room at most.
                if may_grow(driver, by * 4) {
                    driver.grow(by)?;
                }
            }
            96..=97 => driver.submit_nonsense(random.within(0, 3))?,
            _ => thread::yield_now(),
        }
    }
    Ok(())
}

fn allocate(driver: &Driver<'_, '_>, random: &mut Random, count: usize) -> Result<Option<Allocation>, String> {
    let pool = &driver.session.pool;
    let failed = |error| format!("F: the pool refuses for no reason: {error:?}");
    match random.index(4) {
        0 => driver.try_allocate(count),
        1 => pollster::block_on(pool.allocate_async(count)).map(Some).map_err(failed),
        2 => match pool.allocate_timeout(count, Duration::from_micros(random.within(0, 200))) {
            Ok(allocation) => Ok(Some(allocation)),
            Err(error) if matches!(error.kind(), BufPoolErrorKind::TimedOut { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        },
        _ => pool.allocate(count).map(Some).map_err(failed),
    }
}

fn write(
    driver: &mut Driver<'_, '_>,
    random: &mut Random,
    others: &mpsc::Sender<WriteTicket>,
    hot: u64,
) -> Result<(), String> {
    let (slot, count) = place(driver, random, hot);
    let Some(allocation) = allocate(driver, random, count)? else { return Ok(()) };
    let how = random.pick(&[
        Submission::Blocking,
        Submission::Blocking,
        Submission::Trying,
        Submission::Async,
        Submission::Cancelled,
    ]);
    let Some(mut ticket) = driver.submit(allocation, slot, how)? else { return Ok(()) };
    match random.index(10) {
        0 => driver.wait("waited for", &ticket)?,
        1 => driver.wait_timeout(&ticket, Duration::from_micros(random.within(0, 400)))?,
        2 => {
            driver.poll_once(&mut ticket)?;
            driver.drop_ticket(ticket);
            return Ok(());
        }
        3 => driver.poll_once(&mut ticket)?,
        4 => {
            let outcome = pollster::block_on(&mut ticket);
            driver.settled("awaited", ticket.epoch(), &outcome)?;
        }
        5 => {
            let again = ticket.clone();
            driver.wait("clone waited for", &again)?;
        }
        6 => {
            // The receiver stops only at a failure, which the run reports.
            let _ = others.send(ticket);
            return Ok(());
        }
        7 | 8 => {
            driver.drop_ticket(ticket);
            return Ok(());
        }
        _ => {}
    }
    driver.kept.push(ticket);
    Ok(())
}
