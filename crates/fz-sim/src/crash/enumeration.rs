//! Crash images by number, each once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::DirectoryLoss;
use crate::tree::content::{SECTOR_BYTES, Sector};
use crate::tree::directory::{Directory, Names, Standing};
use crate::tree::inode::Inode;
use crate::tree::{Tree, is_left};

/// The most states of the directories' entries that are enumerated.
const NAMES_MAX: usize = 1 << 16;

/// Every crash image, numbered.
pub(crate) struct Enumeration {
    /// One for each possible state of all entries.
    worlds: Vec<World>,
    count: u128,
}

/// One state of the entries, with the unsynced files that have one.
struct World {
    names: BTreeMap<Arc<Path>, Names>,
    files: Vec<(u64, Arc<FileStates>)>,
    count: u128,
}

struct FileStates {
    by_length: Vec<LengthStates>,
    count: u128,
}

/// The states of a file of one length: each sector is one of its candidates.
struct LengthStates {
    length: u64,
    sectors: Vec<(u64, Vec<Arc<Sector>>)>,
    count: u128,
}

/// The sum of counts, if it is no more than `max`.
fn sum(counts: impl Iterator<Item = u128>, max: u128) -> Option<u128> {
    counts.into_iter().try_fold(0u128, |sum, count| sum.checked_add(count).filter(|sum| *sum <= max))
}

/// `count` times `factor`, if it is no more than `max`.
fn product(count: u128, factor: u128, max: u128) -> Option<u128> {
    count.checked_mul(factor).filter(|product| *product <= max)
}

impl LengthStates {
    /// `None` if there are more than `max`; likewise below.
    fn new(inode: &Inode, length: u64, max: u128) -> Option<Self> {
        let mut sectors = Vec::new();
        let mut count = 1;
        for (sector, versions) in &inode.sectors {
            let start = sector * SECTOR_BYTES as u64;
            let visible = usize::try_from(length.saturating_sub(start)).unwrap_or(usize::MAX).min(SECTOR_BYTES);
            let mut candidates = vec![Arc::new(inode.stable.sector(*sector))];
            for version in versions {
                if candidates.iter().all(|other| other[..visible] != version.bytes[..visible]) {
                    candidates.push(Arc::clone(&version.bytes));
                }
            }
            if candidates.len() > 1 {
                count = product(count, candidates.len() as u128, max)?;
                sectors.push((*sector, candidates));
            }
        }
        Some(Self { length, sectors, count })
    }

    fn file(&self, inode: &Inode, mut index: u128) -> Inode {
        let chosen = self.sectors.iter().map(|(sector, candidates)| {
            let count = candidates.len() as u128;
            let choice = usize::try_from(index % count).expect("a remainder is less than a length");
            index /= count;
            (*sector, Arc::clone(&candidates[choice]))
        });
        inode.crashed(self.length, chosen)
    }
}

impl FileStates {
    fn new(inode: &Inode, max: u128) -> Option<Self> {
        let lengths: BTreeSet<u64> =
            inode.lengths.iter().map(|length| length.bytes).chain([inode.stable_length]).collect();
        let by_length = lengths.into_iter().map(|length| LengthStates::new(inode, length, max));
        let by_length: Vec<_> = by_length.collect::<Option<_>>()?;
        let count = sum(by_length.iter().map(|states| states.count), max)?;
        Some(Self { by_length, count })
    }

    fn file(&self, inode: &Inode, mut index: u128) -> Inode {
        for states in &self.by_length {
            if index < states.count {
                return states.file(inode, index);
            }
            index -= states.count;
        }
        unreachable!("the index is less than the count of all lengths")
    }
}

