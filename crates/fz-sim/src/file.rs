//! An open file: each call of `Storage`, with its fault.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use fz_file::{Access, FileIdentity, Storage};

use crate::disk::SimDisk;
use crate::disk::state::{Asked, Call, State};
use crate::random::Random;
use crate::tree::content::{PAGE_BYTES, SECTOR_BYTES};
use crate::tree::inode::{Inode, sectors_of};
use crate::{Errno, Fault, Op};

/// One open file of a [`SimDisk`].
pub(crate) struct SimFile {
    disk: SimDisk,
    open: u64,
    inode: u64,
    path: Arc<Path>,
    access: Access,
}

const EVERY_SECTOR: Range<u64> = 0..u64::MAX;
const SECTOR: u64 = SECTOR_BYTES as u64;

impl SimFile {
    /// Registers the open file.
    pub(crate) fn new(disk: &SimDisk, state: &mut State, inode: u64, path: Arc<Path>, access: Access) -> Self {
        let open = state.next_open;
        state.next_open += 1;
        state.open.insert(open, inode);
        Self { disk: disk.clone(), open, inode, path, access }
    }

    fn asked(&self, op: Op, offset: u64, bytes: u64) -> Asked<'_> {
        Asked { op, path: &self.path, to: None, offset, bytes }
    }

    fn writable(&self, errno: i32) -> io::Result<()> {
        if self.access == Access::ReadWrite { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
    }

    /// The end of a range, if a file may be that long.
    fn end_of(&self, offset: u64, bytes: u64) -> io::Result<u64> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.disk.config().file_bytes_max);
        end.ok_or_else(|| Errno::Efbig.to_io())
    }

    /// How many bytes from `offset` on the disk has room for.
    fn room(&self, state: &State, offset: u64, end: u64) -> u64 {
        match self.disk.config().capacity_bytes {
            None => end - offset,
            Some(capacity) => {
                let free = capacity.saturating_sub(state.tree.used_bytes()) / PAGE_BYTES as u64;
                state.tree.inode(self.inode).live.fits(offset..end, free)
            }
        }
    }

    /// Puts the bytes in the page cache as one change; its sequence number.
    fn put(&self, call: &mut Call<'_>, offset: u64, bytes: &[u8]) -> u64 {
        let config = call.config();
        let lost = match call.verdict.fault {
            Some(Fault::LostInBackground(errno)) => Some(errno),
            _ => None,
        };
        let state = call.state();
        let thinning = state.thinning(config);
        state.sequence += 1;
        let sequence = state.sequence;
        let inode = state.inode_mut(self.inode);
        inode.write(sequence, offset, bytes, thinning);
        if let Some(errno) = lost.filter(|_| !bytes.is_empty()) {
            let end = offset + bytes.len() as u64;
            inode.lose_in_background(sequence, offset / SECTOR..end.div_ceil(SECTOR), errno);
        }
        sequence
    }

    fn write(&self, call: &mut Call<'_>, offset: u64, mut bytes: &[u8]) -> io::Result<usize> {
        self.writable(libc::EBADF)?;
        let mut draws = call.draws();
        match call.verdict.fault {
            Some(Fault::Short) => bytes = &bytes[..1 + draws.below(bytes.len() - 1)],
            Some(Fault::Zero) => bytes = &[],
            Some(Fault::ErrorAfterPart(_)) => bytes = &bytes[..draws.below(bytes.len() + 1)],
            _ => {}
        }
        let end = self.end_of(offset, bytes.len() as u64)?;
        let room = usize::try_from(self.room(call.state(), offset, end)).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            return Err(Errno::Enospc.to_io());
        }
        bytes = &bytes[..bytes.len().min(room)];
        if let Some(Fault::TornWrite(errno)) = call.verdict.fault {
            call.pause()?;
            self.put_torn(call, &mut draws, offset, bytes);
            return Err(errno.to_io());
        }
        if call.pauses() {
            // A call that takes time is seen half done.
            let (first, second) = bytes.split_at(draws.below(bytes.len() + 1));
            let sequence = self.put(call, offset, first);
            call.state().in_flight.insert(sequence);
            call.pause()?;
            self.put(call, offset + first.len() as u64, second);
            call.state().in_flight.remove(&sequence);
        } else {
            self.put(call, offset, bytes);
        }
        if let Some(Fault::ErrorAfterPart(errno)) = call.verdict.fault {
            return Err(errno.to_io());
        }
        call.state().stats.wrote(bytes.len() as u64);
        Ok(bytes.len())
    }

    /// Puts some of the sectors in the page cache, each with the chance of one half.
    fn put_torn(&self, call: &mut Call<'_>, draws: &mut Random, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for (sector, within) in sectors_of(offset..offset + bytes.len() as u64) {
            let (piece, later) = rest.split_at(within.len());
            if draws.coin() {
                self.put(call, sector * SECTOR + within.start as u64, piece);
            }
            rest = later;
        }
    }

    fn read(&self, call: &mut Call<'_>, buffers: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<usize> {
        call.pause()?;
        let mut draws = call.draws();
        let asked: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let fault = call.verdict.fault;
        let inode = call.state().tree.inode(self.inode);
        let there = usize::try_from(inode.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(asked);
        let bytes = match fault {
            Some(Fault::Short) if there > 1 => 1 + draws.below(there - 1),
            Some(Fault::Zero) => 0,
            _ => there,
        };
        let mut left = bytes;
        for buffer in buffers {
            let now = buffer.len().min(left);
            inode.live.read(offset, &mut buffer[..now]);
            offset += now as u64;
            left -= now;
        }
        Ok(bytes)
    }

    fn sync(&self, op: Op) -> io::Result<()> {
        let settle = |call: &mut Call<'_>| {
            call.sync(|state, start, fault| {
                let inode = state.inode_mut(self.inode);
                if let Some(Fault::SyncFailed(errno, fate)) = fault {
                    inode.fail_sync(start, fate, EVERY_SECTOR);
                    return Err(errno.to_io());
                }
                if let Some(errno) = inode.background_error.take() {
                    return Err(errno.to_io());
                }
                inode.sync(start);
                Ok(())
            })
        };
        self.disk.shared().call(self.asked(op, 0, 0), settle, |()| 0)
    }

    /// One change of the file's shape.
    fn reshape(&self, call: &mut Call<'_>, apply: impl FnOnce(&mut Inode, u64, Option<usize>)) -> io::Result<()> {
        let config = call.config();
        call.change(|state, sequence| {
            let thinning = state.thinning(config);
            apply(state.inode_mut(self.inode), sequence, thinning);
            Ok(())
        })
    }
}

