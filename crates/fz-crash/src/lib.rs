#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod content;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod history;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod random;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod resources;
#[cfg(target_os = "linux")]
mod workload;

/// temp
#[cfg(target_os = "linux")]
pub fn try_power(fs: &str, states: u64, seed: u64) -> std::process::ExitCode {
    let fs = match fs { "ext4" => disk::device::FileSystem::Ext4, "xfs" => disk::device::FileSystem::Xfs, _ => disk::device::FileSystem::Btrfs };
    resources::clean_up_when_stopped().unwrap();
    let mut report = report::Report::new(false);
    report.phase("power", "", || power::check(fs, seed, power::Budget { states, until: None }, &std::env::temp_dir()));
    report.finish()
}
