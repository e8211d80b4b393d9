//! SQLite: a write-ahead log with `synchronous=FULL`, one connection under a mutex (it has one
//! writer at a time anyway, and its busy handler sleeps).

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use crate::Outcome;
use crate::peer::{BATCH_BYTES, Peer, Setup, Writer};

pub(crate) struct Sqlite(Mutex<State>);

struct State {
    connection: Connection,
    /// Bytes of records in the open transaction.
    gathered: usize,
}

const INSERT: &str = "INSERT OR REPLACE INTO slots VALUES (?1, ?2)";

impl Sqlite {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.connection.prepare_cached(INSERT)?.execute(params![i64::try_from(slot)?, bytes])?;
        Ok(())
    }

    fn finish(&mut self) -> Outcome<()> {
        if self.gathered > 0 {
            self.gathered = 0;
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

impl Peer for Sqlite {
    const NAME: &'static str = "sqlite";
    type Writer<'a> = &'a Sqlite;

    fn open(setup: &Setup) -> Outcome<Self> {
        let connection = Connection::open(setup.directory.join("db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("CREATE TABLE slots (slot INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")?;
        Ok(Self(Mutex::new(State { connection, gathered: 0 })))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(self)
    }

    fn sync(&self) -> Outcome<()> {
        // A commit was durable; what is gathered yet becomes so now.
        self.lock().finish()
    }
}

impl Writer for &Sqlite {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        let mut state = self.lock();
        if state.gathered == 0 {
            state.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        state.gathered += bytes.len();
        state.insert(slot, bytes)?;
        if state.gathered >= BATCH_BYTES { state.finish() } else { Ok(()) }
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        let mut state = self.lock();
        state.insert(slot, bytes)?;
        // Inside the gathered transaction, if there is one.
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many records of `bytes` bytes one transaction takes.
    fn records_of_a_transaction(bytes: usize) -> u64 {
        let directory = tempfile::tempdir().unwrap();
        let sync_delay = crate::disk::Delay(std::time::Duration::ZERO);
        let directory_path = directory.path().to_owned();
        let setup =
            Setup { directory: directory_path, bytes, slots: 4096, in_flight: 1, waiting_bytes_max: None, sync_delay };
        let peer = Sqlite::open(&setup).unwrap();
        let record = vec![1; bytes];
        let mut slot = 0;
        loop {
            (&peer).submit(slot, &record).unwrap();
            slot += 1;
            if peer.lock().connection.is_autocommit() {
                return slot;
            }
        }
    }

    #[test]
    fn a_transaction_holds_as_many_bytes_whatever_the_record() {
        for bytes in [128, 4096, 64 << 10] {
            assert_eq!(records_of_a_transaction(bytes), (BATCH_BYTES / bytes) as u64, "{bytes} B");
        }
    }
}
