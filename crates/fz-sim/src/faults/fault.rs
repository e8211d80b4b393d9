//! The faults, one at a time.

use std::fmt;
use std::time::Duration;

use crate::{Errno, Op};

/// The fate of the pages that a failed sync was to write.
///
/// ```
/// use fz_sim::{Access, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate, SimDisk, Volume, WholeTransfers};
///
/// for (fate, is_durable) in [(PageFate::Dropped, false), (PageFate::Reverted, false), (PageFate::Kept, true)] {
///     let disk = SimDisk::new(1);
///     disk.put("/log", b"old")?;
///     let file = disk.open("/log".as_ref(), Access::ReadWrite)?;
///     let fails = FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, fate)).nth(1);
///     disk.set_faults(FaultPlan::new().with(fails));
///     file.write_all_at(b"new", 0)?;
///     assert!(file.sync_data().is_err());
///     file.sync_data()?; // says that all is well
///     let new = [b'n', b'e', b'w'].map(Some).to_vec();
///     assert_eq!(disk.guaranteed("/log") == Some(new), is_durable, "{fate:?}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageFate {
    /// They are marked clean with the new bytes in them: reads show the bytes, no later sync
    /// writes them. ext4 and XFS.
    Dropped,
    /// They are marked clean and show the bytes on the disk again. Btrfs.
    Reverted,
    /// They stay dirty, and the next sync tries again. FreeBSD.
    Kept,
}

/// One thing that goes wrong. [`FaultRule`](crate::FaultRule) says where and when.
///
/// A fault fires only on the operations named here; on other operations its rule is passed over.
///
/// ```
/// use fz_sim::{Errno, Fault, FaultKind, Op, PageFate};
///
/// let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
/// assert!(fault.applies_to(Op::SyncData) && !fault.applies_to(Op::Write));
/// assert_eq!(fault.kind(), FaultKind::SyncFailed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails and has done nothing. On a sync: it failed before it reached a page, so that
    /// the pages stay dirty. All operations.
    Error(Errno),
    /// The write fails, and some prefix of its bytes is in the file. [`Op::Write`].
    ErrorAfterPart(Errno),
    /// The write fails, and any subset of its sectors is in the file. [`Op::Write`].
    TornWrite(Errno),
    /// Fewer bytes are transferred than asked, at least one. [`Op::Read`], [`Op::Write`] of two
    /// bytes or more.
    Short,
    /// `Ok(0)`, nothing transferred. [`Op::Read`], [`Op::Write`].
    Zero,
    /// The sync fails after it has started. For a directory, [`PageFate::Kept`] keeps the changed
    /// entries for the next sync, the other fates give them up. [`Op::SyncData`], [`Op::SyncAll`],
    /// [`Op::WriteBack`], [`Op::SyncDirectory`].
    SyncFailed(Errno, PageFate),
    /// The call reports success and has done nothing: a device that ignores the flush command, a kernel that
    /// ignores the advice to drop pages. [`Op::SyncData`], [`Op::SyncAll`], [`Op::SyncDirectory`],
    /// [`Op::DropCleanPages`].
    SyncIgnored,
    /// The call succeeds, and the write-back of its pages fails later: the pages are marked clean, and
    /// the next sync of the file, and only that one, reports the error. [`Op::Write`], [`Op::WriteBack`].
    LostInBackground(Errno),
    /// The call takes this long. All operations.
    Delay(Duration),
    /// The call does not return until [`SimDisk::release_hung`](crate::SimDisk::release_hung). All
    /// operations.
    Hang,
    /// The call panics in the caller's thread, with nothing done and no lock of the disk held. All operations.
    Panic,
    /// The power goes during this call. All operations.
    PowerCut,
}

