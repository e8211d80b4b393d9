//! A file system in memory. Its n-th call fails, and it knows the content that a power cut would leave.
//!
//! It is as forgetful as the rules allow: a file's bytes and length are on the medium after a sync of the
//! file, a name after a sync of the directory, and what a *failed* sync of either should have written is dropped and
//! forgotten, as Linux file systems do it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use fuser::Errno;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// With the error of this number.
    Error(i32),
    /// A write takes only this many bytes, at most one less than it was given. Other calls succeed.
    Short(usize),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFault {
    /// The first, counted from 1; 0: none.
    pub(crate) from: u64,
    /// The last.
    pub(crate) through: u64,
    pub(crate) failing: Failing,
}

impl CallFault {
    pub(crate) const NONE: Self = Self { from: 0, through: 0, failing: Failing::Error(0) };
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// The file system's state: one directory with files.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    files: HashMap<u64, Content>,
    names: BTreeMap<OsString, u64>,
    durable_names: BTreeMap<OsString, u64>,
    /// What each name that changed since the last sync of the directory now stands for.
    dirty_names: BTreeMap<OsString, Option<u64>>,
    next_inode: u64,
    calls: u64,
    fault: CallFault,
    hits: u64,
    hit_call: &'static str,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            files: HashMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dirty_names: BTreeMap::new(),
            next_inode: 2,
            calls: 0,
            fault: CallFault::NONE,
            hits: 0,
            hit_call: "",
        }
    }

    /// Removes everything and lets calls fail from now on. Inode numbers are not used again: the kernel may
    /// remember them.
    pub(crate) fn begin(&mut self, fault: CallFault) {
        *self = Self { next_inode: self.next_inode, fault, ..Self::new() };
    }

    /// No call fails any more.
    pub(crate) fn heal(&mut self) {
        self.fault = CallFault::NONE;
    }

    /// What a power cut leaves.
    pub(crate) fn cut_power(&mut self) {
        self.names = self.durable_names.clone();
        for content in self.files.values_mut() {
            content.bytes.clone_from(&content.durable);
            content.dirty.clear();
        }
        // The same file under a new number: nothing that the kernel cached belongs to it.
        let names: Vec<_> = self.names.keys().cloned().collect();
        for name in names {
            let content = self.names[&name];
            let content = self.files.get(&content).cloned().unwrap_or_default();
            let inode = self.add(content);
            self.names.insert(name, inode);
        }
        self.durable_names = self.names.clone();
        self.dirty_names.clear();
    }

    /// Calls so far, how many of them failed as asked, and the first that did.
    pub(crate) fn counts(&self) -> (u64, u64, &'static str) {
        (self.calls, self.hits, self.hit_call)
    }

    /// Lets `name` stand for another file, or for none.
    fn set_name(&mut self, name: &OsStr, inode: Option<u64>) {
        self.dirty_names.insert(name.to_owned(), inode);
        match inode {
            Some(inode) => self.names.insert(name.to_owned(), inode),
            None => self.names.remove(name),
        };
    }

    fn add(&mut self, content: Content) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.files.insert(inode, content);
        inode
    }

    /// Counts a call; the error, if it is to fail with one.
    pub(crate) fn enter(&mut self, name: &'static str) -> Result<(), Errno> {
        match self.failing() {
            Some(Failing::Error(number)) => {
                self.hit(name);
                Err(Errno::from_i32(number))
            }
            _ => Ok(()),
        }
    }

    fn failing(&mut self) -> Option<Failing> {
        self.calls += 1;
        let CallFault { from, through, failing } = self.fault;
        (from != 0 && (from..=through).contains(&self.calls)).then_some(failing)
    }

    fn hit(&mut self, name: &'static str) {
        if self.hits == 0 {
            self.hit_call = name;
        }
        self.hits += 1;
    }

    pub(crate) fn lookup(&self, name: &OsStr) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(crate) fn length(&self, inode: u64) -> Option<u64> {
        self.files.get(&inode).map(|content| content.bytes.len() as u64)
    }

    pub(crate) fn create(&mut self, name: &OsStr) -> Result<u64, Errno> {
        self.enter("create")?;
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let inode = self.add(Content::default());
        self.set_name(name, Some(inode));
        Ok(inode)
    }

    pub(crate) fn read(&self, inode: u64, offset: usize, bytes: usize) -> &[u8] {
        let content = self.files.get(&inode).map_or(&[][..], |content| &content.bytes);
        let rest = content.get(offset..).unwrap_or_default();
        &rest[..bytes.min(rest.len())]
    }

    /// Returns how many bytes it took.
    pub(crate) fn write(&mut self, inode: u64, offset: usize, bytes: &[u8]) -> Result<usize, Errno> {
        let taken = match self.failing() {
            Some(Failing::Error(number)) => {
                self.hit("write");
                return Err(Errno::from_i32(number));
            }
            Some(Failing::Short(most)) if bytes.len() > 1 => {
                self.hit("write");
                most.min(bytes.len() - 1)
            }
            _ => bytes.len(),
        };
        self.change(inode, Change::Write(offset, bytes[..taken].to_vec()))?;
        Ok(taken)
    }

    pub(crate) fn set_length(&mut self, inode: u64, bytes: usize) -> Result<(), Errno> {
        self.enter("set_length")?;
        self.change(inode, Change::Length(bytes))
    }

    pub(crate) fn allocate(&mut self, inode: u64, end: usize) -> Result<(), Errno> {
        self.enter("allocate")?;
        let length = self.files.get(&inode).map_or(0, |content| content.bytes.len());
        if end > length { self.change(inode, Change::Length(end)) } else { Ok(()) }
    }

    fn change(&mut self, inode: u64, change: Change) -> Result<(), Errno> {
        let content = self.files.get_mut(&inode).ok_or(Errno::ENOENT)?;
        apply(&mut content.bytes, &change);
        content.dirty.push(change);
        Ok(())
    }

    pub(crate) fn sync(&mut self, inode: u64) -> Result<(), Errno> {
        let entered = self.enter("sync");
        let content = self.files.get_mut(&inode).ok_or(Errno::ENOENT)?;
        if is_interrupted(&entered) {
            return entered;
        }
        for change in std::mem::take(&mut content.dirty) {
            // After a failure they count as clean all the same.
            if entered.is_ok() {
                apply(&mut content.durable, &change);
            }
        }
        entered
    }

    pub(crate) fn sync_directory(&mut self) -> Result<(), Errno> {
        let entered = self.enter("sync_directory");
        if is_interrupted(&entered) {
            return entered;
        }
        for (name, inode) in std::mem::take(&mut self.dirty_names) {
            match (&entered, inode) {
                (Ok(()), Some(inode)) => {
                    self.durable_names.insert(name, inode);
                }
                (Ok(()), None) => {
                    self.durable_names.remove(&name);
                }
                // They count as clean all the same.
                (Err(_), _) => {}
            }
        }
        entered
    }

    pub(crate) fn rename(&mut self, from: &OsStr, to: &OsStr, replace: bool) -> Result<(), Errno> {
        self.enter("rename")?;
        if !replace && self.names.contains_key(to) {
            return Err(Errno::EEXIST);
        }
        let inode = self.lookup(from).ok_or(Errno::ENOENT)?;
        self.set_name(from, None);
        self.set_name(to, Some(inode));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &OsStr) -> Result<(), Errno> {
        self.enter("remove")?;
        self.lookup(name).ok_or(Errno::ENOENT)?;
        self.set_name(name, None);
        Ok(())
    }
}

