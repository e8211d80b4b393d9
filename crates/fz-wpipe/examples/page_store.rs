//! A key-value store of one page a key, with recovery on open: the start of something real.
//!
//! ```sh
//! cargo run -p fz-wpipe --example page_store -- /tmp/store put city Bern
//! cargo run -p fz-wpipe --example page_store -- /tmp/store get city
//! cargo run -p fz-wpipe --example page_store -- /tmp/store list
//! ```
//!
//! A page is never overwritten while it is the newest durable one of its key: a new version goes to
//! a free page, and the old page is free when the new one is *durable*, which its ticket tells. So
//! at any instant of a power cut each key has a whole page, and opening finds it: the checksum tells
//! whole pages from torn ones, the sequence number the newest of a key.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest, WriteTicket};

type Anything = Box<dyn Error + Send + Sync>;

const PAGE_BYTES: usize = 4096;
const PAGES: u64 = 1024;
/// Checksum 4, sequence 8, key length 2, value length 2, kind 1.
const HEADER_BYTES: usize = 17;
const PAYLOAD_BYTES: usize = PAGE_BYTES - HEADER_BYTES;

/// One version of one key. A value of `None` says that the key was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    sequence: u64,
    key: String,
    value: Option<String>,
}

impl Version {
    fn encode(&self, page: &mut [u8]) -> Result<(), Anything> {
        let value = self.value.as_deref().unwrap_or("");
        if self.key.len() + value.len() > PAYLOAD_BYTES {
            return Err(format!("key and value have more than {PAYLOAD_BYTES} bytes").into());
        }
        page.fill(0);
        page[4..12].copy_from_slice(&self.sequence.to_le_bytes());
        page[12..14].copy_from_slice(&u16::try_from(self.key.len())?.to_le_bytes());
        page[14..16].copy_from_slice(&u16::try_from(value.len())?.to_le_bytes());
        page[16] = u8::from(self.value.is_some());
        let (key, rest) = page[HEADER_BYTES..].split_at_mut(self.key.len());
        key.copy_from_slice(self.key.as_bytes());
        rest[..value.len()].copy_from_slice(value.as_bytes());
        let checksum = crc32fast::hash(&page[4..]);
        page[..4].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    /// The version in a page; `None` for a page that was never written, or torn.
    fn decode(page: &[u8]) -> Option<Self> {
        let number =
            |range: std::ops::Range<usize>| page[range].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let sequence = number(4..12);
        if sequence == 0 || number(0..4) != u64::from(crc32fast::hash(&page[4..])) {
            return None;
        }
        let key_end = HEADER_BYTES + usize::try_from(number(12..14)).ok()?;
        let value_end = key_end + usize::try_from(number(14..16)).ok()?;
        let text = |range| String::from_utf8(page.get::<std::ops::Range<usize>>(range)?.to_vec()).ok();
        let value = text(key_end..value_end)?;
        Some(Self { sequence, key: text(HEADER_BYTES..key_end)?, value: (page[16] == 1).then_some(value) })
    }
}

/// Where the newest version of a key is.
#[derive(Clone, Copy)]
struct Place {
    sequence: u64,
    page: u64,
}

struct PageStore {
    pool: BufPool,
    pipe: WritePipe,
    index: BTreeMap<String, Place>,
    free: Vec<u64>,
    /// Pages that are free as soon as the ticket of the version after them resolves.
    retiring: Vec<(WriteTicket, u64)>,
    last_sequence: u64,
}

impl PageStore {
    /// Opens a store, or makes one, and finds the newest whole version of each key.
    fn open(path: &Path) -> Result<Self, Anything> {
        let file = Arc::new(SlotFile::open(SlotFileConfig::new(path, PAGE_BYTES).initial_slots(PAGES))?);
        let mut index: BTreeMap<String, Place> = BTreeMap::new();
        let mut page_bytes = vec![0; PAGE_BYTES];
        for page in 0..file.slots() {
            file.read(page, &mut page_bytes)?;
            let Some(Version { sequence, key, .. }) = Version::decode(&page_bytes) else { continue };
            let place = index.entry(key).or_insert(Place { sequence, page });
            if sequence > place.sequence {
                *place = Place { sequence, page };
            }
        }
        // What a killed process left with the kernel becomes durable before the page it replaces may be overwritten.
        file.sync()?;
        let used: BTreeSet<u64> = index.values().map(|place| place.page).collect();
        let free = (0..file.slots()).rev().filter(|page| !used.contains(page)).collect();
        Ok(Self {
            pool: BufPool::new(BufPoolConfig::new(BufferSize::S4096, 64 * PAGE_BYTES))?,
            pipe: WritePipe::new(WritePipeConfig::new(), file)?,
            last_sequence: index.values().map(|place| place.sequence).max().unwrap_or(0),
            index,
            free,
            retiring: Vec::new(),
        })
    }

