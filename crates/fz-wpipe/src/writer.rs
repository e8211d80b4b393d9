//! The file's side of the queue: hands pieces to the kernel.

use std::sync::Arc;

use fz_file::{FileError, SlotFile};

use crate::calls::{Calls, WriteBack};
use crate::piece::Piece;
use crate::stats::Counters;
use crate::{WritePipeConfig, WriteRequest};

/// Everything that needs the writer's lock. One piece at a time; readers of the file only between
/// two.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` once the pipe is closed.
    file: Option<Arc<SlotFile>>,
    /// The piece; empty between two.
    pub(crate) piece: Piece,
    /// For [`Piece::write`].
    merged: Vec<WriteRequest>,
    write_back: WriteBack,
    /// A piece is under way, or one failed or panicked: nothing may be written after that, not even
    /// before the pipe is declared failed.
    is_broken: bool,
    /// The highest epoch handed to the kernel. Kept, not counted from the queue: what a piece that
    /// failed took out of the queue is not written, and somebody else may ask before the failure
    /// is declared.
    written: u64,
    /// For the mutant `older_batch_after_newer`: what the last piece wrote.
    #[cfg(fz_mutants)]
    older: Vec<(u64, Vec<u8>)>,
}

/// A piece that could not be written.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The lowest epoch of the piece.
    pub(crate) first: u64,
    /// The highest.
    pub(crate) last: u64,
    pub(crate) source: FileError,
}

impl Writer {
    pub(crate) fn new(file: Arc<SlotFile>, config: &WritePipeConfig) -> Self {
        Self {
            write_back: WriteBack::new(&file, config.write_back_bytes_asked()),
            file: Some(file),
            piece: Piece::default(),
            merged: Vec::new(),
            is_broken: false,
            written: 0,
            #[cfg(fz_mutants)]
            older: Vec::new(),
        }
    }

    /// The highest epoch handed to the kernel.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes the piece, whose last epoch is `last`. Says whether there was anything, and it may be written.
    pub(crate) fn write_piece(&mut self, last: u64, counters: &Counters) -> Result<bool, Failed> {
        let file = match &self.file {
            Some(file) if !self.is_broken => file,
            // Its memory is given back, as if it were still in the queue.
            _ => {
                self.piece.requests.clear();
                return Ok(false);
            }
        };
        if self.piece.requests.is_empty() {
            return Ok(false);
        }
        let first = self.written + 1;
        self.is_broken = true;
        #[cfg(fz_mutants)]
        let newer = copy_of(&self.piece);
        let written = self
            .piece
            .write(&mut self.merged, Calls::new(file, &mut self.write_back))
            .map_err(|source| Failed { first, last, source })?;
        #[cfg(fz_mutants)]
        for (slot_index, bytes) in std::mem::replace(&mut self.older, newer) {
            let _ = file.write(slot_index, &bytes);
        }
        self.is_broken = false;
        self.written = last;
        // Whatever is left there was left by a mutant.
        self.piece.requests.clear();
        counters.writes.add(last + 1 - first);
        counters.bytes.add(written.slots * u64::try_from(file.slot_size()).unwrap_or(0));
        counters.ranges.add(written.ranges);
        counters.superseded_slots.add(written.superseded_slots);
        Ok(true)
    }

    /// Everything written by now is about to be synced.
    pub(crate) fn begin_sync(&mut self) {
        self.write_back.begin_sync();
    }

    /// From now on nothing is written.
    pub(crate) fn stop(&mut self) {
        self.is_broken = true;
        self.piece.requests.clear();
    }

    /// For the mutant `clear_error_on_success`.
    #[cfg(fz_mutants)]
    pub(crate) fn forget_failure(&mut self) {
        self.piece.requests.clear();
        self.is_broken = false;
    }

    /// Lets the file go.
    pub(crate) fn let_go(&mut self) {
        self.file = None;
    }
}

#[cfg(fz_mutants)]
fn copy_of(piece: &Piece) -> Vec<(u64, Vec<u8>)> {
    if !fz_error::mutants::active("older_batch_after_newer") {
        return Vec::new();
    }
    piece.requests.iter().map(|request| (request.slot_index, request.allocation.as_slice().to_vec())).collect()
}
