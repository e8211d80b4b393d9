//! Promise G for whatever lies at a path and stands in a config: a file, a pool and a pipe open and work, or are
//! refused with an error of the catalogue. No panic, no hang, and what is refused is not changed.
//!
//! `cargo xtask fuzz --seconds 600` runs it for as long as you like. The input is random and not led by coverage.
#![cfg(target_os = "linux")]

mod watchdog;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_error::{Error, Kind};
use fz_file::{Access, Create, FileErrorKind, HostVolume, Preallocation, SlotFile, SlotFileConfig, Storage, Volume};
use fz_wpipe::{SyncMode, WritePipe, WritePipeConfig, WriteRequest};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use watchdog::finishes;

/// More than any file or memory has room for, but not more than a number can say.
const ABSURD: u64 = 1 << 61;

/// What a name stands for before the open.
#[derive(Clone, Debug)]
enum Thing {
    Nothing,
    File(Vec<u8>),
    /// A file of holes.
    Holes(u64),
    Locked(Vec<u8>),
    Directory,
    Fifo,
    LinkTo(&'static str),
}

fn thing() -> impl Strategy<Value = Thing> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        3 => Just(Thing::Nothing),
        6 => bytes().prop_map(Thing::File),
        // A length that some slot sizes divide.
        4 => (0_usize..40, prop::sample::select(vec![1, 7, 8, 64]))
            .prop_map(|(n, size)| Thing::File(vec![3; n * size])),
        1 => (0_u64..1 << 40).prop_map(Thing::Holes),
        1 => bytes().prop_map(Thing::Locked),
        1 => Just(Thing::Directory),
        1 => Just(Thing::Fifo),
        1 => prop::sample::select(vec!["other", "x", "missing", ".", ".."]).prop_map(Thing::LinkTo),
    ]
}

fn name() -> impl Strategy<Value = OsString> {
    prop_oneof![
        12 => Just(OsString::from("x")),
        2 => prop::sample::select(vec!["", ".", "..", "x/", "x/y", "missing/x", "./x", "other"])
            .prop_map(OsString::from),
        1 => prop::collection::vec(any::<u8>().prop_filter("stays in its directory", |byte| *byte != b'/'), 0..300)
            .prop_map(OsString::from_vec),
    ]
}

/// Small, at the limits, and absurd; never so large that it would only be slow.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0_u64..70,
        1 => 0_u64..1024,
        1 => ABSURD..u64::MAX,
        1 => prop::sample::select(vec![ABSURD, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX]),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => prop::sample::select(vec![1, 7, 8, 64]),
        3 => 0_usize..100,
        1 => prop::sample::select(vec![SlotFile::SLOT_SIZE_MAX, SlotFile::SLOT_SIZE_MAX + 1, usize::MAX]),
    ]
}

#[derive(Clone, Debug)]
struct Config {
    name: OsString,
    slot_size: usize,
    initial_slots: u64,
    preallocation: Preallocation,
    create: Create,
    read_only: bool,
}

prop_compose! {
    fn config()(
        name in name(),
        slot_size in size(),
        initial_slots in number(),
        preallocation in
            prop::sample::select(vec![Preallocation::Sparse, Preallocation::Allocated, Preallocation::Zeroed]),
        create in prop::sample::select(vec![Create::IfMissing, Create::IfMissing, Create::Never, Create::New]),
        read_only in prop::bool::weighted(0.2),
    ) -> Config {
        // With the largest slots a few would already be many gigabytes of zeros.
        let initial_slots = if slot_size > 4096 && initial_slots < ABSURD { 0 } else { initial_slots };
        Config { name, slot_size, initial_slots, preallocation, create, read_only }
    }
}

/// Puts `thing` at `path`. What is returned holds its lock.
fn put(path: &Path, thing: &Thing) -> Option<Box<dyn Storage>> {
    match thing {
        Thing::Nothing => {}
        Thing::File(bytes) => fs::write(path, bytes).unwrap(),
        Thing::Holes(length) => fs::File::create(path).unwrap().set_len(*length).unwrap(),
        Thing::Locked(bytes) => {
            fs::write(path, bytes).unwrap();
            let file = HostVolume.open(path, Access::Read).unwrap();
            file.try_lock(Access::ReadWrite).unwrap();
            return Some(file);
        }
        Thing::Directory => fs::create_dir(path).unwrap(),
        Thing::Fifo => mkfifo(path, Mode::S_IRWXU).unwrap(),
        Thing::LinkTo(target) => symlink(target, path).unwrap(),
    }
    None
}

