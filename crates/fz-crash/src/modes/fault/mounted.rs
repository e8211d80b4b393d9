//! Serves a [`Store`] through FUSE, every call reaching it as the process made it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

use crate::disk::server::attributes;
use crate::modes::fault::store::Store;
use crate::os::resources::{Directory, Mount};

/// The kernel is to ask each time.
const NOT_KEPT: Duration = Duration::ZERO;

struct Server(Arc<Mutex<Store>>);

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mounted store.
#[derive(Debug)]
pub(crate) struct Mounted {
    store: Arc<Mutex<Store>>,
    path: PathBuf,
    // Dropped in this order.
    _mount: Mount,
    _session: fuser::BackgroundSession,
    _directory: Directory,
}

impl Mounted {
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let store = Arc::new(Mutex::new(Store::new()));
        let directory = Directory::new(parent)?;
        let path = directory.make("failing")?;
        let server = Server(Arc::clone(&store));
        let (mount, session) = Mount::serve(&path, || fuser::spawn_mount(server, &path, &Config::default()))?;
        Ok(Self { store, path, _mount: mount, _session: session, _directory: directory })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Server {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.0)
    }

    fn attributes(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        if inode == INodeNo::ROOT {
            return Ok(attributes(inode, None));
        }
        self.store().length(inode.0).map(|length| attributes(inode, Some(length))).ok_or(Errno::ENOENT)
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inode = self.store().lookup(name);
        match inode.ok_or(Errno::ENOENT).and_then(|inode| self.attributes(INodeNo(inode))) {
            Ok(attributes) => reply.entry(&NOT_KEPT, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Ok(attributes) => reply.attr(&NOT_KEPT, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = size.map_or(Ok(()), |size| self.store().set_length(inode.0, index(size)));
        match set.and_then(|()| self.attributes(inode)) {
            Ok(attributes) => reply.attr(&NOT_KEPT, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let created = self.store().create(name);
        match created.and_then(|inode| self.attributes(INodeNo(inode))) {
            Ok(attributes) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO;
                reply.created(&NOT_KEPT, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let entered = self.store().enter("open");
        match entered {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let entered = self.store().enter("open_directory");
        match entered {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.store().read(inode.0, index(offset), index(size.into())).to_vec();
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.store().write(inode.0, index(offset), data);
        match written {
            Ok(bytes) => reply.written(u32::try_from(bytes).expect("FUSE sends less at once")),
            Err(error) => reply.error(error),
        }
    }

    /// `close(2)`.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.store().sync(inode.0);
        empty(synced, reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.store().sync_directory();
        empty(synced, reply);
    }

    fn fallocate(&self, _: &Request, inode: INodeNo, _: FileHandle, at: u64, length: u64, _: i32, reply: ReplyEmpty) {
        let allocated = self.store().allocate(inode.0, index(at + length));
        empty(allocated, reply);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.store().rename(name, new_name, !flags.contains(RenameFlags::RENAME_NOREPLACE));
        empty(renamed, reply);
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.store().remove(name);
        empty(removed, reply);
    }
}
