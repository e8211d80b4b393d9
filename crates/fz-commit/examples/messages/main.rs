//! Group commit over a network: producers send messages through one TCP connection, and each batch is acknowledged
//! once. A medium that is no file: `write` sends, `sync` waits for the acknowledgement.
//!
//! `cargo run -p fz-commit --example messages`
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use fz_commit::{CommitConfig, Committer, Fault, Medium, Ticket};

const PRODUCERS: usize = 8;
const MESSAGES: usize = 200;

/// The sender's side of the connection, with the messages that wait for the next batch.
struct Connection {
    queue: Mutex<Queue>,
    stream: TcpStream,
}

#[derive(Default)]
struct Queue {
    accepted: u64,
    sent: u64,
    messages: Vec<u8>,
    is_idle: bool,
    is_closed: bool,
}

/// Why the connection failed. An `io::Error` is not `Clone`, and every ticket gets one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SendError {
    Io(io::ErrorKind),
    Fault(Fault),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl Connection {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics under this lock")
    }
}

impl Medium for Connection {
    type Error = SendError;

    fn accepted(&self) -> u64 {
        self.queue().accepted
    }

    /// Sends all messages that wait. The lock is free meanwhile: the next batch forms.
    fn write(&self, _through: u64) -> Result<u64, SendError> {
        let (messages, position) = {
            let mut queue = self.queue();
            queue.sent = queue.accepted;
            (std::mem::take(&mut queue.messages), queue.sent)
        };
        (&self.stream).write_all(&messages)?;
        Ok(position)
    }

    /// Asks for an acknowledgement of all that was sent, and waits for it: one round trip for a whole batch.
    fn sync(&self, _through: u64) -> Result<(), SendError> {
        (&self.stream).write_all(b"ack?\n")?;
        let mut acknowledged = [0; 1];
        (&self.stream).read_exact(&mut acknowledged)?;
        Ok(())
    }

    fn announce_idle(&self) -> bool {
        let mut queue = self.queue();
        queue.is_idle = queue.messages.is_empty();
        queue.is_idle
    }

    fn refuse(&self) {
        self.queue().is_closed = true;
    }

    fn discard(&self) {
        self.queue().messages.clear();
    }

    fn fault(&self, fault: Fault) -> SendError {
        SendError::Fault(fault)
    }
}

/// Accepts a message, or returns `None` after a close or a failure.
fn send(committer: &Committer<Connection>, message: &str) -> Option<Ticket<SendError>> {
    let mut queue = committer.medium().queue();
    if queue.is_closed {
        return None;
    }
    queue.messages.extend_from_slice(message.as_bytes());
    queue.messages.push(b'\n');
    queue.accepted += 1;
    let (position, was_idle) = (queue.accepted, std::mem::take(&mut queue.is_idle));
    drop(queue);
    if was_idle {
        committer.work_arrived();
    }
    Some(committer.ticket(position))
}

/// Reads messages and acknowledges each batch. Returns how many messages came in each.
fn receive(stream: &TcpStream) -> io::Result<Vec<usize>> {
    let mut batches = Vec::new();
    let mut messages = 0;
    for line in BufReader::new(stream).lines() {
        if line? == "ack?" {
            // Here a server would sync its own log.
            (&*stream).write_all(b"!")?;
            batches.push(std::mem::take(&mut messages));
        } else {
            messages += 1;
        }
    }
    Ok(batches)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nodelay(true)?;
    let (accepted, _) = listener.accept()?;
    accepted.set_nodelay(true)?;
    let receiver = thread::spawn(move || receive(&accepted));

    let committer = Committer::new(Connection { queue: Mutex::default(), stream }, CommitConfig::new())?;
    let outcomes: Vec<Result<(), SendError>> = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let committer = &committer;
                scope.spawn(move || {
                    for message in 0..MESSAGES {
                        let Some(ticket) = send(committer, &format!("message {message} of {producer}")) else { break };
                        ticket.wait()?; // acknowledged
                    }
                    Ok(())
                })
            })
            .collect();
        producers.into_iter().map(|producer| producer.join().expect("it does not panic")).collect()
    });
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let acknowledged = committer.close()?;
    drop(committer); // and with it the connection
    let batches = receiver.join().expect("it does not panic")?;

    println!("{acknowledged} messages of {PRODUCERS} producers, each acknowledged before its producer sent the next");
    let mean = acknowledged as f64 / batches.len() as f64;
    println!("{} round trips in place of {acknowledged}: {mean:.1} messages in a batch", batches.len());
    for size in 1..=PRODUCERS {
        let count = batches.iter().filter(|&&batch| batch == size).count();
        println!("{size:3} messages: {count:5} batches {}", "#".repeat(count * 60 / batches.len().max(1)));
    }
    Ok(())
}
