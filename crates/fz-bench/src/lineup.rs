//! Every contestant: which peer, in which role, measured how.

use crate::contestant::{Contestant, Role};
use crate::peers::flusher::Flusher;
use crate::peers::fz::{self, Fz};
use crate::peers::peer::{Peer, TaskPeer};
use crate::peers::raw;
use crate::suites::{self, Contestants, Suite};
use crate::workload::Work;

/// The contestants of `work` in `suite`, without other projects.
pub(crate) fn of_suite(suite: &Suite, work: &Work) -> Vec<Contestant> {
    match (suite.contestants)(work) {
        Contestants::Named(names) => names.iter().map(|name| named(name)).collect(),
        Contestants::Own(contestants) => contestants,
    }
}

/// The ceiling of most suites.
pub(crate) fn raw() -> Contestant {
    named("raw")
}

fn named(name: &str) -> Contestant {
    let mut all = ours().into_iter();
    all.find(|contestant| contestant.name == name).expect("suites name contestants of the list")
}

/// All that suites call by their names.
fn ours() -> [Contestant; 11] {
    [
        Contestant::special("raw", Role::Ceiling, raw::measure),
        // The device told to begin with each 2 MiB, as the pipe tells it: the other base of the ratios.
        Contestant::special("raw-write-back", Role::WriteBack, raw::measure_write_back),
        // A sync each 16 MiB: the simplest program that knows what is durable while it runs.
        Contestant::special("raw-16MiB", Role::Ceiling, raw::measure_steady),
        of::<raw::RawCalls>(Role::Ceiling),
        with_tasks::<Flusher>(Role::Flusher).with_reads(),
        with_tasks::<Fz<fz::Ample>>(Role::Subject).with_reads(),
        of::<Fz<fz::WriteOnly>>(Role::Subject),
        of::<Fz<fz::Default>>(Role::Subject),
        of::<Fz<fz::ShortPool>>(Role::Subject),
        of::<Fz<fz::PoolForAll>>(Role::PoolForAll),
        of::<Fz<fz::FileRead>>(Role::Subject).with_reads(),
    ]
}

fn of<P: Peer>(role: Role) -> Contestant {
    Contestant::of::<P>(role, suites::measure::<P>)
}

fn with_tasks<P: TaskPeer + 'static>(role: Role) -> Contestant {
    of::<P>(role).with_tasks(suites::measure_tasks::<P>)
}

/// The peers that were compiled in.
pub(crate) fn peers() -> Vec<Contestant> {
    vec![
        #[cfg(feature = "frozen-core")]
        with_tasks::<crate::peers::frozen_core::FrozenCore<1000>>(Role::Peer),
        #[cfg(feature = "frozen-core")]
        with_tasks::<crate::peers::frozen_core::FrozenCore<50>>(Role::Peer),
        #[cfg(feature = "okaywal")]
        of::<crate::peers::okaywal::OkayWal>(Role::Peer),
        #[cfg(feature = "raft-engine")]
        of::<crate::peers::raft_engine::RaftEngine>(Role::Peer),
        #[cfg(feature = "wal-db")]
        of::<crate::peers::wal_db::WalDb>(Role::Peer),
        #[cfg(feature = "open-wal")]
        of::<crate::peers::open_wal::OpenWal>(Role::Peer),
        #[cfg(feature = "walrus")]
        of::<crate::peers::walrus::WalrusRust>(Role::Peer),
        #[cfg(feature = "sqlite")]
        of::<crate::peers::sqlite::Sqlite>(Role::Peer),
        #[cfg(feature = "redb")]
        of::<crate::peers::redb::Redb>(Role::Peer),
        #[cfg(feature = "fjall")]
        of::<crate::peers::fjall::Fjall>(Role::Peer),
        #[cfg(feature = "sled")]
        of::<crate::peers::sled::Sled>(Role::Peer),
        #[cfg(feature = "rocksdb")]
        of::<crate::peers::rocksdb::RocksDb>(Role::Peer),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_finds_its_contestants() {
        for suite in suites::ALL {
            for work in (suite.works)(true) {
                let contestants = of_suite(&suite, &work);
                assert!(!contestants.is_empty(), "{}", work.name());
                assert!(contestants.iter().all(|contestant| contestant.measure(&work).is_some()), "{}", work.name());
            }
        }
    }
}
