#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allocate_future;
mod allocation;
mod arena;
mod bitmap;
mod buffer_size;
#[cfg(feature = "bytes")]
mod bytes;
mod config;
mod cost;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
mod cost_tests;
mod cursor;
mod error;
mod inner;
mod line;
mod pool;
mod run_tree;
mod stats;
mod sync;
mod wait_list;

pub use allocate_future::AllocateFuture;
pub use allocation::Allocation;
pub use buffer_size::BufferSize;
pub use config::BufPoolConfig;
pub use error::{BufPoolError, BufPoolErrorKind, Result};
pub use line::PoolLine;
pub use pool::BufPool;
pub use stats::BufPoolStats;

/// Any of these may be moved to, and shared with, any thread; none is tied to its place in memory.
const _: () = {
    const fn assert_thread_safe<T: Send + Sync + Unpin + 'static>() {}
    assert_thread_safe::<BufPool>();
    assert_thread_safe::<Allocation>();
    assert_thread_safe::<AllocateFuture>();
    assert_thread_safe::<PoolLine>();
    assert_thread_safe::<BufPoolConfig>();
    assert_thread_safe::<BufPoolStats>();
    assert_thread_safe::<BufferSize>();
    assert_thread_safe::<BufPoolError>();
};
