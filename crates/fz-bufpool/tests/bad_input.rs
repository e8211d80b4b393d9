//! Promise G: bad input is a typed error that names the values, and changes nothing.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufPoolError, BufPoolErrorKind, BufferSize};
use fz_error::Kind;

fn pool() -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64).module_id(9)).unwrap()
}

#[track_caller]
fn assert_kind(error: &BufPoolError, module_id: u8, operation: &str, kind: &BufPoolErrorKind) {
    assert_eq!((error.module_id(), error.operation(), error.kind()), (module_id, operation, kind));
    let entry =
        BufPoolErrorKind::REASONS.iter().find(|entry| entry.code() == kind.reason()).expect("a catalogued reason");
    assert!(format!("{kind:?}").starts_with(entry.name()), "{kind:?} is catalogued as {}", entry.name());
}

#[test]
fn g_a_pool_of_a_bad_size_is_refused() {
    let refused = |buffer_size, bytes, kind| {
        let error = BufPool::new(BufPoolConfig::new(buffer_size, bytes).module_id(9)).unwrap_err();
        assert_kind(&error, 9, "new", &kind);
    };
    refused(BufferSize::S64, 0, BufPoolErrorKind::TooFewBytes { bytes: 0, buffer_size: 64 });
    refused(BufferSize::S64, 63, BufPoolErrorKind::TooFewBytes { bytes: 63, buffer_size: 64 });
    refused(BufferSize::S64, 100, BufPoolErrorKind::BytesNotMultiple { bytes: 100, buffer_size: 64 });
    let too_many = |buffer_size: BufferSize, bytes| {
        let error = BufPool::new(BufPoolConfig::new(buffer_size, bytes)).unwrap_err();
        let capacity = bytes / buffer_size.bytes();
        let BufPoolErrorKind::TooManyBytes { bytes: b, capacity: c, .. } = *error.kind() else { panic!("{error}") };
        assert_eq!((b, c), (bytes, capacity), "{error}");
    };
    too_many(BufferSize::S8, 8 * ((1 << 31) + 1));
    too_many(BufferSize::S8, usize::MAX - 7);
    too_many(BufferSize::S1048576, usize::MAX - 0xF_FFFF);
}

#[test]
fn g_a_count_that_can_never_be_met_is_refused_at_once() {
    let pool = pool();
    for count in [0, 5, u32::MAX as usize + 2, usize::MAX] {
        let kind = match count {
            0 => BufPoolErrorKind::ZeroCount { capacity: 4 },
            _ => BufPoolErrorKind::CountBeyondCapacity { count, capacity: 4 },
        };
        assert_kind(&pool.allocate(count).unwrap_err(), 9, "allocate", &kind);
        assert_kind(&pool.try_allocate(count).unwrap_err(), 9, "try_allocate", &kind);
        assert_kind(&pool.allocate_timeout(count, Duration::MAX).unwrap_err(), 9, "allocate_timeout", &kind);
        assert_kind(&pollster::block_on(pool.allocate_async(count)).unwrap_err(), 9, "allocate_async", &kind);
    }
    assert_eq!(pool.allocate(4).unwrap().count(), 4);
}

#[test]
fn g_a_copy_of_nothing_or_of_more_than_the_pool_is_refused_at_once() {
    let pool = pool();
    let none = BufPoolErrorKind::ZeroCount { capacity: 4 };
    assert_kind(&pool.allocate_copy(b"").unwrap_err(), 9, "allocate_copy", &none);
    assert_kind(&pool.try_allocate_copy(b"").unwrap_err(), 9, "try_allocate_copy", &none);
    let beyond = BufPoolErrorKind::CountBeyondCapacity { count: 5, capacity: 4 };
    assert_kind(&pool.allocate_copy(&[1; 257]).unwrap_err(), 9, "allocate_copy", &beyond);
    assert_kind(&pool.try_allocate_copy(&[1; 257]).unwrap_err(), 9, "try_allocate_copy", &beyond);
    let all = pool.allocate_copy(&[1; 256]).unwrap();
    let exhausted = BufPoolErrorKind::Exhausted { count: 1, capacity: 4 };
    assert_kind(&pool.try_allocate_copy(&[1]).unwrap_err(), 9, "try_allocate_copy", &exhausted);
    drop(all);
    // What the buffers held before is gone, up to the end of the last.
    let copy = pool.try_allocate_copy(&[2; 65]).unwrap();
    assert_eq!((copy.count(), &copy.as_slice()[..65], &copy.as_slice()[65..]), (2, &[2; 65][..], &[0; 63][..]));
}

