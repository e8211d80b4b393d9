use std::sync::Mutex;

use fz_commit::{Fault, Medium, Ticket};

/// Lines that are sent in batches: "written" into one vector, "durable" in another. A medium that is no file.
#[derive(Debug, Default)]
struct Lines {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    queue: Vec<String>,
    written: Vec<String>,
    durable: Vec<String>,
    is_idle: bool,
    is_closed: bool,
}

impl Lines {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl Medium for Lines {
    type Error = Fault;

    fn accepted(&self) -> u64 {
        self.state().accepted
    }

    fn write(&self, _through: u64) -> Result<u64, Fault> {
        let mut state = self.state();
        let queue = std::mem::take(&mut state.queue);
        state.written.extend(queue);
        Ok((state.durable.len() + state.written.len()) as u64)
    }

    fn sync(&self, _through: u64) -> Result<(), Fault> {
        // Stands for a medium that takes its time; the next batch forms meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(1));
        let mut state = self.state();
        let written = std::mem::take(&mut state.written);
        state.durable.extend(written);
        Ok(())
    }

    fn announce_idle(&self) -> bool {
        let mut state = self.state();
        state.is_idle = state.queue.is_empty();
        state.is_idle
    }

    fn refuse(&self) {
        self.state().is_closed = true;
    }

    fn discard(&self) {
        self.state().queue.clear();
    }

    fn fault(&self, fault: Fault) -> Fault {
        fault
    }
}

/// Accepts a line. Returns at once; the ticket tells when the line is durable.
fn append(committer: &fz_commit::Committer<Lines>, line: &str) -> Ticket<Fault> {
    let mut state = committer.medium().state();
    assert!(!state.is_closed, "the committer is closed");
    state.queue.push(line.to_owned());
    state.accepted += 1;
    let (position, was_idle) = (state.accepted, std::mem::take(&mut state.is_idle));
    drop(state);
    if was_idle {
        committer.work_arrived();
    }
    committer.ticket(position)
}
