//! The disk as an engine sees it: files by their paths.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use fz_file::{Access, FileIdentity, Storage, Volume};

use crate::disk::state::{Asked, Call};
use crate::file::SimFile;
use crate::path::normal;
use crate::{Fault, Op, SimDisk};

impl Volume for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        let path: Arc<Path> = normal(path).into();
        let open = |call: &mut Call<'_>| {
            call.pause()?;
            let inode = call.state().tree.lookup(&path)?;
            Ok(open(self, call, inode, &path, access))
        };
        self.shared().call(Asked { op: Op::Open, path: &path, to: None, offset: 0, bytes: 0 }, open, |_| 0)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        let path: Arc<Path> = normal(path).into();
        let create = |call: &mut Call<'_>| {
            let inode = call.change(|state, sequence| state.tree_mut().create(&path, sequence))?;
            Ok(open(self, call, inode, &path, Access::ReadWrite))
        };
        self.shared().call(Asked { op: Op::Create, path: &path, to: None, offset: 0, bytes: 0 }, create, |_| 0)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to): (Arc<Path>, Arc<Path>) = (normal(from).into(), normal(to).into());
        let rename =
            |call: &mut Call<'_>| call.change(|state, sequence| state.tree_mut().rename_new(&from, &to, sequence));
        self.shared().call(Asked { op: Op::RenameNew, path: &from, to: Some(&to), offset: 0, bytes: 0 }, rename, |()| 0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to): (Arc<Path>, Arc<Path>) = (normal(from).into(), normal(to).into());
        let rename = |call: &mut Call<'_>| {
            call.change(|state, sequence| {
                let replaced = state.tree_mut().rename(&from, &to, sequence)?;
                state.unlinked.extend(replaced);
                Ok(())
            })
        };
        self.shared().call(Asked { op: Op::Rename, path: &from, to: Some(&to), offset: 0, bytes: 0 }, rename, |()| 0)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let path: Arc<Path> = normal(directory).into();
        let list = |call: &mut Call<'_>| {
            call.pause()?;
            let mut names = call.state().tree.list(&path)?;
            // No order is promised, so none is kept.
            call.order().shuffle(&mut names);
            Ok(names)
        };
        self.shared()
            .call(Asked { op: Op::List, path: &path, to: None, offset: 0, bytes: 0 }, list, |names| names.len() as u64)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let path: Arc<Path> = normal(path).into();
        let create =
            |call: &mut Call<'_>| call.change(|state, sequence| state.tree_mut().create_directory(&path, sequence));
        self.shared().call(
            Asked { op: Op::CreateDirectory, path: &path, to: None, offset: 0, bytes: 0 },
            create,
            |()| 0,
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path: Arc<Path> = normal(path).into();
        let remove = |call: &mut Call<'_>| {
            call.change(|state, sequence| {
                let inode = state.tree_mut().remove(&path, sequence)?;
                state.unlinked.insert(inode);
                Ok(())
            })
        };
        self.shared().call(Asked { op: Op::Remove, path: &path, to: None, offset: 0, bytes: 0 }, remove, |()| 0)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        let path: Arc<Path> = normal(path).into();
        let read = |call: &mut Call<'_>| {
            call.pause()?;
            call.state().tree.lookup(&path).map(|inode| self.identity_of(inode))
        };
        self.shared().call(
            Asked { op: Op::PathIdentity, path: &path, to: None, offset: 0, bytes: 0 },
            read,
            |identity| identity.inode,
        )
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path: Arc<Path> = normal(path).into();
        let sync = |call: &mut Call<'_>| {
            call.state().tree.directory(&path)?;
            call.sync(|state, start, fault| {
                let directory = state.tree_mut().directory_mut(&path)?;
                if let Some(Fault::SyncFailed(errno, fate)) = fault {
                    directory.fail_sync(start, fate);
                    return Err(errno.to_io());
                }
                directory.sync(start);
                state.collect();
                Ok(())
            })
        };
        self.shared().call(Asked { op: Op::SyncDirectory, path: &path, to: None, offset: 0, bytes: 0 }, sync, |()| 0)
    }
}

fn open(disk: &SimDisk, call: &mut Call<'_>, inode: u64, path: &Arc<Path>, access: Access) -> Box<dyn Storage> {
    Box::new(SimFile::new(disk, call.state(), inode, Arc::clone(path), access))
}
