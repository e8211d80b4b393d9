//! Mounts, loop devices, directories and processes, none of which may be left behind. Each is undone when its value
//! is dropped, and all of them when the process is told to stop.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Directory(PathBuf),
    Loop(PathBuf),
    Mount(PathBuf),
    /// A mount whose requests this process answers.
    Served(PathBuf),
    /// A process that undoes what it holds itself.
    Process(Pid),
    /// A group of processes that hold nothing.
    Group(Pid),
}

/// Between two looks at what is waited for, and the most looks: at a directory that is not empty, at what is changing,
/// and at a process that was told to stop, which may do all of that itself.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS_AT_DIRECTORY_MAX: u32 = 20;
const LOOKS_AT_CHANGES_MAX: u32 = 500;
const LOOKS_AT_PROCESS_MAX: u32 = 2_000;

/// What is held, by this process or by a test.
#[derive(Debug)]
struct Holder {
    /// In the order in which they were made.
    held: Mutex<Vec<Resource>>,
    /// Read while something changes: is made, from before it is there until it is held, or is undone by its owner.
    changing: RwLock<()>,
    /// Set before everything is undone: nothing new is to be made, and what fails from now on means nothing.
    stopping: AtomicBool,
}

static HOLDER: Holder = Holder::new();

impl Holder {
    const fn new() -> Self {
        Self { held: Mutex::new(Vec::new()), changing: RwLock::new(()), stopping: AtomicBool::new(false) }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Resource>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> RwLockReadGuard<'_, ()> {
        self.changing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes something that must not be left behind.
    ///
    /// # Errors
    ///
    /// It could not be made, or the process was told to stop.
    fn make<T>(&self, make: impl FnOnce() -> io::Result<(T, Resource)>) -> io::Result<T> {
        let _changing = self.changing();
        // SeqCst with the store in `empty`; nothing here is hot.
        if self.stopping.load(Ordering::SeqCst) {
            return Err(io::Error::other("told to stop"));
        }
        let (made, resource) = make()?;
        self.held().push(resource);
        Ok(made)
    }

    /// Undoes everything, also a resource that is being made at this moment, waits for those that other threads are
    /// undoing, and lets nothing new be made.
    fn empty(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for _ in 0..LOOKS_AT_CHANGES_MAX {
            // A thread that makes or undoes something may wait for a process or mount that this ends. The
            // directories are left: such a thread may be about to mount there.
            self.undo_held(|held| !matches!(held, Resource::Directory(_)));
            if !matches!(self.changing.try_write(), Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(LOOK);
        }
        self.undo_held(|_| true);
    }

    fn halt_if_stopping(&self) {
        while self.stopping.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    fn undo_held(&self, which: impl Fn(&Resource) -> bool) {
        let taken: Vec<_> = self.held().extract_if(.., |held| which(held)).collect();
        let (processes, others): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|held| matches!(held, Resource::Process(_) | Resource::Group(_)));
        // First, since they would write on in the directories and mounts.
        processes.iter().for_each(Resource::undo);
        // Our threads may wait, deep in the kernel, for answers that our own server would have to give: they
        // would keep the process from ending, and it the server. This fails all requests first.
        for resource in &others {
            if let Resource::Served(path) = resource {
                let _ = umount2(path, MntFlags::MNT_FORCE);
            }
        }
        others.iter().rev().for_each(Resource::undo);
    }
}

impl Resource {
    /// False if another thread undid it already.
    fn let_go(&self) -> bool {
        let mut held = HOLDER.held();
        let place = held.iter().rposition(|other| other == self);
        place.map(|place| held.remove(place)).is_some()
    }

    /// Undoes it for its owner, unless that is done.
    fn end(&self) {
        let _changing = HOLDER.changing();
        if self.let_go() {
            self.undo();
        }
    }

    fn undo(&self) {
        match self {
            // What was mounted below was made later, and is undone before. A process that was killed may still make a
            // file there.
            Self::Directory(path) => {
                for _ in 0..LOOKS_AT_DIRECTORY_MAX {
                    if fs::remove_dir_all(path).is_ok() || !path.exists() {
                        break;
                    }
                    thread::sleep(LOOK);
                }
            }
            Self::Loop(path) => drop(command("losetup", &["--detach".as_ref(), path.as_os_str()])),
            Self::Mount(path) | Self::Served(path) => {
                if umount(path).is_err() {
                    let _ = umount2(path, MntFlags::MNT_DETACH);
                }
            }
            Self::Process(process) => {
                let _ = kill(*process, Signal::SIGTERM);
                // The thread that started it waits for it, and then it is gone.
                for _ in 0..LOOKS_AT_PROCESS_MAX {
                    if kill(*process, None).is_err() {
                        break;
                    }
                    thread::sleep(LOOK);
                }
            }
            Self::Group(group) => {
                let _ = killpg(*group, Signal::SIGKILL);
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
        HOLDER.empty();
        std::process::exit(130);
    })?;
    Ok(())
}

/// Does not return once the process was told to stop. What fails from then on means nothing, and a return from
/// `main` would end the process before everything is undone.
pub(crate) fn halt_if_stopping() {
    HOLDER.halt_if_stopping();
}

/// Ends the process as a signal to stop would.
pub(crate) fn stop() {
    // Without our own thread to take it, the signal's default ends the process as well.
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// It could not be started, or failed; then with what it said.
pub(crate) fn command(program: &str, arguments: &[&OsStr]) -> io::Result<String> {
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
        Self::named(parent, "fz-crash-")
    }

    /// One whose name begins with `prefix`.
    pub(crate) fn named(parent: &Path, prefix: &str) -> io::Result<Self> {
        HOLDER.make(|| {
            fs::create_dir_all(parent)?;
            let path = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?.keep();
            Ok((Self { path: path.clone() }, Resource::Directory(path)))
        })
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

    /// Leaves it to be looked at.
    pub(crate) fn keep(self) -> PathBuf {
        Resource::Directory(self.path.clone()).let_go();
        self.path.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        Resource::Directory(self.path.clone()).end();
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
        HOLDER.make(|| {
            mount(Some(device), target, Some(kind), MsFlags::empty(), Some(options))?;
            Ok(Self::at(target, Resource::Mount(target.to_owned())))
        })
    }

    /// Mounts what `serve` begins to serve at `target`, and what it returned beside it.
    pub(crate) fn serve<T>(target: &Path, serve: impl FnOnce() -> io::Result<T>) -> io::Result<(Self, T)> {
        HOLDER.make(|| {
            let session = serve()?;
            let (mount, resource) = Self::at(target, Resource::Served(target.to_owned()));
            Ok(((mount, session), resource))
        })
    }

    fn at(target: &Path, resource: Resource) -> (Self, Resource) {
        (Self { resource: resource.clone(), target: target.to_owned() }, resource)
    }

    /// Unmounts it now. Waits while another process, such as a scanner of new mounts, holds a file open.
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
        self.resource.end();
    }
}

/// Holds a loop device; see [`LoopDevice`](crate::disk::device::LoopDevice).
#[derive(Debug)]
pub(crate) struct Attached {
    path: PathBuf,
}

impl Attached {
    /// A free one on `file`, with more options of `losetup(8)`.
    pub(crate) fn new(file: &Path, options: &[&str]) -> io::Result<Self> {
        let options = ["--find", "--show"].iter().chain(options).map(OsStr::new);
        let arguments: Vec<&OsStr> = options.chain([file.as_os_str()]).collect();
        HOLDER.make(|| {
            let path = PathBuf::from(command("losetup", &arguments)?);
            Ok((Self { path: path.clone() }, Resource::Loop(path)))
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        Resource::Loop(self.path.clone()).end();
    }
}

/// A process that does not outlive this one when that is told to stop. Its end, however it comes, is waited for with
/// [`child::end`](crate::subject::child::end).
#[derive(Debug)]
pub(crate) struct Running {
    resource: Resource,
}

impl Running {
    /// Starts a process that cleans up when it is told to stop.
    pub(crate) fn process(command: &mut Command) -> io::Result<(Self, Child)> {
        Self::start(command, Resource::Process)
    }

    /// Starts a process that leads a group of its own, all of which is to be killed.
    pub(crate) fn group(command: &mut Command) -> io::Result<(Self, Child)> {
        Self::start(command.process_group(0), Resource::Group)
    }

    fn start(command: &mut Command, resource: impl FnOnce(Pid) -> Resource) -> io::Result<(Self, Child)> {
        HOLDER.make(|| {
            let child = command.spawn()?;
            let resource = resource(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?));
            Ok(((Self { resource: resource.clone() }, child), resource))
        })
    }

    /// Tells it to stop and gives it some time, or kills the group.
    pub(crate) fn stop(&self) {
        self.resource.undo();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end was waited for, and its number may be another's by now.
        self.resource.let_go();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::sync::mpsc::channel;

    use super::*;

    /// A loop device that `losetup` was about to give, when everything that was held was undone, stayed for ever.
    #[test]
    fn what_is_being_made_while_all_is_undone_is_undone_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let [outer, late] = ["outer", "late"].map(|name| directory.path().join(name));
        let make = |path: &PathBuf| {
            fs::create_dir(path)?;
            Ok(((), Resource::Directory(path.clone())))
        };
        let holder = Holder::new();
        holder.make(|| make(&outer)).unwrap();
        let mount = Resource::Mount(directory.path().join("nothing is mounted here"));
        holder.make(|| Ok(((), mount.clone()))).unwrap();
        let (began, begun) = channel();
        thread::scope(|scope| {
            let (holder, outer, late) = (&holder, &outer, &late);
            scope.spawn(move || {
                holder.make(|| {
                    began.send(()).unwrap();
                    // What was mounted before is undone already.
                    while holder.held().contains(&mount) {
                        thread::yield_now();
                    }
                    assert!(outer.exists(), "something may be about to be mounted there");
                    make(late)
                })
            });
            begun.recv().unwrap();
            holder.empty();
        });
        assert!(!outer.exists() && !late.exists());
        assert!(holder.held().is_empty());
        holder.make(|| make(&outer)).unwrap_err();
        assert!(!outer.exists(), "nothing new is made");
    }

    /// The main thread ended the process, with failures that the stop had caused, while loop devices were still held.
    #[test]
    fn nobody_gets_on_with_what_failed_once_all_is_being_undone() {
        let holder: &'static Holder = Box::leak(Box::new(Holder::new()));
        let (sender, got_on) = channel();
        let get_on = |sender: std::sync::mpsc::Sender<()>| {
            // Where it halts it stays behind.
            thread::spawn(move || {
                holder.halt_if_stopping();
                sender.send(()).unwrap();
            });
        };
        get_on(sender.clone());
        got_on.recv().unwrap();
        holder.empty();
        get_on(sender);
        got_on.recv_timeout(Duration::from_millis(20)).unwrap_err();
    }

    /// `strace` and its child wrote on for minutes when the check was told to stop.
    #[test]
    fn a_group_of_processes_is_held_while_it_runs_and_killed_when_all_is_undone() {
        let mut waits = Command::new("sh");
        waits.args(["-c", "cat; exit 3"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (running, mut child) = Running::group(&mut waits).unwrap();
        let resource = running.resource.clone();
        assert!(HOLDER.held().contains(&resource));
        let holder = Holder::new();
        holder.make(|| Ok(((), resource.clone()))).unwrap();
        holder.empty();
        // Taken apart, since waiting for it would close it.
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        // Its `cat` as well.
        let _ = input.write_all(b"are you there?");
        drop(input);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
        drop(running);
        assert!(!HOLDER.held().contains(&resource));
    }

    /// The directory of a check that was told to stop was removed while it still unmounted there.
    #[test]
    fn a_process_that_cleans_up_is_told_to_and_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let done = directory.path().join("done");
        let mut cleans = Command::new("sh");
        cleans.arg("-c").arg(
            r#"trap 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; : > "$0"; exit' TERM
            echo ready; while :; do :; done"#,
        );
        cleans.arg(&done).stdout(Stdio::piped());
        let (running, mut child) = Running::process(&mut cleans).unwrap();
        let mut ready = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let waits = thread::spawn(move || child.wait());
        running.stop();
        assert!(done.exists());
        waits.join().unwrap().unwrap();
    }
}