    /// Writes a version. It is in the store at once and durable when the ticket says so.
    ///
    /// A removal is a version too, and stays: without it an older page of its key would come back.
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<WriteTicket, Anything> {
        self.retire();
        let page = self.free.pop().ok_or("the store is full")?;
        let sequence = self.last_sequence + 1;
        let version = Version { sequence, key: key.to_owned(), value: value.map(str::to_owned) };
        let mut allocation = self.pool.allocate(1)?;
        let written = version
            .encode(allocation.as_mut_slice())
            .and_then(|()| Ok(self.pipe.write(WriteRequest { allocation, slot_index: page })?));
        let ticket = match written {
            Ok(ticket) => ticket,
            Err(error) => {
                self.free.push(page);
                return Err(error);
            }
        };
        self.last_sequence = sequence;
        if let Some(old) = self.index.insert(version.key, Place { sequence, page }) {
            self.retiring.push((ticket.clone(), old.page));
        }
        Ok(ticket)
    }

    /// Frees the pages whose successors are durable.
    fn retire(&mut self) {
        let free = &mut self.free;
        self.retiring.retain(|(ticket, page)| {
            // Asked once: it may become durable at any moment.
            let is_durable = ticket.is_durable();
            if is_durable {
                free.push(*page);
            }
            !is_durable
        });
    }

    fn get(&self, key: &str) -> Result<Option<String>, Anything> {
        let Some(place) = self.index.get(key) else { return Ok(None) };
        let mut page = vec![0; PAGE_BYTES];
        // Through the pipe: sees versions that are not durable yet.
        self.pipe.read(place.page, &mut page)?;
        let version = Version::decode(&page).ok_or_else(|| format!("page {} of {key:?} is damaged", place.page))?;
        Ok(version.value)
    }
}

/// A key-value store of one 4 KiB page a key, on a durable write pipeline.
#[derive(Parser)]
#[command(after_help = "Exit codes: 0 done, 1 it failed or there is no such key, 2 the command line is wrong.")]
struct Arguments {
    /// The store's file, made if there is none
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set a key, durably
    Put { key: String, value: String },
    /// Print a key's value
    Get { key: String },
    /// Remove a key, durably
    Remove { key: String },
    /// Print all keys and values
    List,
}

fn run(Arguments { store, command }: Arguments) -> Result<ExitCode, Anything> {
    let mut store = PageStore::open(&store)?;
    let mut out = io::stdout();
    match command {
        Command::Put { key, value } => drop(store.set(&key, Some(&value))?.wait()?),
        Command::Remove { key } => drop(store.set(&key, None)?.wait()?),
        Command::Get { key } => match store.get(&key)? {
            Some(value) => writeln!(out, "{value}")?,
            None => return Ok(ExitCode::FAILURE),
        },
        Command::List => {
            for key in store.index.keys() {
                if let Some(value) = store.get(key)? {
                    writeln!(out, "{key} = {value}")?;
                }
            }
        }
    }
    store.pipe.close()?;
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "page_store: {error}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_opens_with_the_newest_version_of_each_key() -> Result<(), Anything> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("store");
        let mut store = PageStore::open(&path)?;
        for round in 0..100 {
            drop(store.set("a", Some(&format!("a{round}")))?);
            drop(store.set("b", (round % 2 == 0).then_some("b"))?);
        }
        store.pipe.close()?;
        drop(store);

        let store = PageStore::open(&path)?;
        assert_eq!(store.get("a")?.as_deref(), Some("a99"));
        assert_eq!(store.get("b")?, None, "the removal is the newest version");
        assert_eq!(store.get("c")?, None);
        Ok(())
    }

    #[test]
    fn a_page_is_not_reused_before_its_successor_is_durable() -> Result<(), Anything> {
        let directory = tempfile::tempdir()?;
        let mut store = PageStore::open(&directory.path().join("store"))?;
        store.set("k", Some("old"))?.wait()?;
        let old = store.index["k"].page;
        let ticket = store.set("k", Some("new"))?;
        store.retire();
        let is_free = store.free.contains(&old);
        assert!(!is_free || ticket.is_durable(), "freed before its successor was durable");
        ticket.wait()?;
        store.retire();
        assert!(store.free.contains(&old));
        Ok(())
    }

    #[test]
    fn a_torn_page_is_no_version() {
        let version = Version { sequence: 1, key: "key".to_owned(), value: Some("value".to_owned()) };
        let mut page = vec![0; PAGE_BYTES];
        version.encode(&mut page).unwrap();
        assert_eq!(Version::decode(&page), Some(version));
        page[HEADER_BYTES] ^= 1;
        assert_eq!(Version::decode(&page), None);
        assert_eq!(Version::decode(&vec![0; PAGE_BYTES]), None);
    }
}
