//! A disk in memory that does what a script says: it records every call, and makes chosen calls
//! fail, fall short, or change the world just before they run.
//!
//! It has two states, what the kernel shows and what a power cut leaves: a file's bytes become
//! durable with its sync, a directory's names with the directory's.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use fz_file::{Access, FileIdentity, SlotFile, SlotFileConfig, Storage, Volume};
use nix::errno::Errno;

/// One call through the seam, with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open(PathBuf),
    Create(PathBuf),
    RenameNew(PathBuf, PathBuf),
    Remove(PathBuf),
    PathIdentity(PathBuf),
    SyncDirectory(PathBuf),
    Read { offset: u64, bytes: usize },
    Write { offset: u64, bytes: usize, buffers: usize },
    SyncData,
    SyncAll,
    WriteBack { offset: u64, bytes: u64 },
    DropCleanPages,
    CheckJournal,
    SetMode(u32),
    Length,
    SetLength(u64),
    Allocate { offset: u64, bytes: u64 },
    TryLock(Access),
    FileIdentity,
}

impl Call {
    /// The variant's name.
    pub(crate) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
}

/// What happens to a call.
pub(crate) enum Fault {
    /// It fails, with no effect.
    Error(Errno),
    /// A transfer moves about a third of its bytes; other calls are not affected.
    Short,
    /// A transfer moves nothing and says so; other calls are not affected.
    Nothing,
    /// The world changes just before it.
    World(Box<dyn FnMut(&mut World) + Send>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Error(errno) => write!(f, "{errno:?}"),
            Fault::Short => f.write_str("Short"),
            Fault::Nothing => f.write_str("Nothing"),
            Fault::World(_) => f.write_str("World"),
        }
    }
}

/// A line of the script: of the calls it is about, `skip` pass, then `times` meet the fault.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) call: Option<&'static str>,
    pub(crate) skip: usize,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

impl Rule {
    /// The first call of this name fails.
    pub(crate) fn once(call: &'static str, errno: Errno) -> Self {
        Self { call: Some(call), skip: 0, times: 1, fault: Fault::Error(errno) }
    }

    /// All calls of this name fail.
    pub(crate) fn always(call: &'static str, errno: Errno) -> Self {
        Self { call: Some(call), skip: 0, times: usize::MAX, fault: Fault::Error(errno) }
    }

    /// Before the first call of this name, the world changes.
    pub(crate) fn before(call: &'static str, change: impl FnMut(&mut World) + Send + 'static) -> Self {
        Self { call: Some(call), skip: 0, times: 1, fault: Fault::World(Box::new(change)) }
    }

    /// As this rule, for a later call.
    pub(crate) fn after(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// After a sync that failed, on a disk that has stale pages: the kernel takes all blocks for written.
    stale: bool,
    locks: BTreeMap<u64, Access>,
}

/// The files and their names.
#[derive(Debug, Default)]
pub(crate) struct World {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    ids: u64,
}

impl World {
    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Puts a new, unlocked file at `path`, whatever was there.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        let inode = self.id();
        self.files.insert(inode, Content { bytes: bytes.into(), durable: bytes.into(), ..Content::default() });
        self.names.insert(path.into(), inode);
    }

    /// Takes the name `path` away.
    pub(crate) fn unlink(&mut self, path: &str) {
        self.names.remove(Path::new(path));
    }

    /// Gives the file at `from` the second name `to`.
    pub(crate) fn link(&mut self, from: &str, to: &str) {
        self.names.insert(to.into(), self.names[Path::new(from)]);
    }

    /// Gives the file at `path` another length.
    pub(crate) fn resize(&mut self, path: &str, bytes: usize) {
        let inode = self.names[Path::new(path)];
        self.files.get_mut(&inode).unwrap().bytes.resize(bytes, 0);
    }

    /// Locks the file at `path` for somebody who never closes it.
    pub(crate) fn lock(&mut self, path: &str) {
        let (inode, owner) = (self.names[Path::new(path)], self.id());
        self.files.get_mut(&inode).unwrap().locks.insert(owner, Access::ReadWrite);
    }
}

#[derive(Debug, Default)]
struct State {
    world: World,
    calls: Vec<Call>,
    script: Vec<Rule>,
    fired: usize,
    first_error: Option<Errno>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    /// Syncs of files that are in the kernel now.
    syncing: Arc<AtomicUsize>,
    /// How often a sync lets others run before it has an effect.
    sync_yields: usize,
    buffers_max: usize,
    stale_pages: bool,
    unstable_inodes: bool,
}

/// The name of the file in the tests, and of its temporary file.
pub(crate) const PATH: &str = "/data/x";
pub(crate) const TEMPORARY: &str = "/data/.x.creating";

impl Disk {
    pub(crate) fn new() -> Self {
        Self::with_buffers_max(1024)
    }

