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

/// When other processes and the host together have more than this share of the processors' time, figures are doubtful.
pub(crate) const ELSEWHERE_MAX: f64 = 0.05;

/// Which share of the processors' time in a turn the contestant could not have had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Elsewhere {
    /// Not the contestant's own: other processes, and the kernel's own threads and interrupts, some of which
    /// the contestant's I/O calls for.
    pub(crate) processes: f64,
    /// Steal: a virtual machine's processor had work and the host gave its time to another guest.
    pub(crate) stolen: f64,
}

impl Elsewhere {
    pub(crate) fn is_doubtful(self) -> bool {
        self.processes + self.stolen > ELSEWHERE_MAX
    }
}

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

/// How long the processors were busy so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processors {
    /// The whole machine, not counting idling and steal.
    busy: f64,
    stolen: f64,
    /// This process, which removes what turns leave, and its children that have ended.
    ours: f64,
}

impl Processors {
    pub(crate) fn now() -> Self {
        let (busy, stolen) = busy_and_stolen(&fs::read_to_string("/proc/stat").unwrap_or_default());
        let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN];
        let ours = both.into_iter().filter_map(|of| getrusage(of).ok()).map(|usage| cpu_seconds(&usage)).sum();
        Self { busy, stolen, ours }
    }

    /// What went elsewhere in the `seconds` from `self` until `after`.
    pub(crate) fn elsewhere(&self, after: &Self, seconds: f64) -> Elsewhere {
        let all = seconds * std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let processes = after.busy - self.busy - (after.ours - self.ours);
        // Ticks are coarser than the clock of a process, so that a difference may be below nothing.
        Elsewhere { processes: (processes / all).max(0.0), stolen: ((after.stolen - self.stolen) / all).max(0.0) }
    }
}

/// The seconds of all processors together in the text of `/proc/stat`.
fn busy_and_stolen(stat: &str) -> (f64, f64) {
    // proc(5): user nice system idle iowait irq softirq steal, in units of USER_HZ, which is 100 on
    // every architecture that this project is tested on.
    const HERTZ: f64 = 100.0;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let seconds: Vec<f64> = fields.filter_map(|field| Some(field.parse::<f64>().ok()? / HERTZ)).collect();
    let of = |places: &[usize]| places.iter().filter_map(|&at| seconds.get(at)).sum();
    (of(&[0, 1, 2, 5, 6]), of(&[7]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_told_from_what_processes_had() {
        let (busy, stolen) = busy_and_stolen("cpu  100 200 300 4000 5000 10 20 700 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        assert!((busy - 6.3).abs() < 1e-9 && (stolen - 7.0).abs() < 1e-9, "{busy} {stolen}");
        let after = Processors { busy: 6.0, stolen: 3.0, ours: 4.0 };
        let elsewhere = Processors { busy: 1.0, stolen: 1.0, ours: 1.0 }.elsewhere(&after, 10.0);
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        assert_eq!(elsewhere, Elsewhere { processes: 2.0 / 10.0 / processors, stolen: 2.0 / 10.0 / processors });
    }

    #[test]
    fn a_little_of_both_is_as_doubtful_as_much_of_one() {
        let doubtful = |processes, stolen| Elsewhere { processes, stolen }.is_doubtful();
        assert!(!doubtful(0.0, 0.0) && !doubtful(0.02, 0.02));
        assert!(doubtful(0.06, 0.0) && doubtful(0.0, 0.06) && doubtful(0.03, 0.03));
    }
}
