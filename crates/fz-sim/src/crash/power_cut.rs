//! The error of a disk without power.

use std::error::Error;
use std::fmt;
use std::io;

/// The error of every call on a disk whose power is off; it arrives inside an [`io::Error`] of
/// kind [`Other`](io::ErrorKind::Other).
///
/// A run under test sees it from the moment of the cut on, so that its threads come to their end.
///
/// ```
/// use fz_sim::{PowerCut, SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// let after = disk.power_cut(7);
/// let error = disk.volume().create("/late".as_ref()).unwrap_err();
/// assert!(PowerCut::is(&error));
/// assert!(after.volume().create("/late".as_ref()).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PowerCut;

impl PowerCut {
    /// Whether `error`, or one of its causes, is the power cut.
    ///
    /// ```
    /// # use fz_sim::{Errno, PowerCut, SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// let restarted = disk.power_cut(1);
    /// assert!(PowerCut::is(&disk.sync_directory("/".as_ref()).unwrap_err()));
    /// assert!(!PowerCut::is(&Errno::Eio.to_io()));
    /// # let _ = restarted;
    /// ```
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        Self::caused(error)
    }

    /// Whether the power cut is among the causes of any `error`, an engine's own included.
    ///
    /// ```
    /// # use fz_sim::{PowerCut, SimDisk};
    /// use fz_file::{SlotFile, SlotFileConfig};
    ///
    /// let disk = SimDisk::new(1);
    /// let restarted = disk.power_cut(1);
    /// let error = SlotFile::open_on(disk.volume(), SlotFileConfig::new("/records", 128)).unwrap_err();
    /// assert!(PowerCut::caused(&error));
    /// # let _ = restarted;
    /// ```
    #[must_use]
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<PowerCut>() {
                return true;
            }
            // `io::Error::source` steps over the error that it holds, so look inside.
            if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                cause = Some(inner);
            } else {
                cause = error.source();
            }
        }
        false
    }

    pub(crate) fn to_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated disk's power is off; go on with the disk that `power_cut` gave")
    }
}

impl Error for PowerCut {}
