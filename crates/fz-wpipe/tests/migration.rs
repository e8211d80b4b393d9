//! What `docs/MIGRATION.md` says about coming from `frozen-core` 0.0.22 is true of this side.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

/// The example of `frozen_core::wpipe`, line by line: `docs/MIGRATION.md` has it verbatim.
fn write_three_records(path: &Path) -> Result<u64, Box<dyn Error>> {
    const MODULE_ID: u8 = 0x00;
    const BUFFER_SIZE: BufferSize = BufferSize::S128;

    let file_config = SlotFileConfig::new(path, BUFFER_SIZE.bytes()).initial_slots(0x400).module_id(MODULE_ID);
    let file = Arc::new(SlotFile::open(file_config)?);

    let pool_config = BufPoolConfig::new(BUFFER_SIZE, 0x400 * BUFFER_SIZE.bytes());
    let pool = BufPool::new(pool_config)?;

    let pipe_config = WritePipeConfig::new().module_id(MODULE_ID).flush_interval(Duration::from_millis(1));
    let pipe = WritePipe::new(pipe_config, file)?;

    let payload = [0xAAu8; BUFFER_SIZE.bytes()];

    let mut latest_ticket = None;
    for slot_index in 0..3 {
        let mut allocation = pool.allocate(1)?;
        allocation.copy_from_slice(&payload)?;

        let ticket = pipe.write(WriteRequest { allocation, slot_index })?;

        latest_ticket = Some(ticket);
    }

    let ticket = latest_ticket.ok_or("no ticket")?;
    let durable_epoch = futures_executor::block_on(ticket)?;
    Ok(durable_epoch)
}

#[test]
fn the_originals_example_runs_with_the_names_of_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wpipe_example");
    assert!(write_three_records(&path).unwrap() >= 3);
    // Slot i at offset i * size, and nothing else.
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), 0x400 * 128);
    assert!(bytes[..3 * 128].iter().all(|&byte| byte == 0xAA) && bytes[3 * 128..].iter().all(|&byte| byte == 0));
}

fn pipe_and_pool(directory: &tempfile::TempDir) -> (WritePipe, BufPool) {
    let file = SlotFile::open(SlotFileConfig::new(directory.path().join("slots"), 128).initial_slots(8)).unwrap();
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128)).unwrap();
    (WritePipe::new(WritePipeConfig::new(), Arc::new(file)).unwrap(), pool)
}

#[test]
fn a_ticket_resolves_to_the_durable_epoch_and_not_to_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (pipe, pool) = pipe_and_pool(&directory);
    let [first, _, last] = [0, 1, 2]
        .map(|slot_index| pipe.write(WriteRequest { allocation: pool.allocate(1).unwrap(), slot_index }).unwrap());
    assert_eq!((first.epoch(), last.epoch()), (1, 3));
    last.wait().unwrap();
    assert_eq!(pollster::block_on(first).unwrap(), 3, "its own epoch is 1");
}

#[test]
fn a_smaller_file_is_grown_and_a_larger_one_keeps_its_length() {
    let directory = tempfile::tempdir().unwrap();
    let open = |slots| {
        SlotFile::open(SlotFileConfig::new(directory.path().join("slots"), 128).initial_slots(slots)).unwrap().slots()
    };
    assert_eq!([4, 8, 2].map(open), [4, 8, 8]);
}

#[test]
fn a_pools_bytes_are_a_multiple_and_one_buffer_will_do() {
    let new = |bytes| BufPool::new(BufPoolConfig::new(BufferSize::S128, bytes));
    assert!(matches!(new(1000).unwrap_err().kind(), BufPoolErrorKind::BytesNotMultiple { .. }));
    assert_eq!(new(128).unwrap().capacity(), 1);
}

#[test]
fn buffers_of_one_allocation_are_neighbours() {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 4 * 128)).unwrap();
    let mut held: Vec<_> = (0..4).map(|_| pool.allocate(1).unwrap()).collect();
    held.sort_by_key(|allocation| allocation.as_slice().as_ptr().addr());
    // The first and the third in memory are free: two buffers, but no two neighbours.
    drop((held.remove(2), held.remove(0)));
    assert!(matches!(pool.try_allocate(2).unwrap_err().kind(), BufPoolErrorKind::Exhausted { .. }));
    assert!(pool.try_allocate(1).is_ok());
}

#[test]
fn a_pool_may_go_before_its_allocations_and_move_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let (pipe, pool) = pipe_and_pool(&directory);
    let mut allocation = pool.allocate(1).unwrap();
    let moved = Box::new(pool);
    // Returns at once, although an allocation lives.
    drop(moved);
    allocation.copy_from_slice(&[7; 128]).unwrap();
    pipe.write(WriteRequest { allocation, slot_index: 3 }).unwrap().wait().unwrap();
    let mut record = [0; 128];
    pipe.read(3, &mut record).unwrap();
    assert_eq!(record, [7; 128]);
}

#[test]
fn ids_are_packed_as_there_and_carry_each_objects_own_module() {
    let directory = tempfile::tempdir().unwrap();
    let id = |module| {
        let config = SlotFileConfig::new(directory.path().join("slots"), 0).module_id(module);
        SlotFile::open(config).unwrap_err().id().to_bits()
    };
    assert_eq!([id(1), id(2)], [0x0101_0001, 0x0201_0001], "module, domain, reason");
}
