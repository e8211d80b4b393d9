//! The questions that a test may ask of a disk; none counts as an operation or meets a fault.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::SimDisk;
use crate::path::normal;
use crate::tree::inode::sectors_of;
use crate::tree::touched::Touched;
use crate::{Operation, SimStats, Tear};

#[cfg(doc)]
use crate::SimDiskConfig;

impl SimDisk {
    /// The bytes of a file, as reads see them. Not counted, no fault happens, also without power.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file, [`io::ErrorKind::IsADirectory`] for a
    /// directory.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put("/config", b"v1")?;
    /// assert_eq!(disk.contents("/config")?, b"v1");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn contents(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let tree = self.tree();
        let inode = tree.inode(tree.lookup(&normal(path.as_ref()))?);
        let mut bytes = vec![0; usize::try_from(inode.length).map_err(io::Error::other)?];
        inode.live.read(0, &mut bytes);
        Ok(bytes)
    }

    /// The paths of all files, in order.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put("/b", b"")?;
    /// disk.put("/a", b"")?;
    /// assert_eq!(disk.files(), ["/a", "/b"].map(std::path::PathBuf::from));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.tree().files().map(|(path, _)| path).collect();
        files.sort();
        files
    }

    /// The space that files use, in bytes, whole blocks of 4096.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// disk.put("/a", &[1; 5000])?;
    /// assert_eq!(disk.used_bytes(), 8192);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.tree().used_bytes()
    }

    /// Whether the power is on.
    ///
    /// ```
    /// # use fz_sim::SimDisk;
    /// let disk = SimDisk::new(1);
    /// let restarted = disk.power_cut(1);
    /// assert!(!disk.power_is_on() && restarted.power_is_on());
    /// ```
    #[must_use]
    pub fn power_is_on(&self) -> bool {
        self.shared.lock().power_is_on
    }

    /// Whether every write to these bytes of the file was covered: whether a sync that began after
    /// it had returned has succeeded, likewise for the length and the entry in the directory.
    ///
    /// It asks for more than equal bytes: a write that changed nothing and was not synced counts.
    /// False if the range reaches past the end, or there is no such file.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// file.write_all_at(b"record", 0)?;
    /// file.sync_data()?;
    /// assert!(!disk.is_durable("/log", 0..6)); // the bytes are, the name is not
    /// disk.sync_directory("/".as_ref())?;
    /// assert!(disk.is_durable("/log", 0..6));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_durable(&self, path: impl AsRef<Path>, range: Range<u64>) -> bool {
        let (tree, path) = (self.tree(), normal(path.as_ref()));
        let Ok(inode) = tree.lookup(&path) else { return false };
        let entry = tree.is_name_durable(&path);
        let inode = tree.inode(inode);
        let whole_sectors = self.shared.config.tear == Tear::Damage;
        let covered = |(sector, within): (u64, Range<usize>)| {
            let asked = if whole_sectors { Touched::ALL } else { Touched::of(within) };
            let versions = inode.sectors.get(&sector);
            versions.is_none_or(|versions| versions.iter().all(|version| !version.touched.meets(&asked)))
        };
        entry && range.end <= inode.guaranteed_length() && sectors_of(range).all(covered)
    }

    /// For each byte of the file the value that it has after every possible power cut, `None`
    /// where it depends on the cut; up to the shortest length that a cut can leave. `None` for the
    /// whole if the file's name is not durable.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/log", b"ab")?;
    /// let file = disk.open("/log".as_ref(), Access::ReadWrite)?;
    /// file.write_all_at(b"aX", 0)?;
    /// assert_eq!(disk.guaranteed("/log"), Some(vec![Some(b'a'), None])); // b or X
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn guaranteed(&self, path: impl AsRef<Path>) -> Option<Vec<Option<u8>>> {
        let (tree, path) = (self.tree(), normal(path.as_ref()));
        let inode = tree.lookup(&path).ok()?;
        tree.is_name_durable(&path).then(|| tree.inode(inode).guaranteed_bytes(self.shared.config.tear))
    }

    /// The last operations, as many as [`SimDiskConfig::history_max`] says, in the order in which
    /// they ended. With one thread, equal seeds and equal calls give equal histories.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// file.write_all_at(b"record", 0)?;
    /// let shown: Vec<_> = disk.history().iter().map(ToString::to_string).collect();
    /// assert_eq!(shown, ["#1 create /log = 0", "#2 write /log 0+6 = 6"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn history(&self) -> Vec<Operation> {
        self.shared.lock().history.to_vec()
    }

    /// How many operations have begun.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.create("/log".as_ref())?;
    /// assert_eq!(disk.operations(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// Counts of operations and faults.
    ///
    /// ```
    /// # use fz_sim::{Op, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// let file = disk.create("/log".as_ref())?;
    /// file.write_all_at(b"record", 0)?;
    /// assert_eq!((disk.stats().calls(Op::Write), disk.stats().bytes_written()), (1, 6));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> SimStats {
        self.shared.lock().stats.clone()
    }
}
