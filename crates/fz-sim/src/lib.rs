#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod crash;
pub mod disk;
mod faults;
mod file;
mod path;
mod random;
mod tree;
mod volume;

pub use config::{DirectoryLoss, SimDiskConfig, Tear};
pub use crash::power_cut::PowerCut;
pub use crash::report::{CrashFailure, CrashReport};
pub use crash::space::CrashSpace;
pub use crash::test::{Acknowledged, CrashTest};
#[doc(inline)]
pub use disk::SimDisk;
pub use disk::history::{Operation, Outcome};
pub use disk::stats::SimStats;
pub use faults::errno::Errno;
pub use faults::fault::{Fault, FaultKind, PageFate};
pub use faults::op::{Op, OpSet};
pub use faults::plan::{FaultPlan, FaultRule};
pub use fz_file::{Access, FileIdentity, Storage, Volume, WholeTransfers};
pub use tree::content::SECTOR_BYTES;

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
