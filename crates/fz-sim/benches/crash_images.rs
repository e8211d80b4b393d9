//! Crash images per second: a file with some unsynced sectors, an image of it, a look at the image.
//!
//! ```text
//! cargo bench -p fz-sim
//! ```
#![allow(missing_docs, reason = "a program")]
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::hint::black_box;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use fz_sim::{Access, SECTOR_BYTES, SimDisk, Volume};

const RUN: Duration = Duration::from_millis(500);

/// Calls of `work` per second.
fn rate(mut work: impl FnMut(u64)) -> f64 {
    let (start, mut calls) = (Instant::now(), 0u32);
    while start.elapsed() < RUN {
        for _ in 0..64 {
            work(u64::from(calls));
            calls += 1;
        }
    }
    f64::from(calls) / start.elapsed().as_secs_f64()
}

fn main() {
    println!("{:>10} {:>9} {:>14} {:>14} {:>14}", "file", "unsynced", "image/s", "+ read all/s", "new state/s");
    for (kib, unsynced) in [(4usize, 4usize), (16, 8), (16, 32), (128, 8), (128, 128), (4096, 8)] {
        let disk = SimDisk::new(1);
        disk.put("/file", &vec![1; kib * 1024]).expect("a new name");
        let file = disk.open("/file".as_ref(), Access::ReadWrite).expect("the file is there");
        let sectors = kib * 1024 / SECTOR_BYTES;
        let write = |sector: usize| {
            let bytes = [2; SECTOR_BYTES];
            let offset = (sector % sectors * SECTOR_BYTES) as u64;
            file.write_vectored_at(&[IoSlice::new(&bytes)], offset).expect("no fault is set");
        };
        (0..unsynced).for_each(|n| write(n * sectors / unsynced));
        let space = disk.crash_space();
        let images = rate(|seed| drop(black_box(space.image(seed))));
        let read = rate(|seed| drop(black_box(space.image(seed).contents("/file"))));
        drop(space);
        // As a test does that takes one image after each operation.
        let mut step = 0;
        let states = rate(|seed| {
            write(step);
            step += 1;
            if step % unsynced == 0 {
                file.sync_data().expect("no fault is set");
            }
            drop(black_box(disk.crash_image(seed)));
        });
        println!("{kib:>6} KiB {unsynced:>9} {images:>14.0} {read:>14.0} {states:>14.0}");
    }
}
