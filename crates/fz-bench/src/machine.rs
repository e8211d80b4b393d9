//! Which machine this is, and how busy.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::time::TimeVal;
use nix::sys::utsname::uname;
use serde_json::{Value, json};

use crate::Outcome;

/// When other processes have more than this share of the processors' time, figures are doubtful.
pub(crate) const FOREIGN_MAX: f64 = 0.05;

/// What every result carries with it.
pub(crate) fn describe(directory: &Path) -> Value {
    let kernel = uname().map(|name| {
        let words = [name.sysname(), name.release(), name.machine()];
        words.map(|word| word.to_string_lossy().into_owned()).join(" ")
    });
    json!({
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": processor(),
        "memory": first_line("/proc/meminfo"),
        "kernel": kernel.unwrap_or_default(),
        "file_system": file_system(directory),
        "rustc": rustc(),
        "commit": output("git", &["describe", "--always", "--dirty", "--abbrev=10"]),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Running processes, averaged over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// Processor seconds that the whole machine has spent so far, not counting idling.
pub(crate) fn busy_seconds() -> f64 {
    // proc(5): user nice system idle iowait irq softirq steal, in units of USER_HZ, which is 100 on
    // every architecture that this project is tested on.
    const HERTZ: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|at| ticks.get(at));
    busy.sum::<f64>() / HERTZ
}

/// Processor seconds of this process, which removes what turns leave, and of its children that have ended.
pub(crate) fn our_seconds() -> f64 {
    let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN];
    both.into_iter().filter_map(|who| getrusage(who).ok()).map(|usage| cpu_seconds(&usage)).sum()
}

/// User and system time.
pub(crate) fn cpu_seconds(usage: &Usage) -> f64 {
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// A figure from a file system in memory would be a lie about durability.
pub(crate) fn refuse_memory(directory: &Path) -> Outcome<()> {
    let kind = statfs(directory)?.filesystem_type();
    if kind == TMPFS_MAGIC {
        let text = format!(
            "{} is on tmpfs, which makes nothing durable; name a directory on a disk with --dir",
            directory.display()
        );
        return Err(text.into());
    }
    Ok(())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1).map(str::to_owned));
    model.unwrap_or_default()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn file_system(directory: &Path) -> String {
    output("df", &["--output=fstype", &directory.to_string_lossy()]).lines().last().unwrap_or_default().to_owned()
}

fn rustc() -> String {
    output("rustc", &["--version"])
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
