//! The workload of several threads: every fate that a ticket can have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fz_bufpool::{Allocation, BufPoolErrorKind};
use fz_wpipe::WriteTicket;

use crate::random::Dice;
use crate::workload::driver::{Hand, Submission};
use crate::workload::session::Stage;
use crate::workload::single::{may_grow, place};

/// How often whatever hangs in the disk is released.
const HANG: Duration = Duration::from_micros(700);

/// Runs `producers` threads of `steps` steps each, and one that waits for the tickets that they
/// send it; `closes`: one of them closes the pipe while the others write.
pub(crate) fn run<'s, 'a>(
    stage: &'s Stage<'a>,
    dice: &mut Dice,
    producers: usize,
    steps: u64,
    hangs: bool,
    closes: bool,
) -> Vec<(Hand<'s, 'a>, Result<(), String>)> {
    let running = AtomicUsize::new(producers + 1);
    let (send, receive) = mpsc::channel();
    let hot = dice.within(0, stage.file.slots() - 1);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for writer in 0..producers {
            let (mut dice, send) = (dice.fork(), send.clone());
            let closer = closes && writer == 0;
            let running = &running;
            threads.push(scope.spawn(move || {
                let _end = End(running);
                let mut hand = Hand::new(stage, writer);
                let outcome = produce(&mut hand, &mut dice, &send, hot, steps, closer);
                (hand, outcome)
            }));
        }
        drop(send);
        let running = &running;
        threads.push(scope.spawn(move || {
            let _end = End(running);
            let mut hand = Hand::new(stage, producers);
            let outcome = receive.iter().try_for_each(|ticket: WriteTicket| hand.wait("sent and waited for", &ticket));
            (hand, outcome)
        }));
        while hangs && running.load(Ordering::SeqCst) > 0 {
            thread::park_timeout(HANG);
            stage.watch.disk().release_hung();
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
    hand: &mut Hand<'_, '_>,
    dice: &mut Dice,
    others: &mpsc::Sender<WriteTicket>,
    hot: u64,
    steps: u64,
    closer: bool,
) -> Result<(), String> {
    for step in 0..steps {
        if closer && step == steps / 2 {
            hand.stage.watch.closing();
            // Its result is asked for again at the end.
            let _ = hand.stage.pipe.close();
        }
        match dice.within(0, 99) {
            0..=79 => write(hand, dice, others, hot)?,
            80..=85 => {
                let ticket = hand.stage.pipe.sync();
                hand.wait("sync awaited", &ticket)?;
            }
            86..=93 => {
                let (slot, count) = place(hand, dice, hot);
                hand.read(slot, count)?;
            }
            94..=95 => {
                let by = dice.within(1, 5);
                // Three threads may pass this together, each with a quarter of the room at most.
                if may_grow(hand, by * 4) {
                    hand.grow(by)?;
                }
            }
            96..=97 => hand.submit_nonsense(dice.within(0, 3))?,
            _ => thread::yield_now(),
        }
    }
    Ok(())
}

fn allocate(hand: &Hand<'_, '_>, dice: &mut Dice, count: usize) -> Result<Option<Allocation>, String> {
    let pool = &hand.stage.pool;
    let failed = |error| format!("F: the pool refuses for no reason: {error:?}");
    match dice.index(4) {
        0 => hand.try_allocate(count),
        1 => pollster::block_on(pool.allocate_async(count)).map(Some).map_err(failed),
        2 => match pool.allocate_timeout(count, Duration::from_micros(dice.within(0, 200))) {
            Ok(allocation) => Ok(Some(allocation)),
            Err(error) if matches!(error.kind(), BufPoolErrorKind::TimedOut { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        },
        _ => pool.allocate(count).map(Some).map_err(failed),
    }
}

fn write(hand: &mut Hand<'_, '_>, dice: &mut Dice, others: &mpsc::Sender<WriteTicket>, hot: u64) -> Result<(), String> {
    let (slot, count) = place(hand, dice, hot);
    let Some(allocation) = allocate(hand, dice, count)? else { return Ok(()) };
    let how = dice.pick(&[
        Submission::Blocking,
        Submission::Blocking,
        Submission::Trying,
        Submission::Async,
        Submission::Cancelled,
    ]);
    let Some(mut ticket) = hand.submit(allocation, slot, how)? else { return Ok(()) };
    match dice.index(10) {
        0 => hand.wait("waited for", &ticket)?,
        1 => hand.wait_timeout(&ticket, Duration::from_micros(dice.within(0, 400)))?,
        2 => {
            hand.poll_once(&mut ticket)?;
            hand.drop_ticket(ticket);
            return Ok(());
        }
        3 => hand.poll_once(&mut ticket)?,
        4 => {
            let outcome = pollster::block_on(&mut ticket);
            hand.settled("awaited", ticket.epoch(), &outcome)?;
        }
        5 => {
            let again = ticket.clone();
            hand.wait("clone waited for", &again)?;
        }
        6 => {
            // The receiver stops only at a failure, which the run reports.
            let _ = others.send(ticket);
            return Ok(());
        }
        7 | 8 => {
            hand.drop_ticket(ticket);
            return Ok(());
        }
        _ => {}
    }
    hand.kept.push(ticket);
    Ok(())
}
