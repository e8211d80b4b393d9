#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod content;
mod crash_report;
mod crash_space;
mod crash_test;
mod directory;
pub mod disk;
mod enumeration;
mod errno;
mod fault;
mod file;
mod history;
mod inode;
mod instants;
mod op;
mod path;
mod plan;
mod power_cut;
mod random;
mod state;
mod stats;
mod touched;
mod tree;
mod volume;

pub use config::{DirectoryLoss, SimDiskConfig, Tear};
pub use content::SECTOR_BYTES;
pub use crash_report::{CrashFailure, CrashReport};
pub use crash_space::CrashSpace;
pub use crash_test::{Acknowledged, CrashTest};
#[doc(inline)]
pub use disk::SimDisk;
pub use errno::Errno;
pub use fault::{Fault, FaultKind, PageFate};
pub use fz_file::{Access, FileIdentity, Storage, Volume, WholeTransfers};
pub use history::{Operation, Outcome};
pub use op::{Op, OpSet};
pub use plan::{FaultPlan, FaultRule};
pub use power_cut::PowerCut;
pub use stats::SimStats;

const _: () = {
    const fn shared_between_threads<T: Send + Sync + Unpin>() {}
    shared_between_threads::<SimDisk>();
    shared_between_threads::<CrashSpace>();
    shared_between_threads::<FaultPlan>();
    shared_between_threads::<SimStats>();
    shared_between_threads::<Operation>();
    shared_between_threads::<CrashTest>();
    shared_between_threads::<Acknowledged<u64>>();
    shared_between_threads::<CrashReport>();
    shared_between_threads::<CrashFailure>();
};
