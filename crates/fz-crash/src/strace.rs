//! Runs a child under `strace`, with calls that fail if asked to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::{self, Line};
use crate::plan::Plan;
use crate::trace::{self, Event};

/// Calls whose arguments are shown as plain numbers: the bytes that they write would be many.
const RAW: &str = "pwritev,pwritev2,pwrite64,fdatasync,fsync";

/// The calls by which a slot file comes to be and is written.
pub(crate) const CALLS: [&str; 8] =
    ["openat", "ftruncate", "fallocate", "pwritev", "fdatasync", "fsync", "renameat2", "flock"];

/// A traced child.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) events: Vec<Event>,
    pub(crate) said: Vec<Line>,
    /// What strace and the child said on their standard errors.
    pub(crate) errors: String,
}

/// The words that trace a child running `plan` on the file `slots` in `directory`.
///
/// Each of `injections` is `CALL:error=NAME:when=N`. They hit calls on the slot file, its temporary name and
/// its directory only, not those by which the child itself is loaded.
pub(crate) fn command_line(plan: &Plan, directory: &Path, injections: &[String]) -> io::Result<Vec<OsString>> {
    let mut words: Vec<OsString> =
        ["strace", "-f", "-qq", "-s", "64", "--seccomp-bpf", "-e", "signal=none"].map(OsString::from).into();
    words.extend(["-e".into(), format!("trace=write,pwritev2,pwrite64,{}", CALLS.join(",")).into()]);
    words.extend(["-e".into(), format!("raw={RAW}").into(), "-o".into(), trace_path(directory).into()]);
    for path in [slots_path(directory), directory.join(".slots.creating"), directory.to_owned(), said_path(directory)] {
        words.extend(["-P".into(), path.into()]);
    }
    for injection in injections {
        words.extend(["-e".into(), format!("inject={injection}").into()]);
    }
    words.push("--".into());
    words.extend(child::command_line(plan, &slots_path(directory), true)?);
    Ok(words)
}

/// Where the child's slot file is.
pub(crate) fn slots_path(directory: &Path) -> PathBuf {
    directory.join("slots")
}

fn said_path(directory: &Path) -> PathBuf {
    directory.join("said")
}

fn trace_path(directory: &Path) -> PathBuf {
    directory.join("trace")
}

/// Runs [`command_line`] to its end.
pub(crate) fn run(plan: &Plan, directory: &Path, injections: &[String]) -> io::Result<Traced> {
    let words = command_line(plan, directory, injections)?;
    let said = File::create(said_path(directory))?;
    let output =
        Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(said).stderr(Stdio::piped()).output()?;
    let trace = fs::read(trace_path(directory))?;
    Ok(Traced {
        events: trace::parse(&String::from_utf8_lossy(&trace)),
        said: child::listen(File::open(said_path(directory))?)?,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
