//! All directories and files of a disk, cheap to clone.

pub(crate) mod content;
pub(crate) mod directory;
pub(crate) mod inode;
pub(crate) mod touched;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::path::split;
use crate::tree::content::{Content, PAGE_BYTES};
use crate::tree::directory::{Directory, Edit, Entry, Names};
use crate::tree::inode::Inode;

/// Directories and files. A clone shares everything until one of the two changes it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) directories: BTreeMap<Arc<Path>, Arc<Directory>>,
    pub(crate) inodes: BTreeMap<u64, Arc<Inode>>,
    pub(crate) next_inode: u64,
}

fn errno(raw: i32) -> io::Error {
    io::Error::from_raw_os_error(raw)
}

impl Tree {
    pub(crate) fn new() -> Self {
        let root = (Arc::from(Path::new("/")), Arc::default());
        Self { directories: BTreeMap::from([root]), inodes: BTreeMap::new(), next_inode: 2 }
    }

    pub(crate) fn directory(&self, path: &Path) -> io::Result<&Directory> {
        if let Some(directory) = self.directories.get(path) {
            return Ok(directory);
        }
        Err(errno(if self.lookup(path).is_ok() { libc::ENOTDIR } else { libc::ENOENT }))
    }

    pub(crate) fn directory_mut(&mut self, path: &Path) -> io::Result<&mut Directory> {
        self.directory(path)?;
        Ok(Arc::make_mut(self.directories.get_mut(path).expect("the directory was just found")))
    }

    pub(crate) fn inode(&self, inode: u64) -> &Inode {
        self.inodes.get(&inode).expect("an inode lives as long as an entry or an open file means it")
    }

