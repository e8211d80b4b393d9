//! RocksDB: `put` with `sync`; threads that write at once share one log write and one sync.

use rocksdb::{DB, Options, WriteOptions};

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, Writer};

pub(crate) struct RocksDb(DB);

impl Peer for RocksDb {
    const NAME: &'static str = "rocksdb";
    type Writer<'a> = RocksWriter<'a>;

    fn open(setup: &Setup) -> Outcome<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        Ok(Self(DB::open(&options, setup.directory.join("db"))?))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(RocksWriter { database: &self.0, synced })
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.0.flush_wal(true)?)
    }
}

pub(crate) struct RocksWriter<'a> {
    database: &'a DB,
    synced: WriteOptions,
}

impl Writer for RocksWriter<'_> {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        Ok(self.database.put(slot.to_be_bytes(), bytes)?)
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        Ok(self.database.put_opt(slot.to_be_bytes(), bytes, &self.synced)?)
    }
}
