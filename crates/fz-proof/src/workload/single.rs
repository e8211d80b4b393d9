//! The workload of one thread, in which the seed decides every call to the disk.

use crate::campaign::scenario::Drive;
use crate::random::Random;
use crate::workload::driver::{Driver, Submission};

/// Runs `steps` steps. When the pipe stops it goes on: then each write must be refused.
pub(crate) fn run(driver: &mut Driver<'_, '_>, random: &mut Random, steps: u64) -> Result<(), String> {
    let may_wait = driver.session.scenario.drive == Drive::Single;
    // The slots that most writes go to, so that they overlap.
    let hot = random.within(0, driver.session.file.slots() - 1);
    for _ in 0..steps {
        step(driver, random, hot, may_wait)?;
    }
    Ok(())
}

/// A range of slots in the file: often at the hot place.
pub(crate) fn place(driver: &Driver<'_, '_>, random: &mut Random, hot: u64) -> (u64, usize) {
    let slots = driver.session.file.slots();
    let longest = slots.min(driver.session.scenario.pool_buffers as u64).min(if random.chance(0.2) { 12 } else { 4 });
    let count = random.within(1, longest);
    let last = slots - count;
    let near = random.chance(0.6);
    let slot = if near { (hot + random.within(0, 4)).saturating_sub(2).min(last) } else { random.within(0, last) };
    (slot, usize::try_from(count).expect("at most a dozen"))
}

/// On a disk that damages sectors in mid-write, a growth that failed leaves anything behind the
/// last durable slot, and nothing can be said of it.
pub(crate) fn may_grow(driver: &Driver<'_, '_>, by: u64) -> bool {
    let session = driver.session;
    session.scenario.tear != fz_sim::Tear::Damage && session.file.slots() + by <= session.slots_max
}

fn step(driver: &mut Driver<'_, '_>, random: &mut Random, hot: u64, may_wait: bool) -> Result<(), String> {
    match random.within(0, 99) {
        0..=61 => write(driver, random, hot, may_wait),
        62..=75 if may_wait => wait(driver, random),
        76..=80 if may_wait => {
            let ticket = driver.session.pipe.sync();
            driver.wait("sync awaited", &ticket)
        }
        62..=84 => {
            let (slot, count) = place(driver, random, hot);
            driver.read(slot, count)
        }
        85..=89 => {
            let by = random.within(1, 9);
            if may_grow(driver, by) { driver.grow(by) } else { Ok(()) }
        }
        90..=92 => driver.submit_nonsense(random.within(0, 3)),
        93..=96 => {
            if let Some(ticket) = take(driver, random) {
                driver.drop_ticket(ticket);
            }
            Ok(())
        }
        _ => {
            if let Some(ticket) = take(driver, random) {
                let again = ticket.clone();
                driver.kept.extend([ticket, again]);
            }
            Ok(())
        }
    }
}

fn write(driver: &mut Driver<'_, '_>, random: &mut Random, hot: u64, may_wait: bool) -> Result<(), String> {
    let (slot, count) = place(driver, random, hot);
    let allocation = match driver.try_allocate(count)? {
        Some(allocation) => allocation,
        None => {
            // The queued writes hold the memory. Alone, it is this thread that has to write them.
            if may_wait {
                let ticket = driver.session.pipe.sync();
                driver.wait("sync awaited", &ticket)?;
            } else {
                driver.read(slot, 1)?;
            }
            let Some(allocation) = driver.try_allocate(count)? else {
                return Err(format!("F: everything is written, and the pool has no {count} buffers"));
            };
            allocation
        }
    };
    let how = random.pick(&[Submission::Blocking, Submission::Blocking, Submission::Trying, Submission::Async]);
    if let Some(ticket) = driver.submit(allocation, slot, how)? {
        if random.chance(0.25) {
            driver.drop_ticket(ticket);
        } else {
            driver.kept.push(ticket);
        }
    }
    Ok(())
}

/// Any of the tickets that were kept.
fn take(driver: &mut Driver<'_, '_>, random: &mut Random) -> Option<fz_wpipe::WriteTicket> {
    if driver.kept.is_empty() {
        return None;
    }
    let place = random.index(driver.kept.len());
    Some(driver.kept.swap_remove(place))
}

fn wait(driver: &mut Driver<'_, '_>, random: &mut Random) -> Result<(), String> {
    let Some(ticket) = take(driver, random) else { return Ok(()) };
    driver.wait("waited for", &ticket)?;
    driver.kept.push(ticket);
    Ok(())
}
