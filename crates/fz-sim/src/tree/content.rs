//! A file's bytes, in pages that clones share.

use std::ops::Range;
use std::sync::Arc;

/// The unit that a device writes whole or not at all, in bytes.
///
/// ```
/// use fz_sim::{Access, SECTOR_BYTES, SimDisk, Volume, WholeTransfers};
///
/// let disk = SimDisk::new(1);
/// disk.put("/log", &[0; 2 * SECTOR_BYTES])?;
/// disk.open("/log".as_ref(), Access::ReadWrite)?.write_all_at(&[1; 2 * SECTOR_BYTES], 0)?;
/// assert_eq!(disk.crash_space().count(), Some(4)); // each sector old or new
/// # Ok::<(), std::io::Error>(())
/// ```
pub const SECTOR_BYTES: usize = 512;

pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) type Sector = [u8; SECTOR_BYTES];
type Page = [u8; PAGE_BYTES];

/// A page of a file.
#[derive(Clone, Debug, Default)]
enum Block {
    /// No block: it reads as zeros.
    #[default]
    Hole,
    /// A block that nothing was written to (an unwritten extent): it reads as zeros.
    Reserved,
    Written(Arc<Page>),
}

/// A file's bytes. A clone shares every page until one of the two changes it: that is what makes a
/// crash image cheap. Bytes that were never written read as zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pages: Arc<Vec<Block>>,
    allocated: u64,
}

/// The block that holds a sector.
pub(crate) fn block_of(sector: u64) -> u64 {
    sector / (PAGE_BYTES / SECTOR_BYTES) as u64
}

/// Positions are bounded by `file_bytes_max`, far below `usize::MAX` on every supported target.
fn index(position: u64) -> usize {
    usize::try_from(position).expect("a position within file_bytes_max fits usize")
}

/// The pages that `range` touches: number, first byte in the page, bytes.
fn pieces(range: Range<u64>) -> impl Iterator<Item = (usize, usize, usize)> {
    let page = PAGE_BYTES as u64;
    let mut position = range.start;
    std::iter::from_fn(move || {
        (position < range.end).then(|| {
            let within = index(position % page);
            let bytes = (PAGE_BYTES - within).min(index(range.end - position));
            let piece = (index(position / page), within, bytes);
            position += bytes as u64;
            piece
        })
    })
}

impl Content {
    /// The space used, in blocks of [`PAGE_BYTES`].
    pub(crate) fn blocks(&self) -> u64 {
        self.allocated
    }

    fn has_block(&self, page: usize) -> bool {
        self.pages.get(page).is_some_and(|block| !matches!(block, Block::Hole))
    }

    fn page(&self, page: usize) -> Option<&Page> {
        match self.pages.get(page) {
            Some(Block::Written(page)) => Some(page),
            _ => None,
        }
    }

    /// Whether anything was ever written to the block that holds this sector.
    pub(crate) fn is_written(&self, sector: u64) -> bool {
        self.page(index(block_of(sector))).is_some()
    }

    /// How many bytes at the start of `range` fit if `free` more blocks can be had.
    pub(crate) fn fits(&self, range: Range<u64>, mut free: u64) -> u64 {
        let mut fit = 0;
        for (page, _, bytes) in pieces(range) {
            if !self.has_block(page) {
                if free == 0 {
                    break;
                }
                free -= 1;
            }
            fit += bytes as u64;
        }
        fit
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        let mut rest = into;
        for (page, within, bytes) in pieces(offset..offset + rest.len() as u64) {
            let (now, later) = rest.split_at_mut(bytes);
            match self.page(page) {
                Some(page) => now.copy_from_slice(&page[within..within + bytes]),
                None => now.fill(0),
            }
            rest = later;
        }
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for (page, within, bytes) in pieces(offset..offset + rest.len() as u64) {
            let (now, later) = rest.split_at(bytes);
            self.page_mut(page)[within..within + bytes].copy_from_slice(now);
            rest = later;
        }
    }

    /// Gives every page of the range a block.
    pub(crate) fn reserve(&mut self, range: Range<u64>) {
        for (page, ..) in pieces(range) {
            if !self.has_block(page) {
                *self.block_mut(page) = Block::Reserved;
                self.allocated += 1;
            }
        }
    }

    fn block_mut(&mut self, page: usize) -> &mut Block {
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= page {
            pages.resize(page + 1, Block::Hole);
        }
        &mut pages[page]
    }

    fn page_mut(&mut self, page: usize) -> &mut Page {
        if !self.has_block(page) {
            self.allocated += 1;
        }
        let block = self.block_mut(page);
        if !matches!(block, Block::Written(_)) {
            *block = Block::Written(Arc::new([0; PAGE_BYTES]));
        }
        match block {
            Block::Written(page) => Arc::make_mut(page),
            Block::Hole | Block::Reserved => unreachable!("the block was just written"),
        }
    }

    pub(crate) fn sector(&self, sector: u64) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        self.read(sector * SECTOR_BYTES as u64, &mut bytes);
        bytes
    }

    pub(crate) fn set_sector(&mut self, sector: u64, bytes: &Sector) {
        self.write(sector * SECTOR_BYTES as u64, bytes);
    }

    /// The sectors at or after the one with byte `offset` whose block was written to.
    pub(crate) fn sectors_from(&self, offset: u64) -> impl Iterator<Item = u64> + use<> {
        let per_page = (PAGE_BYTES / SECTOR_BYTES) as u64;
        let first = offset / SECTOR_BYTES as u64;
        let pages = Arc::clone(&self.pages);
        (index(offset / PAGE_BYTES as u64)..pages.len())
            .filter(move |page| matches!(pages[*page], Block::Written(_)))
            .flat_map(move |page| page as u64 * per_page..(page as u64 + 1) * per_page)
            .filter(move |sector| *sector >= first)
    }

    /// Makes everything from byte `length` on zeros, and frees the blocks that are whole in there.
    pub(crate) fn truncate(&mut self, length: u64) {
        let keep = index(length.div_ceil(PAGE_BYTES as u64));
        if keep < self.pages.len() {
            let freed = self.pages[keep..].iter().filter(|block| !matches!(block, Block::Hole)).count() as u64;
            Arc::make_mut(&mut self.pages).truncate(keep);
            self.allocated -= freed;
        }
        let within = index(length % PAGE_BYTES as u64);
        let last = index(length / PAGE_BYTES as u64);
        if within > 0 && self.page(last).is_some_and(|page| page[within..] != [0; PAGE_BYTES][within..]) {
            self.page_mut(last)[within..].fill(0);
        }
    }
}
