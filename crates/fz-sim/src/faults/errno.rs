//! The error numbers that a disk reports.

use std::io;

/// The errors that a disk reports, by their `errno` names.
///
/// ```
/// use fz_sim::Errno;
///
/// assert_eq!(Errno::Enospc.to_io().kind(), std::io::ErrorKind::StorageFull);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errno {
    /// The device failed.
    Eio,
    /// No space is left on the device.
    Enospc,
    /// The user's quota is used up.
    Edquot,
    /// A signal came first; nothing was done.
    Eintr,
    /// The file system became read-only, as ext4 does after a failed journal write.
    Erofs,
    /// Try again: not now.
    Eagain,
    /// No permission.
    Eacces,
    /// The process has too many open files.
    Emfile,
    /// The file system has no such operation.
    Eopnotsupp,
    /// The file would be larger than it may be.
    Efbig,
    /// An argument is invalid.
    Einval,
    /// The kernel has no memory.
    Enomem,
    /// The device is gone.
    Enodev,
}

impl Errno {
    /// The operating system's number for it.
    ///
    /// ```
    /// # use fz_sim::{Errno, Op, Fault, FaultPlan, FaultRule, SimDisk, Volume};
    /// let disk = SimDisk::new(1);
    /// disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Create, Fault::Error(Errno::Emfile))));
    /// assert_eq!(disk.create("/a".as_ref()).unwrap_err().raw_os_error(), Some(Errno::Emfile.raw()));
    /// ```
    #[must_use]
    pub const fn raw(self) -> i32 {
        match self {
            Errno::Eio => libc::EIO,
            Errno::Enospc => libc::ENOSPC,
            Errno::Edquot => libc::EDQUOT,
            Errno::Eintr => libc::EINTR,
            Errno::Erofs => libc::EROFS,
            Errno::Eagain => libc::EAGAIN,
            Errno::Eacces => libc::EACCES,
            Errno::Emfile => libc::EMFILE,
            Errno::Eopnotsupp => libc::EOPNOTSUPP,
            Errno::Efbig => libc::EFBIG,
            Errno::Einval => libc::EINVAL,
            Errno::Enomem => libc::ENOMEM,
            Errno::Enodev => libc::ENODEV,
        }
    }

    /// The error as `std` shows it.
    ///
    /// ```
    /// # use fz_sim::Errno;
    /// assert_eq!(Errno::Eintr.to_io().kind(), std::io::ErrorKind::Interrupted);
    /// ```
    #[must_use]
    pub fn to_io(self) -> io::Error {
        io::Error::from_raw_os_error(self.raw())
    }
}
