//! `sled` 0.34: an insert, then `flush()`.
//!
//! Its flush ends in `sync_file_range(2)`, which gives no durability: the device's cache is not
//! flushed. So it takes part, but is never the best peer.

use sled::Db;

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, Writer};

pub(crate) struct Sled(Db);

impl Peer for Sled {
    const NAME: &'static str = "sled";
    const IS_DURABLE: bool = false;
    type Writer<'a> = &'a Db;

    fn open(setup: &Setup) -> Outcome<Self> {
        Ok(Self(sled::open(setup.directory.join("db"))?))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(&self.0)
    }

    fn sync(&self) -> Outcome<()> {
        self.0.flush()?;
        Ok(())
    }
}

impl Writer for &Db {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.insert(slot.to_be_bytes(), bytes)?;
        Ok(())
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.insert(slot.to_be_bytes(), bytes)?;
        self.flush()?;
        Ok(())
    }
}