/// What a name stands for: kind, length, and the first bytes, for holes are long.
type Seen = (&'static str, u64, Vec<u8>);

fn look(directory: &Path) -> BTreeMap<PathBuf, Seen> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let seen = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        let kind = metadata.file_type();
        match () {
            () if kind.is_symlink() => ("link", 0, fs::read_link(path).unwrap().into_os_string().into_vec()),
            () if kind.is_dir() => ("directory", 0, Vec::new()),
            () if kind.is_fifo() => ("fifo", 0, Vec::new()),
            () => ("file", metadata.len(), head(path)),
        }
    };
    entries.map(|path| (path.clone(), seen(&path))).collect()
}

fn head(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().take(1 << 16).read_to_end(&mut bytes).unwrap();
    bytes
}

/// An error that can be logged and looked up.
fn is_typed<K: Kind + Clone>(error: &Error<K>) {
    assert!(K::REASONS.iter().any(|reason| reason.code() == error.id().reason()), "{error} is not in the catalogue");
    assert!(!error.to_string().is_empty() && !format!("{error:?}").is_empty());
}

/// Opens what `things` put into a directory, as `config` says.
fn open_one(things: &[(&str, Thing)], config: &Config) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("d");
    fs::create_dir(&directory).unwrap();
    let locks: Vec<_> = things.iter().map(|(name, thing)| put(&directory.join(name), thing)).collect();
    let before = look(&directory);
    let path = directory.join(&config.name);
    let asked = SlotFileConfig::new(&path, config.slot_size)
        .initial_slots(config.initial_slots)
        .preallocation(config.preallocation)
        .create(config.create)
        .read_only(config.read_only)
        .module_id(5);
    match SlotFile::open(asked) {
        Ok(file) => opened(&file, config, before.get(&path)),
        Err(error) => {
            is_typed(&error);
            assert_eq!((error.operation(), error.module_id()), ("open", 5));
            refused(&error, config, before, &look(&directory));
        }
    }
    drop(locks);
}

/// A file that is open has its slots, what it held, and zeros.
fn opened(file: &SlotFile, config: &Config, before: Option<&Seen>) {
    assert!(file.slots() >= config.initial_slots);
    let length = fs::metadata(file.path()).unwrap().len();
    assert_eq!(length, file.slots() * config.slot_size as u64);
    if let Some(("file", length_before, head_before)) = before {
        assert!(length >= *length_before, "it was cut");
        let head = head(file.path());
        let (kept, added) = head.split_at(head_before.len());
        assert_eq!(kept, head_before);
        assert!(added.iter().all(|byte| *byte == 0));
    }
    if file.slots() > 0 && config.slot_size <= 4096 {
        let last = file.slots() - 1;
        let bytes = vec![0xA5; config.slot_size];
        match file.write(last, &bytes) {
            Ok(()) => {
                let mut back = vec![0; config.slot_size];
                file.read(last, &mut back).unwrap();
                assert_eq!(back, bytes);
            }
            Err(error) => assert!(config.read_only && matches!(error.kind(), FileErrorKind::ReadOnly), "{error}"),
        }
    }
}

