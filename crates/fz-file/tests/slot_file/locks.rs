//! One writer or many readers, across openers in this process and in others.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use fz_file::{FileErrorKind, Result, SlotFile, SlotFileConfig};

use crate::disk::{Disk, PATH, Rule, config};

fn writer(path: &Path) -> Result<SlotFile> {
    SlotFile::open(SlotFileConfig::new(path, 8).initial_slots(1))
}

fn reader(path: &Path) -> Result<SlotFile> {
    SlotFile::open(SlotFileConfig::new(path, 8).read_only(true))
}

fn assert_locked(result: Result<SlotFile>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::Locked);
    assert_eq!(error.operation(), "open");
}

#[test]
fn g_a_file_has_one_writer_or_many_readers_in_a_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let first = writer(&path).unwrap();
    assert_locked(writer(&path));
    assert_locked(reader(&path));
    drop(first);
    let readers = [reader(&path).unwrap(), reader(&path).unwrap()];
    assert_locked(writer(&path));
    drop(readers);
    writer(&path).unwrap();
}

/// The variable that makes a process of this test the other process.
const CHILD_PATH: &str = "FZ_FILE_TEST_CHILD_PATH";

/// A process that opens the file and holds it until its input ends.
struct OtherProcess {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl OtherProcess {
    /// Starts this very test in another process.
    fn start(test: &str, path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(CHILD_PATH, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    /// What came of its open.
    fn said(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it says what it got");
            if let Some((_, said)) = line.trim_end().split_once("child: ") {
                return said.to_owned();
            }
        }
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn g_a_file_locked_by_another_process_is_an_error_at_once() {
    if let Some(path) = std::env::var_os(CHILD_PATH) {
        let file = writer(path.as_ref());
        let said = match &file {
            Ok(file) => format!("{} slots", file.slots()),
            Err(error) => error.to_string(),
        };
        writeln!(std::io::stdout(), "child: {said}").unwrap();
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let test = "locks::g_a_file_locked_by_another_process_is_an_error_at_once";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");

    let mut other = OtherProcess::start(test, &path);
    assert_eq!(other.said(), "1 slots");
    assert_locked(writer(&path));
    assert_locked(reader(&path));
    // A process that is killed holds no lock.
    drop(other);
    let file = writer(&path).unwrap();

    let mut other = OtherProcess::start(test, &path);
    let said = other.said();
    assert!(said.contains("locked by another opener"), "{said}");
    drop(other.process.stdin.take());
    assert!(other.process.wait().unwrap().success());
    drop(file);
}

/// The lock is on the file that the path means, also if that changes just before.
#[test]
fn a_file_replaced_between_its_open_and_its_lock_is_opened_again() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[1; 8]));
    disk.script(Rule::before("TryLock", |world| world.put(PATH, &[2; 16])));
    let file = disk.open(config()).unwrap();
    assert_eq!(file.slots(), 2);
    file.write(0, &[3; 8]).unwrap();
    assert_eq!(disk.bytes(PATH).unwrap(), [[3; 8], [2; 8]].concat());

    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[1; 8]));
    disk.script(Rule::before("TryLock", |world| world.unlink(PATH)));
    assert_eq!(disk.open(config().initial_slots(3)).unwrap().slots(), 3);
}

#[test]
fn a_path_that_is_replaced_again_and_again_is_an_error_in_the_end() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[1; 8]));
    let mut rule = Rule::before("TryLock", |world| world.put(PATH, &[1; 8]));
    rule.times = usize::MAX;
    disk.script(rule);
    let error = disk.open(config()).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::PathUnstable { attempts: 32 });
}
