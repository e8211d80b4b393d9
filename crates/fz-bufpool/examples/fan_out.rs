//! One thread reads its input into pooled buffers; several readers get each record as `bytes::Bytes`, without a copy.
//!
//! The pool is the backpressure here as well: its buffers come back when the slowest reader drops the last slice.
//!
//! ```sh
//! cargo run -p fz-bufpool --features bytes --example fan_out
//! ```

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};

const READERS: usize = 3;
const RECORD: BufferSize = BufferSize::S4096;
const RECORDS_UNDER_WAY_MAX: usize = 8;
const INPUT_BYTES: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = BufPool::new(BufPoolConfig::new(RECORD, RECORDS_UNDER_WAY_MAX * RECORD.bytes()))?;
    let (records, sums) = thread::scope(|scope| {
        let (senders, readers): (Vec<_>, Vec<_>) = (0..READERS)
            .map(|reader| {
                let (sender, receiver) = mpsc::channel();
                (sender, scope.spawn(move || sum(&receiver, reader)))
            })
            .unzip();
        let records = send(&pool, io::repeat(3).take(INPUT_BYTES), &senders)?;
        // The readers end when there is no sender left.
        drop(senders);
        let sums = readers.into_iter().map(|reader| reader.join().expect("no reader panics"));
        Ok::<(u64, Vec<u64>), Box<dyn std::error::Error>>((records, sums.collect()))
    })?;
    let stats = pool.stats();
    writeln!(
        io::stdout(),
        "{} records for {READERS} readers, which found {sums:?}; {} of {} buffers in use, {} requests waited",
        records,
        stats.in_use,
        stats.capacity,
        stats.waits
    )?;
    assert_eq!((sums, stats.in_use), (vec![3 * INPUT_BYTES; READERS], 0));
    Ok(())
}

fn send(
    pool: &BufPool,
    mut input: impl Read,
    senders: &[mpsc::Sender<Bytes>],
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut records = 0;
    loop {
        // Waits here while the slowest reader is behind.
        let mut allocation = pool.allocate(1)?;
        let length = input.read(allocation.as_mut_slice())?;
        if length == 0 {
            return Ok(records);
        }
        records += 1;
        let record = Bytes::from(allocation).slice(..length);
        for sender in senders {
            sender.send(record.clone())?;
        }
    }
}

/// A reader takes each record apart once more, as a parser would: halves of halves are still no copies.
fn sum(receiver: &mpsc::Receiver<Bytes>, reader: usize) -> u64 {
    let mut sum = 0;
    for mut record in receiver {
        let front = record.split_to(record.len() / (reader + 1));
        sum += front.iter().chain(&record).map(|byte| u64::from(*byte)).sum::<u64>();
    }
    sum
}
