//! Group commit of lines, by threads, a task and a callback, and how few syncs that takes.
//!
//! `cargo run -p fz-commit --example lines`
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::thread;

use futures_executor::block_on;
use fz_commit::{CommitConfig, Committer};

include!("medium.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let committer = Committer::new(Lines::default(), CommitConfig::new())?;

    // A thread that waits for each line commits alone: a write and a sync for each.
    for line in ["one", "two", "three"] {
        append(&committer, line).wait()?;
    }
    println!("1 thread:  {:4} lines durable after {:3} syncs", committer.durable(), committer.stats().syncs);

    // Threads that wait at the same time share syncs.
    let syncs_before = committer.stats().syncs;
    thread::scope(|scope| {
        for writer in 0..8 {
            let committer = &committer;
            scope.spawn(move || {
                for line in 0..100 {
                    append(committer, &format!("line {line} of writer {writer}")).wait().expect("memory does not fail");
                }
            });
        }
    });
    let syncs = committer.stats().syncs - syncs_before;
    println!("8 threads:  800 lines more after {syncs:3} syncs");

    // A task awaits its ticket; a callback needs neither a task nor a thread.
    let of_task = append(&committer, "awaited");
    append(&committer, "with a callback").on_durable(|settled| println!("callback:  told of {settled:?}"));
    println!("task:      told of {:?}", block_on(of_task));

    // Work that no caller waits for becomes durable within the flush interval; a watch sees it and asks for nothing.
    let mut watch = committer.watch();
    let position = append(&committer, "unawaited").position();
    while watch.seen() < position {
        watch.wait().expect("the committer is open")?;
    }
    println!("watch:     saw position {} become durable", watch.seen());

    let last = committer.close()?;
    println!("close:     {last} lines, the last one is {:?}", committer.medium().state().durable.last());
    Ok(())
}
