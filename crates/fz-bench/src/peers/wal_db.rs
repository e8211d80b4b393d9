//! `wal-db`: `append` reaches the page cache, `sync` the disk; concurrent syncs coalesce.

use wal_db::Wal;

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, Writer};

pub(crate) struct WalDb(Wal);

impl Peer for WalDb {
    const NAME: &'static str = "wal-db";
    type Writer<'a> = &'a Wal;

    fn open(setup: &Setup) -> Outcome<Self> {
        Ok(Self(Wal::open(setup.directory.join("log"))?))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(&self.0)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.0.sync()?)
    }
}

impl Writer for &Wal {
    fn submit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        let _lsn = self.append(bytes)?;
        Ok(())
    }

    fn commit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        let _lsn = self.append_and_sync(bytes)?;
        Ok(())
    }
}
