//! The operations that a disk knows, and sets of them.

use std::fmt;
use std::ops::BitOr;

/// The calls that an engine can make: one per method of [`Storage`](fz_file::Storage) and
/// [`Volume`](fz_file::Volume).
///
/// ```
/// use fz_sim::Op;
///
/// assert_eq!(Op::SyncData.to_string(), "sync_data");
/// assert_eq!(Op::ALL.len(), 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Op {
    /// [`Storage::read_vectored_at`](fz_file::Storage::read_vectored_at).
    Read,
    /// [`Storage::write_vectored_at`](fz_file::Storage::write_vectored_at).
    Write,
    /// [`Storage::sync_data`](fz_file::Storage::sync_data).
    SyncData,
    /// [`Storage::sync_all`](fz_file::Storage::sync_all).
    SyncAll,
    /// [`Storage::write_back`](fz_file::Storage::write_back).
    WriteBack,
    /// [`Storage::drop_clean_pages`](fz_file::Storage::drop_clean_pages).
    DropCleanPages,
    /// [`Storage::length`](fz_file::Storage::length).
    Length,
    /// [`Storage::set_length`](fz_file::Storage::set_length).
    SetLength,
    /// [`Storage::allocate`](fz_file::Storage::allocate).
    Allocate,
    /// [`Storage::try_lock`](fz_file::Storage::try_lock).
    Lock,
    /// [`Storage::identity`](fz_file::Storage::identity).
    FileIdentity,
    /// [`Volume::open`](fz_file::Volume::open).
    Open,
    /// [`Volume::create`](fz_file::Volume::create).
    Create,
    /// [`Volume::rename_new`](fz_file::Volume::rename_new).
    RenameNew,
    /// [`Volume::rename`](fz_file::Volume::rename), which replaces a file.
    Rename,
    /// [`Volume::list`](fz_file::Volume::list).
    List,
    /// [`Volume::create_directory`](fz_file::Volume::create_directory).
    CreateDirectory,
    /// [`Volume::remove`](fz_file::Volume::remove).
    Remove,
    /// [`Volume::identity`](fz_file::Volume::identity).
    PathIdentity,
    /// [`Volume::sync_directory`](fz_file::Volume::sync_directory).
    SyncDirectory,
}

impl Op {
    /// Every operation, in the order of declaration.
    pub const ALL: [Op; 20] = [
        Op::Read,
        Op::Write,
        Op::SyncData,
        Op::SyncAll,
        Op::WriteBack,
        Op::DropCleanPages,
        Op::Length,
        Op::SetLength,
        Op::Allocate,
        Op::Lock,
        Op::FileIdentity,
        Op::Open,
        Op::Create,
        Op::RenameNew,
        Op::Rename,
        Op::List,
        Op::CreateDirectory,
        Op::Remove,
        Op::PathIdentity,
        Op::SyncDirectory,
    ];

    /// The method's name. Of the vectored transfers it is only `read` and `write`, and of the two
    /// methods called `identity` it is `file_identity` and `path_identity`.
    ///
    /// ```
    /// # use fz_sim::Op;
    /// assert_eq!(Op::RenameNew.name(), "rename_new");
    /// assert_eq!(Op::Write.name(), "write"); // write_vectored_at
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Op::Read => "read",
            Op::Write => "write",
            Op::SyncData => "sync_data",
            Op::SyncAll => "sync_all",
            Op::WriteBack => "write_back",
            Op::DropCleanPages => "drop_clean_pages",
            Op::Length => "length",
            Op::SetLength => "set_length",
            Op::Allocate => "allocate",
            Op::Lock => "try_lock",
            Op::FileIdentity => "file_identity",
            Op::Open => "open",
            Op::Create => "create",
            Op::RenameNew => "rename_new",
            Op::Rename => "rename",
            Op::List => "list",
            Op::CreateDirectory => "create_directory",
            Op::Remove => "remove",
            Op::PathIdentity => "path_identity",
            Op::SyncDirectory => "sync_directory",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of [`Op`]s that a fault applies to.
///
/// ```
/// use fz_sim::{Op, OpSet};
///
/// let growth = Op::SetLength | Op::Allocate;
/// assert!(growth.contains(Op::Allocate) && !growth.contains(Op::Write));
/// assert!(OpSet::SYNCS.contains(Op::SyncData));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpSet(u32);

impl OpSet {
    /// Every operation.
    pub const ALL: OpSet = OpSet((1 << Op::ALL.len()) - 1);
    /// [`Op::SyncData`] and [`Op::SyncAll`].
    pub const SYNCS: OpSet = OpSet::of(Op::SyncData).with(Op::SyncAll);
    /// The operations that change the disk or make a change durable.
    pub const CHANGES: OpSet = OpSet::SYNCS
        .with(Op::Write)
        .with(Op::WriteBack)
        .with(Op::SetLength)
        .with(Op::Allocate)
        .with(Op::Create)
        .with(Op::RenameNew)
        .with(Op::Rename)
        .with(Op::CreateDirectory)
        .with(Op::Remove)
        .with(Op::SyncDirectory);

    /// The set of one.
    ///
    /// ```
    /// # use fz_sim::{Op, OpSet};
    /// assert!(OpSet::of(Op::Read).contains(Op::Read));
    /// ```
    #[must_use]
    pub const fn of(op: Op) -> Self {
        OpSet(1 << op.index())
    }

    /// This set and `op`.
    ///
    /// ```
    /// # use fz_sim::{Op, OpSet};
    /// assert!(OpSet::SYNCS.with(Op::SyncDirectory).contains(Op::SyncDirectory));
    /// ```
    #[must_use]
    pub const fn with(self, op: Op) -> Self {
        OpSet(self.0 | 1 << op.index())
    }

    /// Whether `op` is in it.
    ///
    /// ```
    /// # use fz_sim::{Op, OpSet};
    /// assert!(OpSet::CHANGES.contains(Op::Remove) && !OpSet::CHANGES.contains(Op::Read));
    /// ```
    #[must_use]
    pub const fn contains(self, op: Op) -> bool {
        self.0 & 1 << op.index() != 0
    }
}

impl From<Op> for OpSet {
    fn from(op: Op) -> Self {
        OpSet::of(op)
    }
}

impl BitOr for Op {
    type Output = OpSet;

    fn bitor(self, other: Op) -> OpSet {
        OpSet::of(self).with(other)
    }
}

impl BitOr<Op> for OpSet {
    type Output = OpSet;

    fn bitor(self, other: Op) -> OpSet {
        self.with(other)
    }
}

impl fmt::Debug for OpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Op::ALL.iter().filter(|op| self.contains(**op))).finish()
    }
}