    pub(crate) fn with_buffers_max(buffers_max: usize) -> Self {
        Self {
            state: Arc::default(),
            syncing: Arc::default(),
            sync_yields: 0,
            buffers_max,
            stale_pages: false,
            unstable_inodes: false,
        }
    }

    /// A disk whose syncs take a while, so that another may come meanwhile.
    pub(crate) fn with_slow_syncs() -> Self {
        Self { sync_yields: 20, ..Self::new() }
    }

    /// A disk on which pages whose sync failed are never written again, as on ext4, until they are dropped. A later
    /// sync says `Ok`, and makes the length durable only.
    pub(crate) fn with_stale_pages() -> Self {
        Self { stale_pages: true, ..Self::new() }
    }

    pub(crate) fn has_stale_pages(&self) -> bool {
        self.stale_pages
    }

    /// A disk that shows another inode number for a file each time.
    pub(crate) fn with_unstable_inodes() -> Self {
        Self { unstable_inodes: true, ..Self::new() }
    }

    fn shown(&self, state: &mut State, inode: u64) -> FileIdentity {
        FileIdentity { device: 1, inode: if self.unstable_inodes { state.world.id() } else { inode } }
    }

    /// Opens with the config.
    pub(crate) fn open(&self, config: SlotFileConfig) -> fz_file::Result<SlotFile> {
        SlotFile::open_on(Arc::new(self.clone()), config)
    }

    /// Adds a line to the script.
    pub(crate) fn script(&self, rule: Rule) {
        self.state().script.push(rule);
    }

    /// Ends the script.
    pub(crate) fn heal(&self) {
        self.state().script.clear();
    }

    /// How many calls met a fault.
    pub(crate) fn fired(&self) -> usize {
        self.state().fired
    }

    /// The first error that a call met.
    pub(crate) fn first_error(&self) -> Option<Errno> {
        self.state().first_error
    }

    /// The calls since the last time, in order.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    /// Changes the world.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.state().world);
    }

    /// The bytes of the file at `path`, if there is one.
    pub(crate) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.world.files[state.world.names.get(Path::new(path))?].bytes.clone())
    }

    /// Keeps what is durable and nothing else.
    pub(crate) fn power_cut(&self) {
        let world = &mut self.state().world;
        world.names = world.durable_names.clone();
        for content in world.files.values_mut() {
            content.bytes = content.durable.clone();
            content.stale = false;
            content.locks.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the call and applies the script: how many of `bytes` are moved, and the state.
    fn enter(&self, call: Call, bytes: usize) -> io::Result<(usize, MutexGuard<'_, State>)> {
        let mut state = self.state();
        let mut moved = bytes;
        let State { world, script, fired, first_error, .. } = &mut *state;
        for rule in script.iter_mut() {
            if rule.call.is_some_and(|name| name != call.name()) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                *fired += 1;
                match &mut rule.fault {
                    Fault::Error(errno) => {
                        let errno = *errno;
                        first_error.get_or_insert(errno);
                        state.calls.push(call);
                        return Err(errno.into());
                    }
                    Fault::Short => moved = bytes.div_ceil(3),
                    Fault::Nothing => moved = 0,
                    Fault::World(change) => change(world),
                }
            }
        }
        state.calls.push(call);
        Ok((moved, state))
    }

    fn file(&self, state: &mut State, inode: u64) -> Box<dyn Storage> {
        Box::new(OpenFile { disk: self.clone(), inode, owner: state.world.id() })
    }
}