impl Fault {
    /// Whether it can happen to `op`.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, Op};
    /// assert!(Fault::Short.applies_to(Op::Write) && !Fault::Short.applies_to(Op::SyncData));
    /// ```
    #[must_use]
    pub const fn applies_to(&self, op: Op) -> bool {
        match self {
            Fault::Error(_) | Fault::Delay(_) | Fault::Hang | Fault::Panic | Fault::PowerCut => true,
            Fault::ErrorAfterPart(_) | Fault::TornWrite(_) => matches!(op, Op::Write),
            Fault::LostInBackground(_) => matches!(op, Op::Write | Op::WriteBack),
            Fault::Short | Fault::Zero => matches!(op, Op::Read | Op::Write),
            Fault::SyncFailed(..) => matches!(op, Op::SyncData | Op::SyncAll | Op::WriteBack | Op::SyncDirectory),
            Fault::SyncIgnored => {
                matches!(op, Op::SyncData | Op::SyncAll | Op::SyncDirectory | Op::DropCleanPages)
            }
        }
    }

    /// The fault without its values, as it is counted.
    ///
    /// ```
    /// # use fz_sim::{Errno, Fault, FaultKind};
    /// assert_eq!(Fault::Error(Errno::Eio).kind(), FaultKind::Error);
    /// ```
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Fault::Error(_) => FaultKind::Error,
            Fault::ErrorAfterPart(_) => FaultKind::ErrorAfterPart,
            Fault::TornWrite(_) => FaultKind::TornWrite,
            Fault::Short => FaultKind::Short,
            Fault::Zero => FaultKind::Zero,
            Fault::SyncFailed(..) => FaultKind::SyncFailed,
            Fault::SyncIgnored => FaultKind::SyncIgnored,
            Fault::LostInBackground(_) => FaultKind::LostInBackground,
            Fault::Delay(_) => FaultKind::Delay,
            Fault::Hang => FaultKind::Hang,
            Fault::Panic => FaultKind::Panic,
            Fault::PowerCut => FaultKind::PowerCut,
        }
    }

    pub(crate) const fn is_pause(&self) -> bool {
        matches!(self, Fault::Delay(_) | Fault::Hang)
    }
}

/// A [`Fault`] without its values.
///
/// ```
/// use fz_sim::FaultKind;
///
/// assert_eq!(FaultKind::SyncFailed.to_string(), "failed sync");
/// assert_eq!(FaultKind::ALL.len(), 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum FaultKind {
    /// [`Fault::Error`].
    Error,
    /// [`Fault::ErrorAfterPart`].
    ErrorAfterPart,
    /// [`Fault::TornWrite`].
    TornWrite,
    /// [`Fault::Short`].
    Short,
    /// [`Fault::Zero`].
    Zero,
    /// [`Fault::SyncFailed`].
    SyncFailed,
    /// [`Fault::SyncIgnored`].
    SyncIgnored,
    /// [`Fault::LostInBackground`].
    LostInBackground,
    /// [`Fault::Delay`].
    Delay,
    /// [`Fault::Hang`].
    Hang,
    /// [`Fault::Panic`].
    Panic,
    /// [`Fault::PowerCut`], and [`SimDisk::cut_power_at`](crate::SimDisk::cut_power_at).
    PowerCut,
}

impl FaultKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [FaultKind; 12] = [
        FaultKind::Error,
        FaultKind::ErrorAfterPart,
        FaultKind::TornWrite,
        FaultKind::Short,
        FaultKind::Zero,
        FaultKind::SyncFailed,
        FaultKind::SyncIgnored,
        FaultKind::LostInBackground,
        FaultKind::Delay,
        FaultKind::Hang,
        FaultKind::Panic,
        FaultKind::PowerCut,
    ];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FaultKind::Error => "error",
            FaultKind::ErrorAfterPart => "error after part",
            FaultKind::TornWrite => "torn write",
            FaultKind::Short => "short transfer",
            FaultKind::Zero => "zero transfer",
            FaultKind::SyncFailed => "failed sync",
            FaultKind::SyncIgnored => "ignored sync",
            FaultKind::LostInBackground => "lost write-back",
            FaultKind::Delay => "delay",
            FaultKind::Hang => "hang",
            FaultKind::Panic => "panic",
            FaultKind::PowerCut => "power cut",
        })
    }
}
