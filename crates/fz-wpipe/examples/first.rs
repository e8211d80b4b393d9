//! The first program: one write, durable, read back.
//!
//! ```sh
//! cargo run -p fz-wpipe --example first
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?; // your own directory, in a real program
    let path = directory.path().join("first.slots");
    let file = Arc::new(SlotFile::open(SlotFileConfig::new(path, 128).initial_slots(1024))?);
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 1024 * 128))?;
    let pipe = WritePipe::new(WritePipeConfig::new(), Arc::clone(&file))?;

    let mut allocation = pool.allocate(2)?; // two consecutive slots; waits while the pool is exhausted
    allocation.as_mut_slice().fill(0xAA); // &mut [u8], 256 bytes
    let ticket = pipe.write(WriteRequest { allocation, slot_index: 0 })?; // waits only if the queue is full
    let epoch = ticket.epoch(); // dense: 1, 2, 3, …
    let durable = ticket.wait()?; // in async code: ticket.await?
    assert!(durable >= epoch);

    let mut back = vec![0; 256];
    file.read(0, &mut back)?; // slots 0 and 1
    assert_eq!(back, [0xAA; 256]);
    pipe.close()?; // everything accepted is durable, or the error says why not
    println!("epoch {epoch} is durable, and read back");
    Ok(())
}
