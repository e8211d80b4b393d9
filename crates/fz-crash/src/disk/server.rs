//! Serves a disk as one file through FUSE, for a loop device to stand on.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use crate::disk::recorder::Recorder;
use crate::os::resources::Mount;

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);

/// Nothing about the file but its content ever changes.
const FOR_GOOD: Duration = Duration::from_secs(1 << 20);

const PUNCH_HOLE: i32 = 2;
const ZERO_RANGE: i32 = 16;
/// What is written at once where a range is to become zeros.
const ZEROS: &[u8] = &[0; 1 << 16];

struct Server {
    disk: Arc<Recorder>,
}

/// A disk that is served as a file, until this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    path: PathBuf,
    // Dropped in this order: the kernel ends the session when the mount goes.
    _mount: Mount,
    _session: fuser::BackgroundSession,
}

impl Served {
    /// Serves `disk` as a file in the empty directory `directory`.
    pub(crate) fn new(disk: Arc<Recorder>, directory: &Path) -> io::Result<Self> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("fz-crash".to_owned()), MountOption::NoAtime];
        let (mount, session) = Mount::serve(directory, || fuser::spawn_mount(Server { disk }, directory, &config))?;
        Ok(Self { path: directory.join(NAME), _mount: mount, _session: session })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Server {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        attributes(inode, if inode == FILE { Some(self.disk.bytes()) } else { None })
    }
}

/// The answer of `stat(2)` for a file of `bytes` bytes, or for a directory.
pub(crate) fn attributes(ino: INodeNo, bytes: Option<u64>) -> FileAttr {
    let epoch = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino,
        size: bytes.unwrap_or(0),
        blocks: bytes.unwrap_or(0).div_ceil(512),
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: if bytes.is_some() { FileType::RegularFile } else { FileType::Directory },
        perm: if bytes.is_some() { 0o600 } else { 0o700 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOR_GOOD, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_GOOD, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No page cache between the loop device and us.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = self.disk.bytes().saturating_sub(offset).min(u64::from(size));
        let mut buffer = vec![0; usize::try_from(left).expect("it fits in a u32")];
        self.disk.read(offset, &mut buffer);
        reply.data(&buffer);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk.write(offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).expect("FUSE sends less at once")),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.disk.flush() {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    /// `close(2)`, no flush of the disk.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    /// What a discard and a request for zeros come down to.
    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, at: u64, length: u64, mode: i32, reply: ReplyEmpty) {
        if mode & (PUNCH_HOLE | ZERO_RANGE) == 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let end = at.saturating_add(length).min(self.disk.bytes());
        let mut at = at;
        while at < end {
            let bytes = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
            if self.disk.write(at, &ZEROS[..bytes]).is_err() {
                return reply.error(Errno::EIO);
            }
            at += bytes as u64;
        }
        reply.ok();
    }
}
