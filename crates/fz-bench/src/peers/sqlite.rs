//! SQLite: a write-ahead log with `synchronous=FULL`, one connection (it has one writer at a time anyway, and its busy
//! handler sleeps).
//!
//! It has no group commit of its own; a program with many writers gives it one, and so does this: records gather while
//! a transaction commits, and the next transaction, made by one of the waiting threads, takes all of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use crate::Outcome;
use crate::peers::peer::{BATCH_BYTES, Peer, Setup, Writer};

pub(crate) struct Sqlite {
    connection: Mutex<Connection>,
    group: Mutex<Group>,
    committed: Condvar,
    record_bytes: usize,
}

/// What the next transaction takes, and how far the last one came.
#[derive(Default)]
struct Group {
    slots: Vec<u64>,
    bytes: Vec<u8>,
    /// Records that came so far, and how many of them are durable.
    accepted: u64,
    durable: u64,
    /// One thread makes a transaction.
    is_led: bool,
    failure: Option<String>,
}

const INSERT: &str = "INSERT OR REPLACE INTO slots VALUES (?1, ?2)";

impl Sqlite {
    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, slot: u64, bytes: &[u8]) -> MutexGuard<'_, Group> {
        let mut group = self.lock();
        group.slots.push(slot);
        group.bytes.extend_from_slice(bytes);
        group.accepted += 1;
        group
    }

    /// Returns when all that was accepted before is durable.
    fn wait<'a>(&'a self, mut group: MutexGuard<'a, Group>) -> Outcome<()> {
        let accepted = group.accepted;
        while group.durable < accepted {
            if let Some(failure) = &group.failure {
                return Err(failure.clone().into());
            }
            if group.is_led {
                group = self.committed.wait(group).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            group.is_led = true;
            let (slots, bytes) = (std::mem::take(&mut group.slots), std::mem::take(&mut group.bytes));
            let taken = group.accepted;
            drop(group);
            let outcome = self.transaction(&slots, &bytes);
            group = self.lock();
            group.is_led = false;
            match outcome {
                Ok(()) => group.durable = taken,
                Err(error) => group.failure = Some(error.to_string()),
            }
            self.committed.notify_all();
        }
        Ok(())
    }

    fn transaction(&self, slots: &[u64], bytes: &[u8]) -> Outcome<()> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (&slot, record) in slots.iter().zip(bytes.chunks(self.record_bytes)) {
                insert.execute(params![i64::try_from(slot)?, record])?;
            }
        }
        Ok(transaction.commit()?)
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
        Ok(Self {
            connection: Mutex::new(connection),
            group: Mutex::default(),
            committed: Condvar::new(),
            record_bytes: setup.bytes,
        })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(self)
    }

    fn sync(&self) -> Outcome<()> {
        self.wait(self.lock())
    }
}

impl Writer for &Sqlite {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        let group = self.accept(slot, bytes);
        if group.bytes.len() >= BATCH_BYTES { self.wait(group) } else { Ok(()) }
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        let group = self.accept(slot, bytes);
        self.wait(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(directory: &tempfile::TempDir, bytes: usize) -> Sqlite {
        let sync_delay = crate::disk::Delay(std::time::Duration::ZERO);
        let directory = directory.path().to_owned();
        let setup = Setup { directory, bytes, slots: 4096, in_flight: 1, waiting_bytes_max: None, sync_delay };
        Sqlite::open(&setup).unwrap()
    }

    fn rows(peer: &Sqlite) -> i64 {
        peer.connection.lock().unwrap().query_row("SELECT COUNT(*) FROM slots", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_transaction_holds_as_many_bytes_whatever_the_record() {
        for bytes in [128, 4096, 64 << 10] {
            let directory = tempfile::tempdir().unwrap();
            let peer = sqlite(&directory, bytes);
            let record = vec![1; bytes];
            let submits = (0..).take_while(|&slot| {
                (&peer).submit(slot, &record).unwrap();
                rows(&peer) == 0
            });
            assert_eq!(submits.count() + 1, BATCH_BYTES / bytes, "{bytes} B");
        }
    }

    #[test]
    fn what_many_threads_commit_is_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let peer = sqlite(&directory, 128);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let mut writer = &peer;
                scope.spawn(move || (0..16).for_each(|slot| writer.commit(thread * 16 + slot, &[7; 128]).unwrap()));
            }
        });
        assert_eq!(rows(&peer), 8 * 16);
        assert_eq!(peer.lock().durable, 8 * 16);
    }
}