fn is_interrupted(entered: &Result<(), Errno>) -> bool {
    matches!(entered, Err(error) if i32::from(*error) == i32::from(Errno::EINTR))
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => {
            let end = offset + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(new);
        }
        Change::Length(length) => bytes.resize(*length, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIO: Failing = Failing::Error(5);

    fn store(fault: CallFault) -> (Store, u64) {
        let mut store = Store::new();
        let inode = store.create(OsStr::new("a")).unwrap();
        store.fault = fault;
        (store, inode)
    }

    fn after_power_cut(mut store: Store) -> Option<Vec<u8>> {
        store.cut_power();
        let inode = store.lookup(OsStr::new("a"))?;
        Some(store.read(inode, 0, 100).to_vec())
    }

    #[test]
    fn bytes_survive_with_a_sync_of_the_file_and_its_name_with_one_of_the_directory() {
        let (mut store, inode) = store(CallFault::NONE);
        store.write(inode, 0, b"abc").unwrap();
        assert_eq!(after_power_cut(store.clone()), None);
        store.sync_directory().unwrap();
        assert_eq!(after_power_cut(store.clone()), Some(Vec::new()));
        store.sync(inode).unwrap();
        store.write(inode, 1, b"xyz").unwrap();
        assert_eq!(after_power_cut(store), Some(b"abc".to_vec()));
    }

    #[test]
    fn what_a_failed_sync_should_have_written_is_gone_for_good() {
        let (mut store, inode) = store(CallFault { from: 4, through: 4, failing: EIO });
        store.sync_directory().unwrap();
        store.write(inode, 0, b"abc").unwrap();
        assert!(store.sync(inode).is_err());
        store.sync(inode).unwrap();
        assert_eq!(store.read(inode, 0, 3), b"abc");
        assert_eq!(after_power_cut(store), Some(Vec::new()));
    }

    #[test]
    fn a_name_whose_sync_failed_is_not_kept_by_the_next_and_an_interrupted_one_keeps_it() {
        for (failing, kept) in [(EIO, None), (Failing::Error(4), Some(Vec::new()))] {
            let (mut store, _) = store(CallFault { from: 2, through: 2, failing });
            assert!(store.sync_directory().is_err());
            store.sync_directory().unwrap();
            assert!(store.lookup(OsStr::new("a")).is_some(), "until the power is cut it is there");
            assert_eq!(after_power_cut(store), kept);
        }
    }

    #[test]
    fn names_that_are_gone_or_changed_are_so_after_a_sync_of_the_directory() {
        let (mut store, _) = store(CallFault::NONE);
        let (a, b) = (OsStr::new("a"), OsStr::new("b"));
        store.sync_directory().unwrap();
        store.rename(a, b, false).unwrap();
        let names = |store: &Store| {
            let mut store = store.clone();
            store.cut_power();
            [a, b].map(|name| store.lookup(name).is_some())
        };
        assert_eq!(names(&store), [true, false]);
        store.sync_directory().unwrap();
        assert_eq!(names(&store), [false, true]);
        store.remove(b).unwrap();
        assert_eq!(names(&store), [false, true]);
        store.sync_directory().unwrap();
        assert_eq!(names(&store), [false, false]);
    }

    #[test]
    fn an_interrupted_sync_drops_nothing() {
        let (mut store, inode) = store(CallFault { from: 4, through: 4, failing: Failing::Error(4) });
        store.sync_directory().unwrap();
        store.write(inode, 0, b"abc").unwrap();
        assert!(store.sync(inode).is_err());
        store.sync(inode).unwrap();
        assert_eq!(after_power_cut(store), Some(b"abc".to_vec()));
    }

    #[test]
    fn a_short_write_takes_a_part() {
        let (mut store, inode) = store(CallFault { from: 2, through: 3, failing: Failing::Short(2) });
        assert_eq!(store.write(inode, 0, b"abc"), Ok(2));
        assert_eq!(store.write(inode, 2, b"c"), Ok(1), "one byte cannot be shortened");
        assert_eq!((store.read(inode, 0, 9), store.counts()), (&b"abc"[..], (3, 1, "write")));
    }
}
