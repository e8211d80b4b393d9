//! The contestants. Each other project is a module of its own behind a cargo feature.

#[cfg(feature = "fjall")]
pub(crate) mod fjall;
pub(crate) mod flusher;
#[cfg(feature = "frozen-core")]
pub(crate) mod frozen_core;
pub(crate) mod fz;
#[cfg(feature = "okaywal")]
pub(crate) mod okaywal;
#[cfg(feature = "open-wal")]
pub(crate) mod open_wal;
pub(crate) mod peer;
#[cfg(feature = "raft-engine")]
pub(crate) mod raft_engine;
pub(crate) mod raw;
#[cfg(feature = "redb")]
pub(crate) mod redb;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
#[cfg(feature = "sled")]
pub(crate) mod sled;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(feature = "wal-db")]
pub(crate) mod wal_db;
#[cfg(feature = "walrus")]
pub(crate) mod walrus;