impl Volume for Disk {
    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn Storage>> {
        let (_, mut state) = self.enter(Call::Open(path.into()), 0)?;
        let inode = *state.world.names.get(path).ok_or(Errno::ENOENT)?;
        Ok(self.file(&mut state, inode))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        let (_, mut state) = self.enter(Call::Create(path.into()), 0)?;
        if state.world.names.contains_key(path) {
            return Err(Errno::EEXIST.into());
        }
        let inode = state.world.id();
        state.world.files.insert(inode, Content::default());
        state.world.names.insert(path.into(), inode);
        Ok(self.file(&mut state, inode))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (_, mut state) = self.enter(Call::RenameNew(from.into(), to.into()), 0)?;
        let names = &mut state.world.names;
        if names.contains_key(to) {
            return Err(Errno::EEXIST.into());
        }
        let inode = names.remove(from).ok_or(Errno::ENOENT)?;
        names.insert(to.into(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (_, mut state) = self.enter(Call::Remove(path.into()), 0)?;
        Ok(state.world.names.remove(path).map(drop).ok_or(Errno::ENOENT)?)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        let (_, mut state) = self.enter(Call::PathIdentity(path.into()), 0)?;
        let inode = *state.world.names.get(path).ok_or(Errno::ENOENT)?;
        Ok(self.shown(&mut state, inode))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let (_, mut state) = self.enter(Call::SyncDirectory(path.into()), 0)?;
        let is_in = |name: &PathBuf| name.parent() == Some(path);
        let World { names, durable_names, .. } = &mut state.world;
        durable_names.retain(|name, _| !is_in(name));
        durable_names.extend(names.iter().filter(|(name, _)| is_in(name)).map(|(name, inode)| (name.clone(), *inode)));
        Ok(())
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: Disk,
    inode: u64,
    owner: u64,
}

impl OpenFile {
    /// A sync, with no other beside it: that could be told that all is well when the first is about to be
    /// told the contrary.
    fn sync(&self, call: Call) -> io::Result<()> {
        let beside = self.disk.syncing.fetch_add(1, Ordering::SeqCst);
        assert_eq!(beside, 0, "two syncs of one file at the same time");
        (0..self.disk.sync_yields).for_each(|_| thread::yield_now());
        let result = self.on_content(call, |content| {
            if content.stale {
                content.durable.resize(content.bytes.len(), 0);
            } else {
                content.durable = content.bytes.clone();
            }
        });
        self.mark_stale(&result);
        self.disk.syncing.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// After a write-back that failed.
    fn mark_stale(&self, result: &io::Result<()>) {
        if result.is_err() && self.disk.stale_pages {
            self.disk.state().world.files.get_mut(&self.inode).unwrap().stale = true;
        }
    }

    fn on_content<T>(&self, call: Call, action: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let (_, mut state) = self.disk.enter(call, 0)?;
        Ok(action(state.world.files.get_mut(&self.inode).unwrap()))
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

impl Storage for OpenFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        assert!((1..=self.disk.buffers_max).contains(&buffers.len()), "{} buffers in one read", buffers.len());
        let bytes = buffers.iter().map(|buffer| buffer.len()).sum();
        let (moved, state) = self.disk.enter(Call::Read { offset, bytes }, bytes)?;
        let mut left = state.world.files[&self.inode].bytes.get(index(offset)..).unwrap_or_default();
        left = &left[..left.len().min(moved)];
        let moved = left.len();
        for buffer in buffers {
            let part = left.len().min(buffer.len());
            buffer[..part].copy_from_slice(&left[..part]);
            left = &left[part..];
        }
        Ok(moved)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        assert!((1..=self.disk.buffers_max).contains(&buffers.len()), "{} buffers in one write", buffers.len());
        let data: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let call = Call::Write { offset, bytes: data.len(), buffers: buffers.len() };
        let (moved, mut state) = self.disk.enter(call, data.len())?;
        let content = &mut state.world.files.get_mut(&self.inode).unwrap().bytes;
        let (start, end) = (index(offset), index(offset) + moved);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(&data[..moved]);
        Ok(moved)
    }

    fn buffers_max(&self) -> usize {
        self.disk.buffers_max
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Call::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Call::SyncAll)
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let result = self.on_content(Call::WriteBack { offset, bytes }, |_| ());
        self.mark_stale(&result);
        result
    }

    fn drop_clean_pages(&self) -> io::Result<()> {
        self.on_content(Call::DropCleanPages, |content| {
            if std::mem::take(&mut content.stale) {
                content.bytes = content.durable.clone();
            }
        })
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.on_content(Call::SetMode(mode), |_| ())
    }

    fn check_journal(&self) -> io::Result<()> {
        self.on_content(Call::CheckJournal, |_| ())
    }

    fn length(&self) -> io::Result<u64> {
        self.on_content(Call::Length, |content| content.bytes.len() as u64)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.on_content(Call::SetLength(bytes), |content| content.bytes.resize(index(bytes), 0))
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.on_content(Call::Allocate { offset, bytes }, |content| {
            let end = index(offset + bytes);
            if content.bytes.len() < end {
                content.bytes.resize(end, 0);
            }
        })
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        let owner = self.owner;
        self.on_content(Call::TryLock(access), |content| {
            let conflict = |(&other, &theirs): (&u64, &Access)| {
                other != owner && (access == Access::ReadWrite || theirs == Access::ReadWrite)
            };
            if content.locks.iter().any(conflict) {
                return Err(Errno::EWOULDBLOCK.into());
            }
            content.locks.insert(owner, access);
            Ok(())
        })?
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        let (_, mut state) = self.disk.enter(Call::FileIdentity, 0)?;
        Ok(self.disk.shown(&mut state, self.inode))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        state.world.files.get_mut(&self.inode).unwrap().locks.remove(&self.owner);
    }
}

/// A config for [`PATH`] with slots of 8 bytes.
pub(crate) fn config() -> SlotFileConfig {
    SlotFileConfig::new(PATH, 8).module_id(7)
}