impl Storage for SimFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let bytes: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let asked = self.asked(Op::Read, offset, bytes as u64);
        self.disk.shared().call(asked, |call| self.read(call, buffers, offset), |bytes| *bytes as u64)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut gathered = Vec::new();
        let bytes = match buffers {
            [one] => &one[..],
            many => {
                many.iter().for_each(|buffer| gathered.extend_from_slice(buffer));
                &gathered
            }
        };
        let asked = self.asked(Op::Write, offset, bytes.len() as u64);
        self.disk.shared().call(asked, |call| self.write(call, offset, bytes), |bytes| *bytes as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Op::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Op::SyncAll)
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let end = offset.saturating_add(bytes);
        let settle = |call: &mut Call<'_>| {
            call.sync(|state, start, fault| {
                // From the page cache to the device's: a power cut takes both, so success changes nothing.
                let sectors = if bytes == 0 { 0..0 } else { offset / SECTOR..end.div_ceil(SECTOR) };
                match fault {
                    Some(Fault::SyncFailed(errno, fate)) => {
                        state.inode_mut(self.inode).fail_sync(start, fate, sectors);
                        Err(errno.to_io())
                    }
                    Some(Fault::LostInBackground(errno)) => {
                        state.inode_mut(self.inode).lose_in_background(start.sequence, sectors, errno);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
        };
        self.disk.shared().call(self.asked(Op::WriteBack, offset, bytes), settle, |()| 0)
    }

    fn drop_clean_pages(&self) -> io::Result<()> {
        let drop = |call: &mut Call<'_>| {
            call.pause()?;
            if call.verdict.fault == Some(Fault::SyncIgnored) {
                return Ok(());
            }
            let mut media = call.order();
            call.state().inode_mut(self.inode).drop_caches(&mut media);
            Ok(())
        };
        self.disk.shared().call(self.asked(Op::DropCleanPages, 0, 0), drop, |()| 0)
    }

    fn length(&self) -> io::Result<u64> {
        let read = |call: &mut Call<'_>| {
            call.pause()?;
            Ok(call.state().tree.inode(self.inode).length)
        };
        self.disk.shared().call(self.asked(Op::Length, 0, 0), read, |length| *length)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        let change = |call: &mut Call<'_>| {
            self.writable(libc::EINVAL)?;
            self.end_of(bytes, 0)?;
            self.reshape(call, |inode, sequence, thinning| inode.set_length(sequence, bytes, thinning))
        };
        self.disk.shared().call(self.asked(Op::SetLength, 0, bytes), change, |()| 0)
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let change = |call: &mut Call<'_>| {
            self.writable(libc::EBADF)?;
            if bytes == 0 {
                return Err(Errno::Einval.to_io());
            }
            let end = self.end_of(offset, bytes)?;
            if self.room(call.state(), offset, end) < bytes {
                return Err(Errno::Enospc.to_io());
            }
            self.reshape(call, |inode, sequence, thinning| inode.allocate(sequence, offset..end, thinning))
        };
        self.disk.shared().call(self.asked(Op::Allocate, offset, bytes), change, |()| 0)
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        let lock = |call: &mut Call<'_>| {
            call.pause()?;
            let holders = call.state().locks.entry(self.inode).or_default();
            let conflicts = |(open, held): (&u64, &Access)| {
                *open != self.open && (access == Access::ReadWrite || *held == Access::ReadWrite)
            };
            if holders.iter().any(conflicts) {
                return Err(Errno::Eagain.to_io());
            }
            holders.insert(self.open, access);
            Ok(())
        };
        self.disk.shared().call(self.asked(Op::Lock, 0, 0), lock, |()| 0)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        let read = |call: &mut Call<'_>| {
            call.pause()?;
            Ok(self.disk.identity_of(self.inode))
        };
        self.disk.shared().call(self.asked(Op::FileIdentity, 0, 0), read, |identity| identity.inode)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.shared().lock();
        state.open.remove(&self.open);
        if let Some(holders) = state.locks.get_mut(&self.inode) {
            holders.remove(&self.open);
            if holders.is_empty() {
                state.locks.remove(&self.inode);
            }
        }
        state.collect();
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .field("inode", &self.inode)
            .field("access", &self.access)
            .finish()
    }
}