/// Nothing has changed but what the error says, and what nobody holds: a left-over temporary file.
fn refused(
    error: &fz_file::FileError,
    config: &Config,
    mut before: BTreeMap<PathBuf, Seen>,
    after: &BTreeMap<PathBuf, Seen>,
) {
    let mut after = after.clone();
    if let FileErrorKind::GrowFailed { .. } | FileErrorKind::SyncFailed { .. } = error.kind() {
        // A growth that fails may leave the length that it set: whole slots, and more of them.
        for (path, (kind, length, head)) in &mut after {
            let Some((_, length_before, head_before)) = before.get(path) else { continue };
            if *kind == "file" && *length > *length_before {
                assert_eq!(*length % config.slot_size as u64, 0);
                assert!(head.starts_with(head_before) && head[head_before.len()..].iter().all(|byte| *byte == 0));
                *length = *length_before;
                head.truncate(head_before.len());
            }
        }
    }
    before.retain(|path, seen| {
        let is_temporary = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".creating"));
        !(is_temporary && seen.0 == "file" && !after.contains_key(path))
    });
    assert_eq!(after, before, "{error}");
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn g_a_file_opens_or_is_refused_untouched(
        at_path in thing(),
        at_temporary in prop_oneof![4 => Just(Thing::Nothing), 1 => thing()],
        config in config(),
    ) {
        let things = [("x", at_path), (".x.creating", at_temporary), ("other", Thing::File(vec![9; 56]))];
        finishes(move || open_one(&things, &config));
    }

    #[test]
    fn g_a_pool_is_made_or_refused(
        size in prop::sample::select(vec![BufferSize::S8, BufferSize::S64, BufferSize::S16384]),
        bytes in prop_oneof![0_usize..1 << 16, (0_usize..1 << 6).prop_map(|n| n << 14), (1_usize << 61)..usize::MAX],
        prefault in any::<bool>(),
        counts in prop::collection::vec(prop_oneof![0_usize..70, any::<usize>()], 0..8),
    ) {
        match BufPool::new(BufPoolConfig::new(size, bytes).module_id(6).prefault(prefault)) {
            Err(error) => is_typed(&error),
            Ok(pool) => {
                prop_assert_eq!(pool.capacity() * size.bytes(), bytes);
                let mut held = 0;
                let mut allocations = Vec::new();
                for count in counts {
                    match pool.try_allocate(count) {
                        Ok(allocation) => {
                            prop_assert!(allocation.as_slice().iter().all(|byte| *byte == 0), "not what was asked for");
                            held += count;
                            allocations.push(allocation);
                        }
                        Err(error) => is_typed(&error),
                    }
                    prop_assert!(held <= pool.capacity());
                }
            }
        }
    }

    #[test]
    fn g_a_pipe_is_made_or_refused(
        interval in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), any::<u64>().prop_map(Duration::from_nanos)],
        linger in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), any::<u64>().prop_map(Duration::from_nanos)],
        capacity in number(),
        [batch_writes, batch_bytes, write_back] in [number(), number(), number()],
        mode in prop::sample::select(vec![SyncMode::Data, SyncMode::Full, SyncMode::DangerouslyNone]),
        read_only in prop::bool::weighted(0.1),
        writes in prop::collection::vec((number(), 1_usize..4, any::<u8>()), 0..12),
    ) {
        let of = |number: u64| usize::try_from(number).unwrap();
        let config = WritePipeConfig::new()
            .module_id(4)
            .flush_interval(interval)
            .linger_max(linger)
            .queue_capacity(of(capacity))
            .batch_writes_max(of(batch_writes))
            .batch_bytes_max(of(batch_bytes))
            .write_back_bytes(of(write_back))
            .sync_mode(mode);
        finishes(move || pipe_one(config, read_only, &writes));
    }
}

fn pipe_one(config: WritePipeConfig, read_only: bool, writes: &[(u64, usize, u8)]) {
    const SLOTS: u64 = 64;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    drop(SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(SLOTS)).unwrap());
    let file = SlotFile::open(SlotFileConfig::new(&path, 8).read_only(read_only)).unwrap();
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 1024)).unwrap();
    let mut expected = vec![0; 512];
    match WritePipe::new(config, Arc::new(file)) {
        Err(error) => is_typed(&error),
        Ok(pipe) => {
            for &(slot_index, count, tag) in writes {
                let mut allocation = pool.allocate(count).unwrap();
                allocation.as_mut_slice().fill(tag);
                match pipe.write(WriteRequest { allocation, slot_index }) {
                    Ok(ticket) => {
                        let at = usize::try_from(slot_index).unwrap() * 8;
                        expected[at..at + count * 8].fill(tag);
                        if tag % 3 == 0 {
                            assert!(ticket.wait().unwrap() >= ticket.epoch());
                        }
                    }
                    Err(rejected) => {
                        is_typed(&rejected.error);
                        assert!(slot_index > SLOTS - count as u64, "{rejected}");
                        assert!(rejected.request.allocation.as_slice().iter().all(|byte| *byte == tag));
                    }
                }
            }
            pipe.close().unwrap();
        }
    }
    assert_eq!(fs::read(&path).unwrap(), expected);
}