impl Enumeration {
    /// `None` if there are more than `max` images, or too many states of the entries. The cost
    /// is bounded by `max` and by how many states the entries can have, not by how many images there
    /// are.
    pub(crate) fn new(tree: &Tree, loss: DirectoryLoss, max: u128) -> Option<Self> {
        let worlds_max = usize::try_from(max).unwrap_or(NAMES_MAX).min(NAMES_MAX);
        let mut maps: Vec<BTreeMap<Arc<Path>, Names>> = vec![BTreeMap::new()];
        for (path, directory) in &tree.directories {
            if directory.changes.is_empty() {
                continue;
            }
            let states = names_of(directory, loss, worlds_max)?;
            let mut next: Vec<BTreeMap<Arc<Path>, Names>> = Vec::new();
            for map in maps {
                // Where the directory is lost, its states are one.
                if !is_left_in(tree, &map, path) {
                    next.push(map);
                } else {
                    next.extend(states.iter().map(|names| {
                        let mut map = map.clone();
                        map.insert(Arc::clone(path), names.clone());
                        map
                    }));
                }
                if next.len() > worlds_max {
                    return None;
                }
            }
            maps = next;
        }
        let mut known: BTreeMap<u64, Arc<FileStates>> = BTreeMap::new();
        let mut worlds = Vec::new();
        for names in maps {
            let left = tree.directories.iter().filter(|(path, _)| is_left_in(tree, &names, path));
            let entries = left.flat_map(|(path, directory)| {
                let names = names.get(path).unwrap_or(&directory.live);
                names.values().filter_map(|entry| entry.inode())
            });
            let mut files = Vec::new();
            let mut count = 1;
            for number in entries.collect::<BTreeSet<u64>>() {
                let inode = tree.inode(number);
                if inode.is_clean() {
                    continue;
                }
                let states = match known.entry(number) {
                    Entry::Occupied(known) => Arc::clone(known.get()),
                    Entry::Vacant(unknown) => Arc::clone(unknown.insert(Arc::new(FileStates::new(inode, max)?))),
                };
                count = product(count, states.count, max)?;
                files.push((number, states));
            }
            worlds.push(World { names, files, count });
        }
        let count = sum(worlds.iter().map(|world| world.count), max)?;
        Some(Self { worlds, count })
    }

    pub(crate) fn count(&self) -> u128 {
        self.count
    }

    /// The tree of image number `index`, which is less than the count.
    pub(crate) fn image(&self, tree: &Tree, mut index: u128) -> Tree {
        let world = self.worlds.iter().find(|world| {
            let here = index < world.count;
            index -= if here { 0 } else { world.count };
            here
        });
        let world = world.expect("the index is less than the count of all worlds");
        let mut choices = BTreeMap::new();
        for (number, states) in &world.files {
            choices.insert(*number, (states, index % states.count));
            index /= states.count;
        }
        let names = |path: &Arc<Path>, _: &Directory| world.names[path].clone();
        tree.crashed(names, |number, inode| {
            let (states, index) = &choices[&number];
            states.file(inode, *index)
        })
    }
}

/// Whether the directory is left where the changed directories up to it have these entries.
fn is_left_in(tree: &Tree, changed: &BTreeMap<Arc<Path>, Names>, path: &Path) -> bool {
    let names = |path: &Path| changed.get(path).or_else(|| tree.directories.get(path).map(|directory| &directory.live));
    path.ancestors().all(|path| is_left(path, names))
}

/// Every state of the entries that a crash can leave, each once, if there are no more than `max`.
fn names_of(directory: &Directory, loss: DirectoryLoss, max: usize) -> Option<BTreeSet<Names>> {
    let changes = &directory.changes;
    let mut states = BTreeSet::new();
    let ends = match loss {
        DirectoryLoss::Prefix => directory.prefix_min()..=changes.len(),
        DirectoryLoss::Subset => changes.len()..=changes.len(),
    };
    for end in ends {
        let free: Vec<usize> = (0..end)
            .filter(|position| match changes[*position].standing {
                Standing::Durable => false,
                Standing::Lost => true,
                Standing::Pending => loss == DirectoryLoss::Subset,
            })
            .collect();
        if free.len() >= NAMES_MAX.ilog2() as usize {
            return None;
        }
        for choice in 0..1usize << free.len() {
            states.insert(directory.crashed(|position, _| {
                position < end
                    && free.iter().position(|other| *other == position).is_none_or(|bit| choice >> bit & 1 == 1)
            }));
            if states.len() > max {
                return None;
            }
        }
    }
    Some(states)
}
