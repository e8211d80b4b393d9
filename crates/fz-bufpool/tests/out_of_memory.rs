//! Promise G: memory that the allocator refuses is an error, not an abort, and nothing is left behind. Nor is anything
//! left of pools and alarms that are gone.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};

thread_local! {
    /// How many more blocks the allocator grants before it refuses one.
    static GRANTS: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Bytes that live now.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Refusing;

/// Enters a block in the book, unless it is refused.
fn admit(layout: Layout) -> bool {
    let grants = GRANTS.get();
    GRANTS.set(grants.wrapping_sub(1));
    if grants > 0 {
        LIVE.set(LIVE.get() + layout.size().cast_signed());
    }
    grants > 0
}

// SAFETY: it hands every call on to the system's allocator as it is, or fails.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !admit(layout) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !admit(layout) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static HEAP: Refusing = Refusing;

#[test]
fn g_memory_that_the_allocator_refuses_is_an_error_and_leaves_nothing_behind() {
    const BUFFERS: usize = 1 << 22;
    let bytes = BUFFERS * BufferSize::S8.bytes();
    let config = BufPoolConfig::new(BufferSize::S8, bytes).module_id(9).prefault(false);
    let mut refusals = 0;
    let pool = loop {
        let before = LIVE.get();
        GRANTS.set(refusals);
        let made = BufPool::new(config);
        GRANTS.set(usize::MAX);
        let error = match made {
            Ok(pool) => break pool,
            Err(error) => error,
        };
        assert_eq!((error.module_id(), error.operation()), (9, "new"));
        assert_eq!(error.kind(), &BufPoolErrorKind::OutOfMemory { bytes });
        drop(error);
        assert_eq!(LIVE.get(), before, "something is left behind");
        refusals += 1;
    };
    // The arena, the bitmap and its tracked words, the tree's leaves, list of levels and six levels, the pool itself;
    // and the wait list, unless an earlier pool left one.
    assert!((12..=13).contains(&refusals), "{refusals} blocks can be refused");
    assert_eq!(pool.capacity(), BUFFERS);
}

/// How much more lives after a hundred rounds than after the first, which may fill what is kept for reuse.
fn growth(mut round: impl FnMut()) -> isize {
    round();
    let before = LIVE.get();
    (0..100).for_each(|_| round());
    LIVE.get() - before
}

#[test]
fn nothing_is_left_of_pools_that_are_gone() {
    let grown = growth(|| {
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64)).unwrap();
        let last = pool.allocate(1).unwrap();
        drop(pool);
        drop(last);
    });
    // A pool that another test makes meanwhile may take what this one left for reuse.
    assert!(grown < 4096, "{grown} bytes of 100 pools");
}

#[test]
fn nothing_is_left_of_alarms_that_are_gone() {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64)).unwrap();
    let line = pool.allocate(1).unwrap().line();
    let grown = growth(|| {
        let alarm: Arc<dyn Fn() + Send + Sync> = Arc::new(|| ());
        line.add_alarm(&alarm);
    });
    assert_eq!(grown, 0);
}
