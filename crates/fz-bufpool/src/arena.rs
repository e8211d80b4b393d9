use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::BufferSize;

/// The strongest alignment of a buffer: direct I/O and page-wise tricks need no more.
const ALIGNMENT_MAX: usize = 4096;

/// The step in which pages are touched; pages may be larger, never smaller, than this.
const PAGE_BYTES_MIN: usize = 4096;

/// The one piece of memory that all buffers of a pool lie in, zeroed once, freed on drop.
#[derive(Debug)]
pub(crate) struct Arena {
    /// The allocator's block.
    block: NonNull<u8>,
    layout: Layout,
    /// The first buffer: `block` rounded up to the alignment.
    base: NonNull<u8>,
    buffer_size: BufferSize,
}

// SAFETY: the arena is plain memory that any thread may free; which thread may touch which buffer
// when is decided by the bitmap, not by the arena, which only computes addresses.
unsafe impl Send for Arena {}
// SAFETY: as above; `&Arena` gives out raw pointers only.
unsafe impl Sync for Arena {}

impl Arena {
    /// The most bytes that an arena can have.
    pub(crate) const BYTES_MAX: usize = isize::MAX as usize - 2 * ALIGNMENT_MAX;

    /// Zeroed memory for `bytes` bytes of buffers; `None` if the allocator has none.
    ///
    /// # Panics
    /// If `bytes` is zero, no multiple of the buffer size or above [`BYTES_MAX`](Self::BYTES_MAX): callers check.
    pub(crate) fn new(buffer_size: BufferSize, bytes: usize, prefault: bool) -> Option<Self> {
        assert!(bytes > 0 && bytes.is_multiple_of(buffer_size.bytes()) && bytes <= Self::BYTES_MAX);
        let alignment = buffer_size.bytes().min(ALIGNMENT_MAX);
        // Alignment by hand: for an aligned request std zeroes the memory itself, which would touch
        // every page, prefault or not; for an ordinary one the system hands out pages that are zero.
        let layout = Layout::from_size_align(bytes + alignment, 8).ok()?;
        // SAFETY: the layout's size is not zero, asserted above.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let padding = block.as_ptr().align_offset(alignment);
        assert!(padding <= alignment, "an address can be rounded up to a power of two");
        // SAFETY: the block is `bytes + alignment` long and the padding at most `alignment`.
        let base = unsafe { block.add(padding) };
        let arena = Self { block, layout, base, buffer_size };
        if prefault {
            arena.touch_pages();
        }
        Some(arena)
    }

    pub(crate) fn buffer_size(&self) -> BufferSize {
        self.buffer_size
    }

    /// The address of buffer `first`.
    ///
    /// # Safety
    /// The arena has more than `first` buffers.
    #[inline]
    pub(crate) unsafe fn buffer(&self, first: u32) -> NonNull<u8> {
        // SAFETY: the buffer begins inside the block, by the caller's promise.
        unsafe { self.base.add(first as usize * self.buffer_size.bytes()) }
    }

    /// All buffers: their address and their bytes.
    pub(crate) fn buffers(&self, count: u32) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base, count as usize * self.buffer_size.bytes())
    }

    fn touch_pages(&self) {
        for offset in touched(self.layout.size()) {
            // SAFETY: the offset is below the block's size.
            let page = unsafe { self.block.add(offset) };
            // SAFETY: the byte is inside the block, which no other thread knows yet. Volatile, because
            // writing zero to zeroed memory is otherwise no work at all to the compiler.
            unsafe { page.write_volatile(0) };
        }
    }
}

/// The bytes of a block of `bytes` that lie in all of its pages together. The block begins anywhere in a
/// page, so that the steps may miss the last one.
fn touched(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes).step_by(PAGE_BYTES_MIN).chain(bytes.checked_sub(1))
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `block` came from `alloc_zeroed` with this layout and is freed here only.
        unsafe { dealloc(self.block.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{PAGE_BYTES_MIN, touched};

    /// Which pages of an arena of 4 MiB have memory, by `pagemap` of proc(5): there is a word for each page
    /// of the address space, and its two highest bits say that the page is present or swapped out.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn pages_with_memory(prefault: bool) -> Vec<bool> {
        use std::fs::File;
        use std::os::unix::fs::FileExt;

        use super::Arena;
        use crate::BufferSize;

        let arena = Arena::new(BufferSize::S4096, 4 << 20, prefault).unwrap();
        let (begin, page) = (arena.block.as_ptr().addr(), PAGE_BYTES_MIN);
        let pages = begin / page..(begin + arena.layout.size()).div_ceil(page);
        let mut words = vec![0; 8 * pages.len()];
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        pagemap.read_exact_at(&mut words, 8 * pages.start as u64).unwrap();
        words.chunks(8).map(|word| word[7] & 0xC0 != 0).collect()
    }

    /// Where pages are of 4 KiB for sure.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn each_page_has_memory_if_that_was_asked_for() {
        assert!(!pages_with_memory(false).into_iter().all(|has_memory| has_memory));
        assert!(pages_with_memory(true).into_iter().all(|has_memory| has_memory));
    }

    #[test]
    fn every_page_is_touched_wherever_the_block_begins() {
        for bytes in [16, 4096 - 8, 4096, 4096 + 16, 3 * 4096 - 16, 3 * 4096 + 8] {
            for begin in (0..PAGE_BYTES_MIN).step_by(16) {
                let pages: BTreeSet<_> = touched(bytes).map(|offset| (begin + offset) / PAGE_BYTES_MIN).collect();
                let last = (begin + bytes - 1) / PAGE_BYTES_MIN;
                assert_eq!(pages, (0..=last).collect(), "{bytes} bytes from byte {begin} of a page");
                assert!(touched(bytes).all(|offset| offset < bytes));
            }
        }
    }
}
