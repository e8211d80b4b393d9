//! `open-wal`: one writer by construction. Several threads share it under a mutex, and the thread
//! that commits makes durable whatever the other writers have appended.

use std::sync::{Mutex, MutexGuard, PoisonError};

use open_wal::{Wal, WalConfig};

use crate::Outcome;
use crate::peers::peer::{Peer, Setup, Writer};

/// What `append` may hold in memory before it is handed over, as `commit` alone writes.
const COMMIT_BYTES: usize = 8 << 20;

pub(crate) struct OpenWal(Mutex<Log>);

struct Log {
    wal: Wal,
    held: usize,
}

impl OpenWal {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer for OpenWal {
    const NAME: &'static str = "open-wal";
    type Writer<'a> = &'a OpenWal;

    fn open(setup: &Setup) -> Outcome<Self> {
        let directory = setup.directory.join("log");
        std::fs::create_dir_all(&directory)?;
        let (wal, _) = Wal::open(&directory, WalConfig::default())?;
        Ok(Self(Mutex::new(Log { wal, held: 0 })))
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(self)
    }

    fn sync(&self) -> Outcome<()> {
        self.lock().wal.commit()?;
        Ok(())
    }
}

impl Writer for &OpenWal {
    fn submit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        let mut log = self.lock();
        log.wal.append(bytes)?;
        log.held += bytes.len();
        if log.held >= COMMIT_BYTES {
            log.held = 0;
            log.wal.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self, _: u64, bytes: &[u8]) -> Outcome<()> {
        let lsn = self.lock().wal.append(bytes)?;
        let mut log = self.lock();
        if log.wal.durable_lsn() < lsn {
            log.held = 0;
            log.wal.commit()?;
        }
        Ok(())
    }
}
