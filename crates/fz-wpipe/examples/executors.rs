//! The same task on tokio, on smol, and on a plain `block_on`; and on threads without any.
//!
//! ```sh
//! cargo run -p fz-wpipe --example executors
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

type Anything = Box<dyn Error + Send + Sync>;

const TASKS: u64 = 100;

/// One task: waits for a buffer, for room in the queue, and for durability, and blocks on nothing.
async fn commit(pool: BufPool, pipe: Arc<WritePipe>, task: u64) -> Result<u64, Anything> {
    let mut allocation = pool.allocate_async(1).await?;
    allocation.as_mut_slice().fill(task.to_le_bytes()[0]);
    let ticket = pipe.write_async(WriteRequest { allocation, slot_index: task }).await?;
    Ok(ticket.await?)
}

fn main() -> Result<(), Anything> {
    let directory = tempfile::tempdir()?;
    let config = SlotFileConfig::new(directory.path().join("slots"), 64).initial_slots(TASKS);
    let file = Arc::new(SlotFile::open(config)?);
    // Fewer buffers than tasks: some wait for their turn.
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 16 * 64))?;
    let pipe = Arc::new(WritePipe::new(WritePipeConfig::new(), file)?);
    let task = |number| commit(pool.clone(), Arc::clone(&pipe), number);
    let mut out = io::stdout();
    let mut report = |name: &str| {
        let stats = pipe.stats();
        writeln!(out, "{name:<10} durable epoch {:>4}, {:>3} syncs so far", stats.durable, stats.syncs)
    };

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(task(number))).collect();
        for task in tasks {
            task.await??;
        }
        Ok::<_, Anything>(())
    })?;
    report("tokio")?;

    smol::block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|number| smol::spawn(task(number))).collect();
        for task in tasks {
            task.await?;
        }
        Ok::<_, Anything>(())
    })?;
    report("smol")?;

    futures_executor::block_on(futures_util::future::try_join_all((0..TASKS).map(task)))?;
    report("block_on")?;

    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..TASKS)
            .map(|number| {
                let (pool, pipe) = (&pool, &pipe);
                scope.spawn(move || -> Result<u64, Anything> {
                    let allocation = pool.allocate(1)?;
                    Ok(pipe.write(WriteRequest { allocation, slot_index: number })?.wait()?)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?.map(drop))
    })?;
    report("threads")?;
    assert_eq!(pipe.close()?, 4 * TASKS);
    Ok(())
}
