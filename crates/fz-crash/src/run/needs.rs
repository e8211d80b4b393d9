//! The needs of a check, and the commands that install them.

use std::fs;
use std::path::Path;

use nix::unistd::Uid;

use crate::disk::device::FileSystem;

/// Why phases that make file systems and mount them cannot run.
pub(crate) fn for_disks(file_system: FileSystem) -> Result<(), String> {
    as_root()?;
    device("/dev/fuse", "the kernel's FUSE module; to load it: modprobe fuse")?;
    device("/dev/loop-control", "loop devices; to load them: modprobe loop")?;
    program("losetup", "apt-get install mount")?;
    let (maker, package) = file_system.maker();
    program(maker, &format!("apt-get install {package}"))?;
    let name = file_system.name();
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim() == name) {
        return Ok(());
    }
    // Not loaded yet; the first mount would load it, but only if it is there.
    crate::os::resources::command("modprobe", &[name.as_ref()])
        .map(drop)
        .map_err(|_| format!("{name} in the kernel; to load it: modprobe {name}"))
}

/// Why the file system whose calls fail cannot be served.
pub(crate) fn for_fuse() -> Result<(), String> {
    as_root()?;
    device("/dev/fuse", "the kernel's FUSE module; to load it: modprobe fuse")
}

/// Why nothing can be traced.
pub(crate) fn for_tracing() -> Result<(), String> {
    program("strace", "apt-get install strace")
}

fn as_root() -> Result<(), String> {
    if Uid::effective().is_root() { Ok(()) } else { Err("root, to mount; run it with sudo -E".to_owned()) }
}

fn device(path: &str, needs: &str) -> Result<(), String> {
    if Path::new(path).exists() { Ok(()) } else { Err(format!("{path}: {needs}")) }
}

fn program(name: &str, install: &str) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/sbin", "/usr/sbin"].map(Into::into));
    if places.into_iter().any(|place| place.join(name).is_file()) {
        return Ok(());
    }
    Err(format!("{name}; to install it: {install}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        assert_eq!(program("sh", "none"), Ok(()));
        let missing = program("a-program-that-does-not-exist", "apt-get install it").unwrap_err();
        assert!(missing.contains("a-program-that-does-not-exist") && missing.contains("apt-get install it"));
        assert!(device("/dev/a-device-that-does-not-exist", "that").is_err());
    }
}
