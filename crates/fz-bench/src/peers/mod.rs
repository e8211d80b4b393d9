//! The contestants. Each other project is a module of its own behind a cargo feature.

#[cfg(feature = "fjall")]
mod fjall;
pub(crate) mod flusher;
#[cfg(feature = "frozen-core")]
mod frozen_core;
mod fz;
#[cfg(feature = "okaywal")]
mod okaywal;
#[cfg(feature = "open-wal")]
mod open_wal;
#[cfg(feature = "raft-engine")]
mod raft_engine;
mod raw;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sled")]
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "wal-db")]
mod wal_db;
#[cfg(feature = "walrus")]
mod walrus;

use crate::contestant::{Contestant, Role};

pub(crate) fn raw() -> Contestant {
    Contestant::special("raw", Role::Ceiling, raw::measure)
}

/// The ceiling's bandwidth with the device told to begin with each 2 MiB, as the pipe tells it: the other base of
/// the ratios there.
pub(crate) fn raw_write_back() -> Contestant {
    Contestant::special("raw-write-back", Role::WriteBack, raw::measure_write_back)
}

/// The ceiling's bandwidth with a sync each 16 MiB: the simplest program that knows what is durable while it runs.
pub(crate) fn raw_steady() -> Contestant {
    Contestant::special("raw-16MiB", Role::Ceiling, raw::measure_steady)
}

pub(crate) fn flusher() -> Contestant {
    Contestant::of::<flusher::Flusher>(Role::Flusher).with_tasks::<flusher::Flusher>().with_reads()
}

pub(crate) fn fz() -> Contestant {
    type Fz = fz::Fz<fz::Ample>;
    Contestant::of::<Fz>(Role::Subject).with_tasks::<Fz>().with_reads()
}

/// Allocations made and filled before the clock starts: `write()` alone.
pub(crate) fn fz_write_only() -> Contestant {
    Contestant::of::<fz::Fz<fz::WriteOnly>>(Role::Subject)
}

/// The default queue and a pool of 4 MiB: producers may have to wait.
pub(crate) fn fz_default() -> Contestant {
    Contestant::of::<fz::Fz<fz::Default>>(Role::Subject)
}

/// The default queue and memory for every record: what a short pool is compared with.
pub(crate) fn fz_pool_for_all() -> Contestant {
    Contestant::of::<fz::Fz<fz::PoolForAll>>(Role::PoolForAll)
}

/// The default queue and as little memory as the work allows.
pub(crate) fn fz_short_pool() -> Contestant {
    Contestant::of::<fz::Fz<fz::ShortPool>>(Role::Subject)
}

/// A pwrite and a sync for each record.
pub(crate) fn raw_calls() -> Contestant {
    Contestant::of::<raw::RawCalls>(Role::Ceiling)
}

/// Reads the file beside the pipe instead of through it.
pub(crate) fn fz_file_read() -> Contestant {
    Contestant::of::<fz::Fz<fz::FileRead>>(Role::Subject).with_reads()
}

/// The other projects that were compiled in.
pub(crate) fn others() -> Vec<Contestant> {
    vec![
        #[cfg(feature = "frozen-core")]
        Contestant::of::<frozen_core::FrozenCore<1000>>(Role::Peer).with_tasks::<frozen_core::FrozenCore<1000>>(),
        #[cfg(feature = "frozen-core")]
        Contestant::of::<frozen_core::FrozenCore<50>>(Role::Peer).with_tasks::<frozen_core::FrozenCore<50>>(),
        #[cfg(feature = "okaywal")]
        Contestant::of::<okaywal::OkayWal>(Role::Peer),
        #[cfg(feature = "raft-engine")]
        Contestant::of::<raft_engine::RaftEngine>(Role::Peer),
        #[cfg(feature = "wal-db")]
        Contestant::of::<wal_db::WalDb>(Role::Peer),
        #[cfg(feature = "open-wal")]
        Contestant::of::<open_wal::OpenWal>(Role::Peer),
        #[cfg(feature = "walrus")]
        Contestant::of::<walrus::WalrusRust>(Role::Peer),
        #[cfg(feature = "sqlite")]
        Contestant::of::<sqlite::Sqlite>(Role::Peer),
        #[cfg(feature = "redb")]
        Contestant::of::<redb::Redb>(Role::Peer),
        #[cfg(feature = "fjall")]
        Contestant::of::<fjall::Fjall>(Role::Peer),
        #[cfg(feature = "sled")]
        Contestant::of::<sled::Sled>(Role::Peer),
        #[cfg(feature = "rocksdb")]
        Contestant::of::<rocksdb::RocksDb>(Role::Peer),
    ]
}
