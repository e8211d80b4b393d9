//! The resources of the process: memory, descriptors, threads.

use std::fmt;
use std::fs;
use std::io;

/// The resources of a process that can leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Gauge {
    /// Reads it from `/proc`.
    ///
    /// # Errors
    ///
    /// There is no such file system, or it says something else than Linux does.
    pub(crate) fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        // The directory that is being read is a descriptor too.
        let descriptors = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
        Ok(Self {
            resident_bytes: field(&status, "VmRSS:")? * 1024,
            descriptors: u64::try_from(descriptors).map_err(io::Error::other)?,
            threads: field(&status, "Threads:")?,
        })
    }

    /// What this gauge, read later, says about leaks since `before`: memory may have grown by an
    /// eighth and 8 MiB, which the allocator's arenas take or not; nothing else may.
    ///
    /// # Errors
    ///
    /// What grew, and by how much.
    pub(crate) fn is_flat_since(&self, before: &Self) -> Result<(), String> {
        let memory_max = before.resident_bytes + before.resident_bytes / 8 + (8 << 20);
        if self.resident_bytes > memory_max {
            return Err(format!(
                "memory grew from {} to {} KiB",
                before.resident_bytes >> 10,
                self.resident_bytes >> 10
            ));
        }
        if self.descriptors > before.descriptors {
            return Err(format!("open descriptors grew from {} to {}", before.descriptors, self.descriptors));
        }
        if self.threads > before.threads {
            return Err(format!("threads grew from {} to {}", before.threads, self.threads));
        }
        Ok(())
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident_bytes, descriptors, threads } = self;
        write!(f, "{} KiB, {descriptors} descriptors, {threads} threads", resident_bytes >> 10)
    }
}

fn field(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).ok_or_else(|| io::Error::other(format!("{name} is not in /proc")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Gauge = Gauge { resident_bytes: 16 << 20, descriptors: 6, threads: 3 };

    #[test]
    fn a_leak_of_memory_descriptors_or_threads_is_seen() {
        assert!(BEFORE.is_flat_since(&BEFORE).is_ok());
        assert!(Gauge { resident_bytes: 27 << 20, ..BEFORE }.is_flat_since(&BEFORE).is_err());
        assert!(Gauge { descriptors: 7, ..BEFORE }.is_flat_since(&BEFORE).is_err());
        assert!(Gauge { threads: 4, ..BEFORE }.is_flat_since(&BEFORE).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_file_is_counted() {
        let before = Gauge::read().unwrap();
        let files: Vec<_> = (0..100).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        // Other tests of this process open and close some at the same time.
        assert!(Gauge::read().unwrap().descriptors > before.descriptors + 50);
        drop(files);
    }
}