    pub(crate) fn inode_mut(&mut self, inode: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&inode).expect("an inode lives as long as an entry or an open file means it"))
    }

    /// The file that `path` means.
    pub(crate) fn lookup(&self, path: &Path) -> io::Result<u64> {
        if self.directories.contains_key(path) {
            return Err(errno(libc::EISDIR));
        }
        let (parent, name) = split(path)?;
        let directory = self.directories.get(parent).ok_or_else(|| errno(libc::ENOENT))?;
        directory.live.get(&name).and_then(|entry| entry.inode()).ok_or_else(|| errno(libc::ENOENT))
    }

    /// The directory and the name for a new entry.
    fn vacant<'a>(&self, path: &'a Path) -> io::Result<(&'a Path, OsString)> {
        match self.lookup(path) {
            Ok(_) => return Err(errno(libc::EEXIST)),
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => return Err(errno(libc::EEXIST)),
            Err(_) => {}
        }
        let (parent, name) = split(path)?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    pub(crate) fn create(&mut self, path: &Path, sequence: u64) -> io::Result<u64> {
        let (parent, name) = self.vacant(path)?;
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Arc::default());
        self.directory_mut(parent)?.edit(sequence, Edit::Link { name, entry: Entry::File(inode) });
        Ok(inode)
    }

    pub(crate) fn rename_new(&mut self, from: &Path, to: &Path, sequence: u64) -> io::Result<()> {
        self.lookup(from)?;
        self.vacant(to)?;
        self.rename(from, to, sequence).map(drop)
    }

    /// The inode that lost the name `to`, if there was one.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path, sequence: u64) -> io::Result<Option<u64>> {
        let inode = self.lookup(from)?;
        let replaced = match self.lookup(to) {
            Ok(replaced) => Some(replaced),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => None,
            Err(error) => return Err(error),
        };
        if replaced == Some(inode) {
            // Two names of one file, and there are no links: the same name. It stays.
            return Ok(None);
        }
        let (from_parent, from) = split(from)?;
        let (to_parent, to) = split(to)?;
        self.directory(to_parent)?;
        if from_parent != to_parent {
            return Err(errno(libc::EXDEV));
        }
        self.directory_mut(from_parent)?.edit(sequence, Edit::Rename { from, to, inode });
        Ok(replaced)
    }

    /// The inode that lost its name.
    pub(crate) fn remove(&mut self, path: &Path, sequence: u64) -> io::Result<u64> {
        let inode = self.lookup(path)?;
        let (parent, name) = split(path)?;
        self.directory_mut(parent)?.edit(sequence, Edit::Unlink { name });
        Ok(inode)
    }

    /// Adds an empty directory, as one change of the directory above it.
    pub(crate) fn create_directory(&mut self, path: &Path, sequence: u64) -> io::Result<()> {
        let (parent, name) = self.vacant(path)?;
        self.directory_mut(parent)?.edit(sequence, Edit::Link { name, entry: Entry::Directory });
        self.directories.insert(Arc::from(path), Arc::default());
        Ok(())
    }

    /// Adds a directory, and those above it, durable at once; `sequence`: the last change before it.
    pub(crate) fn put_directory(&mut self, path: &Path, sequence: u64) -> io::Result<()> {
        for path in path.ancestors() {
            if self.lookup(path).is_ok() {
                return Err(errno(libc::EEXIST));
            }
        }
        let mut paths: Vec<&Path> = path.ancestors().collect();
        paths.reverse();
        for path in paths {
            let Ok((parent, name)) = split(path) else { continue };
            if !self.directory(parent)?.is_settled(&name, Entry::Directory) {
                self.directory_mut(parent)?.put(sequence, name, Entry::Directory);
            }
            self.directories.entry(Arc::from(path)).or_default();
        }
        Ok(())
    }

    /// The names in a directory, in their order.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.directory(path)?.live.keys().cloned().collect())
    }

    /// Whether every power cut leaves `path` meaning the file or directory that it means now.
    pub(crate) fn is_name_durable(&self, path: &Path) -> bool {
        let is_durable = |path: &Path| match split(path) {
            Ok((parent, name)) => self.directory(parent).is_ok_and(|directory| directory.is_durable(&name)),
            Err(_) => true,
        };
        path.ancestors().all(is_durable)
    }

    /// Adds a file with these bytes, durable at once; `sequence`: the last change before it.
    pub(crate) fn put(&mut self, path: &Path, bytes: &[u8], sequence: u64) -> io::Result<()> {
        let (parent, name) = self.vacant(path)?;
        let mut content = Content::default();
        content.write(0, bytes);
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Arc::new(Inode::durable(content, bytes.len() as u64)));
        self.directory_mut(parent)?.put(sequence, name, Entry::File(inode));
        Ok(())
    }

    /// Whether a directory still has an entry for the inode, or a crash could bring one back.
    pub(crate) fn means(&self, inode: u64) -> bool {
        self.directories.values().any(|directory| directory.inodes().contains(&inode))
    }

    /// The space used by all files, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.inodes.values().map(|inode| inode.live.blocks()).sum::<u64>() * PAGE_BYTES as u64
    }

    /// Every file, with its path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, u64)> {
        self.directories.iter().flat_map(|(path, directory)| {
            let files = directory.live.iter().filter_map(|(name, entry)| Some((name, entry.inode()?)));
            files.map(move |(name, inode)| (path.join(name), inode))
        })
    }

    /// The tree on the media, given the state of each directory and each file after a crash. `names` is asked
    /// for the directories that are left and have changes, `file` for the files that have one of the names.
    pub(crate) fn crashed(
        &self,
        mut names: impl FnMut(&Arc<Path>, &Directory) -> Names,
        mut file: impl FnMut(u64, &Inode) -> Inode,
    ) -> Self {
        let mut inodes = BTreeMap::new();
        let mut directories: BTreeMap<Arc<Path>, Arc<Directory>> = BTreeMap::new();
        // In the order of the paths a directory comes before those in it.
        for (path, directory) in &self.directories {
            if !is_left(path, |parent| directories.get(parent).map(|parent| &parent.live)) {
                continue;
            }
            let directory = if directory.changes.is_empty() {
                Arc::clone(directory)
            } else {
                Arc::new(Directory::holding(names(path, directory)))
            };
            for inode in directory.live.values().filter_map(|entry| entry.inode()) {
                let before = self.inodes.get(&inode).expect("an inode lives as long as a crash could leave an entry");
                inodes.entry(inode).or_insert_with(|| {
                    if before.is_clean() { Arc::clone(before) } else { Arc::new(file(inode, before)) }
                });
            }
            directories.insert(Arc::clone(path), directory);
        }
        Self { directories, inodes, next_inode: self.next_inode }
    }
}

/// Whether the directory `path` has its entry in the one above it, whose entries `names` knows if it is left.
pub(crate) fn is_left<'a>(path: &Path, names: impl FnOnce(&Path) -> Option<&'a Names>) -> bool {
    match split(path) {
        Ok((parent, name)) => names(parent).is_some_and(|names| names.get(&name) == Some(&Entry::Directory)),
        Err(_) => true,
    }
}