#[test]
fn g_a_copy_that_is_too_long_leaves_the_allocation_as_it_was() {
    let pool = pool();
    let mut allocation = pool.allocate(2).unwrap();
    allocation.as_mut_slice().fill(7);
    let error = allocation.copy_from_slice(&[1; 129]).unwrap_err();
    assert_kind(
        &error,
        9,
        "copy_from_slice",
        &BufPoolErrorKind::CopyTooLong { source_bytes: 129, allocation_bytes: 128 },
    );
    assert_eq!(allocation.as_slice(), [7; 128]);
    allocation.copy_from_slice(&[1; 128]).unwrap();
    assert_eq!(allocation.as_slice(), [1; 128]);
}

#[test]
fn g_a_request_beyond_the_configs_limit_is_refused_at_once() {
    let config = BufPoolConfig::new(BufferSize::S64, 8 * 64).module_id(9);
    let pool = BufPool::new(config.request_buffers_max(2)).unwrap();
    let beyond = |count| match count {
        9 => BufPoolErrorKind::CountBeyondCapacity { count, capacity: 8 },
        _ => BufPoolErrorKind::CountBeyondLimit { count, limit: 2 },
    };
    for count in [3, 8, 9] {
        assert_kind(&pool.allocate(count).unwrap_err(), 9, "allocate", &beyond(count));
        assert_kind(&pool.try_allocate(count).unwrap_err(), 9, "try_allocate", &beyond(count));
        assert_kind(&pool.allocate_timeout(count, Duration::MAX).unwrap_err(), 9, "allocate_timeout", &beyond(count));
        assert_kind(&pollster::block_on(pool.allocate_async(count)).unwrap_err(), 9, "allocate_async", &beyond(count));
    }
    assert_eq!(pool.allocate(2).unwrap().count(), 2);
    // A limit beyond the pool is none.
    for limit in [8, 9, usize::MAX] {
        assert_eq!(BufPool::new(config.request_buffers_max(limit)).unwrap().allocate(8).unwrap().count(), 8);
    }
}

#[test]
fn g_a_cut_that_leaves_a_part_without_buffers_is_refused() {
    let pool = pool();
    let mut allocation = pool.allocate(3).unwrap();
    for at in [0, 3, 4, usize::MAX] {
        let kind = BufPoolErrorKind::CutOutside { at, count: 3 };
        assert_kind(&allocation.split_off(at).unwrap_err(), 9, "split_off", &kind);
    }
    let kind = BufPoolErrorKind::CutOutside { at: 0, count: 3 };
    assert_kind(&allocation.truncate(0).unwrap_err(), 9, "truncate", &kind);
    allocation.truncate(3).unwrap();
    allocation.truncate(usize::MAX).unwrap();
    assert_eq!((allocation.count(), pool.stats().in_use), (3, 3));
}

#[test]
fn h_a_short_copy_leaves_nothing_of_the_last_owner() {
    let pool = pool();
    pool.allocate(4).unwrap().as_mut_slice().fill(7);
    let mut allocation = pool.allocate(4).unwrap();
    allocation.copy_from_slice(b"short").unwrap();
    assert!(allocation.as_slice().starts_with(b"short"));
    assert!(allocation.as_slice()[5..].iter().all(|&byte| byte == 0));
}

#[test]
fn g_a_number_that_is_no_buffer_size_is_refused() {
    for bytes in [0, 1, 4, 7, 9, 4095, 4097, 1 << 21, usize::MAX] {
        assert_eq!(BufferSize::from_bytes(bytes), None);
        let error = BufferSize::try_from(bytes).unwrap_err();
        assert_kind(&error, 0, "try_from", &BufPoolErrorKind::InvalidBufferSize { bytes });
    }
    for (exponent, size) in (3..=20).zip(BufferSize::ALL) {
        assert_eq!(size as usize, 1 << exponent, "its number is its bytes");
        assert_eq!((size.bytes(), BufferSize::try_from(1usize << exponent).unwrap()), (1 << exponent, size));
    }
}

#[test]
fn buffers_are_aligned_to_their_size_up_to_a_page_and_zero_at_first() {
    for size in BufferSize::ALL {
        for prefault in [true, false] {
            let pool = BufPool::new(BufPoolConfig::new(size, 3 * size.bytes()).prefault(prefault)).unwrap();
            let allocation = pool.allocate(3).unwrap();
            for buffer in allocation.buffers() {
                assert_eq!(buffer.as_ptr().addr() % size.bytes().min(4096), 0);
                assert_eq!(buffer.len(), size.bytes());
                assert!(buffer.iter().all(|&byte| byte == 0), "buffers handed out are initialised");
            }
        }
    }
}
