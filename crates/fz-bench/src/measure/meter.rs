//! What the operating system counts about this process and the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::stat::{major, minor};

use crate::measure::figures::Figures;
use crate::measure::machine;

/// A running measurement; [`stop`](Self::stop) turns it into figures.
#[derive(Debug)]
pub(crate) struct Meter {
    device: Option<PathBuf>,
    began: Instant,
    before: Counters,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    cpu_s: f64,
    switches: f64,
    /// Bytes of the page cache that this process made dirty, whole blocks of the cache, which may be larger
    /// than a page: for small records far more than goes to the device.
    written: Option<f64>,
    /// Bytes, and flush requests, of the whole device: of other processes too.
    device: Option<(f64, f64)>,
}

impl Meter {
    pub(crate) fn start(directory: &Path) -> Self {
        let device = device_of(directory);
        let before = Counters::now(device.as_deref());
        Self { device, began: Instant::now(), before }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Adds what `records` records of `bytes` bytes cost each. Returns the seconds it took.
    pub(crate) fn stop(&self, figures: &mut Figures, records: f64, bytes: usize) -> f64 {
        let seconds = self.seconds();
        let now = Counters::now(self.device.as_deref());
        let before = &self.before;
        let cpu_s = now.cpu_s - before.cpu_s;
        let payload = records * bytes as f64;
        let mut set = |key: &str, value: f64| {
            // Nothing done in the time is no figure, and JSON has no infinity.
            if value.is_finite() {
                figures.insert(key.to_owned(), value);
            }
        };
        set("cpu_s", cpu_s);
        set("cpu_us", cpu_s * 1e6 / records);
        set("switches", (now.switches - before.switches) / records);
        if let (Some(now), Some(before)) = (now.written, before.written) {
            set("amplification", (now - before) / payload);
        }
        if let (Some(now), Some(before)) = (now.device, before.device) {
            set("device_amplification", (now.0 - before.0) / payload);
            set("device_flushes", (now.1 - before.1) / records);
        }
        if let Some(peak) = peak_mib() {
            set("peak_mib", peak);
        }
        seconds
    }

    /// Adds what a second of doing nothing cost.
    pub(crate) fn stop_idle(&self, figures: &mut Figures) {
        let seconds = self.seconds();
        let (now, before) = (Counters::now(self.device.as_deref()), &self.before);
        figures.insert("cpu_us_per_s".to_owned(), (now.cpu_s - before.cpu_s) * 1e6 / seconds);
        figures.insert("switches_per_s".to_owned(), (now.switches - before.switches) / seconds);
    }
}

impl Counters {
    fn now(device: Option<&Path>) -> Self {
        let mut counters = Self { written: written(), device: device.and_then(device_counters), ..Self::default() };
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            counters.cpu_s = machine::cpu_seconds(&usage);
            counters.switches = (usage.voluntary_context_switches() + usage.involuntary_context_switches()) as f64;
        }
        counters
    }
}

/// proc(5): `write_bytes` of `/proc/self/io`.
fn written() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

/// The `stat` file of the device that a directory is on, or of the disk if it is a partition.
fn device_of(directory: &Path) -> Option<PathBuf> {
    let device = fs::metadata(directory).ok()?.dev();
    let link = PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)));
    let block = fs::canonicalize(link).ok()?;
    // Only whole disks count flushes.
    let disk = if block.join("partition").exists() { block.parent()?.to_owned() } else { block };
    Some(disk.join("stat"))
}

/// Linux, Documentation/block/stat.rst: field 7 is sectors written, field 16 flush requests.
fn device_counters(stat: &Path) -> Option<(f64, f64)> {
    let text = fs::read_to_string(stat).ok()?;
    let fields: Vec<f64> = text.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    Some((fields.get(6)? * 512.0, *fields.get(15)?))
}

/// proc(5): `VmHWM` of `/proc/self/status`.
fn peak_mib() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}
