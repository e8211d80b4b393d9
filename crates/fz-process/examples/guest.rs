//! A counter that refuses to count in a forked copy, and a callback of the program's that panics.
//!
//! `cargo run -p fz-process --example guest`

use std::io::{self, Write};

use fz_process::{Process, foreign};

struct Counter {
    owner: Process,
    count: u64,
}

impl Counter {
    fn add(&mut self) -> Result<u64, &'static str> {
        if !self.owner.is_current() {
            return Err("this counter belongs to the parent process");
        }
        self.count += 1;
        Ok(self.count)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let mut counter = Counter { owner: Process::current(), count: 0 };
    writeln!(out, "in the parent: {:?}", counter.add())?;
    let reported = foreign::call(|| -> u8 { panic!("a callback of the program") });
    writeln!(out, "the callback panicked ({reported:?}), and this thread goes on")?;
    #[cfg(unix)]
    if let Ok(fork::Fork::Child) = fork::fork() {
        writeln!(out, "in the child: {:?}", counter.add())?;
        return Ok(());
    }
    let thread = fz_process::thread::spawn("guest", || "a thread without signals")?;
    writeln!(out, "{}", thread.join().map_err(|_| "it panicked")?)?;
    Ok(())
}
