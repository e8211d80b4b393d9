//! A block device on a recorded disk, and file systems on it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::sys::statvfs::statvfs;

use crate::disk::image::{Base, Image};
use crate::disk::loss::Medium;
use crate::disk::recorder::Recorder;
use crate::disk::server::Served;
use crate::os::resources::{Attached, Directory, Mount, command};

/// A file system of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub(crate) const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The program that makes one, and the package that has it.
    pub(crate) fn maker(self) -> (&'static str, &'static str) {
        match self {
            Self::Ext4 => ("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => ("mkfs.xfs", "xfsprogs"),
            Self::Btrfs => ("mkfs.btrfs", "btrfs-progs"),
        }
    }

    /// About the smallest that the program agrees to make.
    fn bytes(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Ext4 => 16 * MIB,
            Self::Xfs => 304 * MIB,
            Self::Btrfs => 128 * MIB,
        }
    }

    /// What each of them needs of its disk to recover at all.
    ///
    /// Sectors of 512 bytes would do for ext4 and btrfs but for their superblocks, which have one checksum
    /// over more than a sector. XFS skips in recovery what the sequence number in the first sector of a
    /// block says is done; a block whose first sector alone was written then fails its checksum for
    /// good (`EBADMSG` at mount, from `xfs_bmbt_read_verify`). So it needs blocks of 4 KiB to be whole.
    pub(crate) fn medium(self) -> Medium {
        match self {
            Self::Ext4 => Medium { sector: 512, whole: &[(0, 4096)] },
            Self::Xfs => Medium { sector: 4096, whole: &[] },
            Self::Btrfs => {
                Medium { sector: 512, whole: &[(64 << 10, (64 << 10) + 4096), (64 << 20, (64 << 20) + 4096)] }
            }
        }
    }

    /// The defaults, but that copies of one file system may be mounted side by side.
    fn options(self) -> &'static str {
        if self == Self::Xfs { "nouuid" } else { "" }
    }

    /// A new file system with no more than `room` in it; `variant` chooses among block sizes where there is a choice.
    pub(crate) fn make(self, directory: &Directory, variant: u64, room: Room) -> io::Result<Arc<Base>> {
        let path = directory.path().join("made");
        File::create(&path)?.set_len(self.bytes())?;
        let block_size = if variant.is_multiple_of(2) { "4096" } else { "1024" };
        // Nothing is left for a thread of the kernel to initialise later, whose writes would be noise.
        let arguments: &[&str] = match self {
            Self::Ext4 => &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-b", block_size],
            Self::Xfs => &["-q", "-f", "-K"],
            Self::Btrfs => &["-q", "-f", "-K"],
        };
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([path.as_os_str()]).collect();
        command(self.maker().0, &arguments)?;
        match room {
            Room::All => {}
            Room::Bytes(left) => self.prepare(&path, directory, |target| fill(target, left))?,
            Room::Quota(most) => self.prepare(&path, directory, |target| limit(target, most))?,
        }
        let base = Base::load(&path);
        std::fs::remove_file(&path)?;
        Ok(Arc::new(base?))
    }

    /// Does `work` in the file system that the file at `path` holds.
    fn prepare(self, path: &Path, directory: &Directory, work: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let attached = Attached::new(path, &[])?;
        let target = directory.make("prepared")?;
        let mount = Mount::new(attached.path(), &target, self.name(), self.options())?;
        work(&target)?;
        mount.unmount()?;
        std::fs::remove_dir(&target)
    }
}

/// What a new file system has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// As much as it was made for.
    All,
    /// About this many bytes: a file takes the rest.
    Bytes(u64),
    /// This many bytes, by a quota. Btrfs only: ext4 and XFS need a kernel that was built with their quotas.
    Quota(u64),
}

/// Takes what is free but for `left` bytes. Reserves it only, so that the disk's file stays small.
fn fill(target: &Path, left: u64) -> io::Result<()> {
    const STEP_MIN: u64 = 64 << 10;
    let filler = File::create(target.join("filler"))?;
    let (mut taken, mut step) = (0, 64 << 20);
    while step >= STEP_MIN {
        // Asked for each time: a file system takes some of its space for what it keeps itself.
        let status = statvfs(target)?;
        let free = status.blocks_available() * status.fragment_size();
        let more = free.saturating_sub(left).min(step);
        if more < STEP_MIN {
            break;
        }
        let signed = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
        match fallocate(&filler, FallocateFlags::empty(), signed(taken)?, signed(more)?) {
            Ok(()) => taken += more,
            // Not as much in one piece.
            Err(Errno::ENOSPC) => step /= 2,
            Err(errno) => return Err(errno.into()),
        }
    }
    filler.sync_all()
}

/// Lets no user, not even root, have more than `most` bytes.
fn limit(target: &Path, most: u64) -> io::Result<()> {
    let most = most.to_string();
    let run = |words: &[&str]| {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([target.as_os_str()]).collect();
        command("btrfs", &words).map(drop)
    };
    run(&["quota", "enable"])?;
    run(&["quota", "rescan", "-w"])?;
    // The number of the subvolume that a new file system is.
    run(&["qgroup", "limit", &most, "0/5"])
}

/// A block device whose disk can be exchanged and recorded.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    recorder: Arc<Recorder>,
    target: PathBuf,
    // Dropped in this order.
    attached: Attached,
    _served: Served,
    _directory: Directory,
}

impl LoopDevice {
    pub(crate) fn new(image: Image, parent: &Path) -> io::Result<Self> {
        let directory = Directory::new(parent)?;
        let recorder = Recorder::new(image);
        let served = Served::new(Arc::clone(&recorder), &directory.make("fuse")?)?;
        let attached = Attached::new(served.path(), &["--direct-io=on"])?;
        let target = directory.make("mounted")?;
        Ok(Self { recorder, target, attached, _served: served, _directory: directory })
    }

    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Where [`mount`](Self::mount) mounts.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Puts another disk in. Nothing may be mounted.
    pub(crate) fn insert(&self, image: Image, record: bool) -> io::Result<()> {
        self.recorder.insert(image, record);
        // The last close of the device emptied its cache, unless another process holds it open.
        let device = OpenOptions::new().read(true).open(self.attached.path())?;
        posix_fadvise(&device, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        Ok(())
    }

    pub(crate) fn mount(&self, file_system: FileSystem) -> io::Result<Mount> {
        self.mount_with(file_system, "")
    }

    /// As [`mount`](Self::mount), with further `options`.
    pub(crate) fn mount_with(&self, file_system: FileSystem, options: &str) -> io::Result<Mount> {
        let options: Vec<_> = [file_system.options(), options].into_iter().filter(|some| !some.is_empty()).collect();
        Mount::new(self.attached.path(), &self.target, file_system.name(), &options.join(","))
    }
}
