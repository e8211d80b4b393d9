//! `redb`: one transaction a commit with `Durability::Immediate`, its default.

use redb::{Database, Durability, TableDefinition};

use crate::Outcome;
use crate::peers::peer::{BATCH_BYTES, Peer, Setup, Writer};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("slots");

pub(crate) struct Redb(Database);

impl Redb {
    fn write<'a>(&self, records: impl Iterator<Item = (u64, &'a [u8])>, durability: Durability) -> Outcome<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (slot, bytes) in records {
                table.insert(slot, bytes)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Peer for Redb {
    const NAME: &'static str = "redb";
    type Writer<'a> = RedbWriter<'a>;

    fn open(setup: &Setup) -> Outcome<Self> {
        let redb = Self(Database::create(setup.directory.join("db"))?);
        redb.write(std::iter::empty(), Durability::Immediate)?;
        Ok(redb)
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(RedbWriter { redb: self, slots: Vec::new(), batch: Vec::new() })
    }

    fn sync(&self) -> Outcome<()> {
        self.write(std::iter::empty(), Durability::Immediate)
    }
}

pub(crate) struct RedbWriter<'a> {
    redb: &'a Redb,
    slots: Vec<u64>,
    batch: Vec<u8>,
}

impl RedbWriter<'_> {
    fn hold(&mut self, slot: u64, bytes: &[u8]) {
        self.slots.push(slot);
        self.batch.extend_from_slice(bytes);
    }

    fn write(&mut self, durability: Durability) -> Outcome<()> {
        if let Some(bytes) = self.batch.len().checked_div(self.slots.len()) {
            let records = self.slots.iter().copied().zip(self.batch.chunks(bytes));
            self.redb.write(records, durability)?;
            self.slots.clear();
            self.batch.clear();
        }
        Ok(())
    }
}

impl Writer for RedbWriter<'_> {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.hold(slot, bytes);
        if self.batch.len() >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Outcome<()> {
        self.write(Durability::None)
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        // With what `submit` holds back, as an awaited write of the other contestants covers all before it.
        self.hold(slot, bytes);
        self.write(Durability::Immediate)
    }
}
