//! `fjall`: an insert, then `persist(SyncData)`, which makes durable whatever was inserted before.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, Writer};

pub(crate) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Peer for Fjall {
    const NAME: &'static str = "fjall";
    type Writer<'a> = &'a Fjall;

    fn open(setup: &Setup) -> Outcome<Self> {
        let database = Database::builder(setup.directory.join("db")).open()?;
        let keyspace = database.keyspace("slots", KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(self)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}

impl Writer for &Fjall {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        Ok(self.keyspace.insert(slot.to_be_bytes(), bytes)?)
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.keyspace.insert(slot.to_be_bytes(), bytes)?;
        self.sync()
    }
}
