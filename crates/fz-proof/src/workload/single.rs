//! The workload of one thread, in which the seed decides every call to the disk.

use crate::campaign::scenario::Drive;
use crate::random::Dice;
use crate::workload::driver::{Hand, Submission};

/// Runs `steps` steps. When the pipe stops it goes on: then each write must be refused.
pub(crate) fn run(hand: &mut Hand<'_, '_>, dice: &mut Dice, steps: u64) -> Result<(), String> {
    let may_wait = hand.stage.scenario.drive == Drive::Alone;
    // The slots that most writes go to, so that they overlap.
    let hot = dice.within(0, hand.stage.file.slots() - 1);
    for _ in 0..steps {
        step(hand, dice, hot, may_wait)?;
    }
    Ok(())
}

/// A range of slots in the file: often at the hot place.
pub(crate) fn place(hand: &Hand<'_, '_>, dice: &mut Dice, hot: u64) -> (u64, usize) {
    let slots = hand.stage.file.slots();
    let longest = slots.min(hand.stage.scenario.pool_buffers as u64).min(if dice.chance(0.2) { 12 } else { 4 });
    let count = dice.within(1, longest);
    let last = slots - count;
    let near = dice.chance(0.6);
    let slot = if near { (hot + dice.within(0, 4)).saturating_sub(2).min(last) } else { dice.within(0, last) };
    (slot, usize::try_from(count).expect("at most a dozen"))
}

/// On a disk that damages what is being written, a growth that failed leaves anything behind the
/// last durable slot, and nothing can be said of it.
pub(crate) fn may_grow(hand: &Hand<'_, '_>, by: u64) -> bool {
    let stage = hand.stage;
    stage.scenario.tear != fz_sim::Tear::Damage && stage.file.slots() + by <= stage.slots_max
}

fn step(hand: &mut Hand<'_, '_>, dice: &mut Dice, hot: u64, may_wait: bool) -> Result<(), String> {
    match dice.within(0, 99) {
        0..=61 => write(hand, dice, hot, may_wait),
        62..=75 if may_wait => wait(hand, dice),
        76..=80 if may_wait => {
            let ticket = hand.stage.pipe.sync();
            hand.wait("sync awaited", &ticket)
        }
        62..=84 => {
            let (slot, count) = place(hand, dice, hot);
            hand.read(slot, count)
        }
        85..=89 => {
            let by = dice.within(1, 9);
            if may_grow(hand, by) { hand.grow(by) } else { Ok(()) }
        }
        90..=92 => hand.submit_nonsense(dice.within(0, 3)),
        93..=96 => {
            if let Some(ticket) = take(hand, dice) {
                hand.drop_ticket(ticket);
            }
            Ok(())
        }
        _ => {
            if let Some(ticket) = take(hand, dice) {
                let again = ticket.clone();
                hand.kept.extend([ticket, again]);
            }
            Ok(())
        }
    }
}

fn write(hand: &mut Hand<'_, '_>, dice: &mut Dice, hot: u64, may_wait: bool) -> Result<(), String> {
    let (slot, count) = place(hand, dice, hot);
    let allocation = match hand.try_allocate(count)? {
        Some(allocation) => allocation,
        None => {
            // The queued writes hold the memory. Alone, it is this thread that has to write them.
            if may_wait {
                let ticket = hand.stage.pipe.sync();
                hand.wait("sync awaited", &ticket)?;
            } else {
                hand.read(slot, 1)?;
            }
            let Some(allocation) = hand.try_allocate(count)? else {
                return Err(format!("F: everything is written, and the pool has no {count} buffers"));
            };
            allocation
        }
    };
    let how = dice.pick(&[Submission::Blocking, Submission::Blocking, Submission::Trying, Submission::Async]);
    if let Some(ticket) = hand.submit(allocation, slot, how)? {
        if dice.chance(0.25) {
            hand.drop_ticket(ticket);
        } else {
            hand.kept.push(ticket);
        }
    }
    Ok(())
}

/// Any of the tickets that were kept.
fn take(hand: &mut Hand<'_, '_>, dice: &mut Dice) -> Option<fz_wpipe::WriteTicket> {
    if hand.kept.is_empty() {
        return None;
    }
    let place = dice.index(hand.kept.len());
    Some(hand.kept.swap_remove(place))
}

fn wait(hand: &mut Hand<'_, '_>, dice: &mut Dice) -> Result<(), String> {
    let Some(ticket) = take(hand, dice) else { return Ok(()) };
    hand.wait("waited for", &ticket)?;
    hand.kept.push(ticket);
    Ok(())
}
