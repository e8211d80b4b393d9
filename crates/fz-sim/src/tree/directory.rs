//! A directory's entries: those that lookups see, those that are durable, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use crate::PageFate;
use crate::tree::inode::SyncStart;

pub(crate) type Names = BTreeMap<OsString, Entry>;

/// The meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Entry {
    /// The file with this inode number.
    File(u64),
    /// The directory at this path; it has no other one, for no directory is ever renamed.
    Directory,
}

impl Entry {
    pub(crate) fn inode(self) -> Option<u64> {
        match self {
            Entry::File(inode) => Some(inode),
            Entry::Directory => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Link {
        name: OsString,
        entry: Entry,
    },
    Unlink {
        name: OsString,
    },
    /// One change, also where `to` was another file's name.
    Rename {
        from: OsString,
        to: OsString,
        inode: u64,
    },
}

impl Edit {
    pub(crate) fn apply(&self, names: &mut Names) {
        match self {
            Edit::Link { name, entry } => {
                names.insert(name.clone(), *entry);
            }
            Edit::Unlink { name } => {
                names.remove(name);
            }
            Edit::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), Entry::File(*inode));
            }
        }
    }

    pub(crate) fn names(&self, name: &OsStr) -> bool {
        match self {
            Edit::Link { name: own, .. } | Edit::Unlink { name: own } => own == name,
            Edit::Rename { from, to, .. } => from == name || to == name,
        }
    }

    fn inode(&self) -> Option<u64> {
        match self {
            Edit::Link { entry, .. } => entry.inode(),
            Edit::Rename { inode, .. } => Some(*inode),
            Edit::Unlink { .. } => None,
        }
    }
}

/// How far a change is known to be on its way to the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The next sync covers it.
    Pending,
    /// A failed sync gave it up: no later one covers it.
    Lost,
    /// It is on the media.
    Durable,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) edit: Edit,
    pub(crate) standing: Standing,
}

/// The entries of one directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// The entries that lookups see.
    pub(crate) live: Names,
    /// The entries on the media before `changes`.
    pub(crate) durable: Names,
    /// In order; the first is not [`Standing::Durable`].
    pub(crate) changes: Vec<Change>,
}

impl Directory {
    pub(crate) fn holding(names: Names) -> Self {
        Self { live: names.clone(), durable: names, changes: Vec::new() }
    }

    pub(crate) fn edit(&mut self, sequence: u64, edit: Edit) {
        edit.apply(&mut self.live);
        let standing =
            if fz_error::mutants::active("sim_names_need_no_sync") { Standing::Durable } else { Standing::Pending };
        self.changes.push(Change { sequence, edit, standing });
    }

    /// Adds an entry that is on the media at once. Where the name has unsynced changes it comes after
    /// them, and a directory that keeps a prefix then keeps all before it.
    pub(crate) fn put(&mut self, sequence: u64, name: OsString, entry: Entry) {
        self.live.insert(name.clone(), entry);
        if self.changes.iter().any(|change| change.edit.names(&name)) {
            self.changes.push(Change { sequence, edit: Edit::Link { name, entry }, standing: Standing::Durable });
        } else {
            self.durable.insert(name, entry);
        }
    }

    /// A sync that began at `start` has succeeded.
    pub(crate) fn sync(&mut self, start: &SyncStart) {
        for change in &mut self.changes {
            if change.standing == Standing::Pending && start.covers(change.sequence) {
                change.standing = Standing::Durable;
            }
        }
        let settled = self.changes.iter().take_while(|change| change.standing == Standing::Durable).count();
        for change in self.changes.drain(..settled) {
            change.edit.apply(&mut self.durable);
        }
    }

    /// A sync that began at `start` has failed.
    pub(crate) fn fail_sync(&mut self, start: &SyncStart, fate: PageFate) {
        if fate == PageFate::Kept {
            return;
        }
        for change in &mut self.changes {
            if change.standing == Standing::Pending && change.sequence <= start.sequence {
                change.standing = Standing::Lost;
            }
        }
    }

    /// The entries after a crash that kept the changes that `keep` says, beside those it must.
    pub(crate) fn crashed(&self, mut keep: impl FnMut(usize, &Change) -> bool) -> Names {
        let mut names = self.durable.clone();
        for (position, change) in self.changes.iter().enumerate() {
            if change.standing == Standing::Durable || keep(position, change) {
                change.edit.apply(&mut names);
            }
        }
        names
    }

    /// How many of the changes are sure to be there if a crash keeps a prefix.
    pub(crate) fn prefix_min(&self) -> usize {
        self.changes.iter().rposition(|change| change.standing == Standing::Durable).map_or(0, |last| last + 1)
    }

    /// Whether every crash leaves `name` meaning what it means now.
    pub(crate) fn is_durable(&self, name: &OsStr) -> bool {
        let last = self.changes.iter().rfind(|change| change.edit.names(name));
        last.is_none_or(|change| change.standing == Standing::Durable)
    }

    /// Whether `name` means `entry` now, and after every crash.
    pub(crate) fn is_settled(&self, name: &OsStr, entry: Entry) -> bool {
        self.live.get(name) == Some(&entry) && self.is_durable(name)
    }

    /// Every inode that a crash could leave an entry for.
    pub(crate) fn inodes(&self) -> BTreeSet<u64> {
        let changed = self.changes.iter().filter_map(|change| change.edit.inode());
        let named = self.live.values().chain(self.durable.values()).filter_map(|entry| entry.inode());
        named.chain(changed).collect()
    }
}
