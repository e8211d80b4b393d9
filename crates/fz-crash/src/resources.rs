//! What must not be left behind: mounts, loop devices, directories. Each is undone when its value is
//! dropped, and all of them when the process is told to stop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};
use nix::sys::signal::{SigSet, Signal};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Directory(PathBuf),
    Loop(PathBuf),
    Mount(PathBuf),
    /// A mount whose requests this process answers.
    Served(PathBuf),
}

/// In the order in which they were made.
static HELD: Mutex<Vec<Resource>> = Mutex::new(Vec::new());

/// Set before everything is undone: nothing new is to be made, and what fails from now on means nothing.
static STOPPING: AtomicBool = AtomicBool::new(false);

fn held() -> MutexGuard<'static, Vec<Resource>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resource {
    fn hold(&self) {
        held().push(self.clone());
    }

    /// False if somebody else undid it already.
    fn let_go(&self) -> bool {
        let mut held = held();
        let place = held.iter().rposition(|other| other == self);
        place.map(|place| held.remove(place)).is_some()
    }

    fn undo(&self) {
        match self {
            // What was mounted below was made later, and is undone before.
            Self::Directory(path) => drop(fs::remove_dir_all(path)),
            Self::Loop(path) => drop(command("losetup", &["--detach".as_ref(), path.as_os_str()])),
            Self::Mount(path) | Self::Served(path) => {
                if umount(path).is_err() {
                    let _ = umount2(path, MntFlags::MNT_DETACH);
                }
            }
        }
    }
}

/// Undoes everything and ends the process when it is interrupted or told to stop.
///
/// # Errors
///
/// The signals could not be blocked.
pub(crate) fn clean_up_when_stopped() -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Every thread that is started later inherits this; so only the one below takes them.
    signals.thread_block()?;
    thread::Builder::new().name("fz-crash-stop".to_owned()).spawn(move || {
        let _ = signals.wait();
        // SeqCst with the load in `Directory::new`; nothing here is hot.
        STOPPING.store(true, Ordering::SeqCst);
        let all: Vec<_> = held().drain(..).collect();
        // Our threads may wait, deep in the kernel, for answers that our own server would have to give: they
        // would keep the process from ending, and it the server. This fails all requests first.
        for resource in &all {
            if let Resource::Served(path) = resource {
                let _ = umount2(path, MntFlags::MNT_FORCE);
            }
        }
        all.iter().rev().for_each(Resource::undo);
        std::process::exit(130);
    })?;
    Ok(())
}

/// Ends the process as if somebody had told it to stop.
pub(crate) fn stop() {
    // Without our own thread to take it, the signal's default ends the process as well.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), Signal::SIGTERM);
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// It could not be started, or failed; then with what it said.
pub(crate) fn command(program: &str, arguments: &[&std::ffi::OsStr]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {arguments:?}: {}: {}", output.status, said.trim())))
}

/// A new directory, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        if STOPPING.load(Ordering::SeqCst) {
            return Err(io::Error::other("told to stop"));
        }
        fs::create_dir_all(parent)?;
        let path = tempfile::Builder::new().prefix("fz-crash-").tempdir_in(parent)?.keep();
        Resource::Directory(path.clone()).hold();
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it.
    pub(crate) fn make(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Leaves it for somebody to look at.
    pub(crate) fn keep(self) -> PathBuf {
        Resource::Directory(self.path.clone()).let_go();
        self.path.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let resource = Resource::Directory(self.path.clone());
        if resource.let_go() {
            resource.undo();
        }
    }
}

/// A mounted file system, unmounted when this is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    resource: Resource,
    target: PathBuf,
}

impl Mount {
    /// Mounts `device` at `target`.
    pub(crate) fn new(device: &Path, target: &Path, kind: &str, options: &str) -> io::Result<Self> {
        mount(Some(device), target, Some(kind), MsFlags::empty(), Some(options))?;
        Ok(Self::hold(Resource::Mount(target.to_owned()), target))
    }

    /// Takes over what this process serves at `target`.
    pub(crate) fn served(target: &Path) -> Self {
        Self::hold(Resource::Served(target.to_owned()), target)
    }

    fn hold(resource: Resource, target: &Path) -> Self {
        resource.hold();
        Self { resource, target: target.to_owned() }
    }

    /// Unmounts it now. Waits while somebody, such as a scanner of new mounts, holds a file open.
    pub(crate) fn unmount(self) -> io::Result<()> {
        for _ in 0..100 {
            match umount(&self.target) {
                Err(nix::errno::Errno::EBUSY) => thread::sleep(Duration::from_millis(10)),
                result => {
                    if result.is_ok() {
                        self.resource.let_go();
                    }
                    return Ok(result?);
                }
            }
        }
        Err(io::Error::other(format!("{} stays busy and cannot be unmounted", self.target.display())))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.resource.let_go() {
            self.resource.undo();
        }
    }
}

/// Holds a loop device; see [`LoopDevice`](crate::disk::device::LoopDevice).
#[derive(Debug)]
pub(crate) struct Attached {
    path: PathBuf,
}

impl Attached {
    pub(crate) fn adopt(path: PathBuf) -> Self {
        Resource::Loop(path.clone()).hold();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let resource = Resource::Loop(self.path.clone());
        if resource.let_go() {
            resource.undo();
        }
    }
}
