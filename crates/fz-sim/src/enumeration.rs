//! Crash images by number, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::DirectoryLoss;
use crate::content::{SECTOR_BYTES, Sector};
use crate::directory::{Directory, Names, Standing};
use crate::inode::Inode;
use crate::tree::Tree;

/// The most states of the directories' entries that are enumerated.
const NAMES_MAX: usize = 1 << 16;

/// Every crash image, numbered.
pub(crate) struct Enumeration {
    /// One for each possible state of all entries.
    worlds: Vec<World>,
}

/// One state of the entries, with the unsynced files that have one.
struct World {
    names: BTreeMap<Arc<Path>, Names>,
    files: Vec<(u64, Arc<FileStates>)>,
    /// `None` if it exceeds `u128`; likewise below.
    count: Option<u128>,
}

struct FileStates {
    by_length: Vec<LengthStates>,
    count: Option<u128>,
}

/// The states of a file of one length: each sector is one of its candidates.
struct LengthStates {
    length: u64,
    sectors: Vec<(u64, Vec<Arc<Sector>>)>,
    count: Option<u128>,
}

impl LengthStates {
    fn new(inode: &Inode, length: u64) -> Self {
        let mut sectors = Vec::new();
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
                sectors.push((*sector, candidates));
            }
        }
        let count =
            sectors.iter().try_fold(1u128, |count, (_, candidates)| count.checked_mul(candidates.len() as u128));
        Self { length, sectors, count }
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
    fn new(inode: &Inode) -> Self {
        let lengths: BTreeSet<u64> =
            inode.lengths.iter().map(|length| length.bytes).chain([inode.stable_length]).collect();
        let by_length: Vec<_> = lengths.into_iter().map(|length| LengthStates::new(inode, length)).collect();
        let count = by_length.iter().try_fold(0u128, |count, states| count.checked_add(states.count?));
        Self { by_length, count }
    }

    fn file(&self, inode: &Inode, mut index: u128) -> Inode {
        for states in &self.by_length {
            let count = states.count.expect("the whole was counted");
            if index < count {
                return states.file(inode, index);
            }
            index -= count;
        }
        unreachable!("the index is less than the count of all lengths")
    }
}

impl Enumeration {
    pub(crate) fn new(tree: &Tree, loss: DirectoryLoss) -> Option<Self> {
        let mut maps = vec![BTreeMap::new()];
        for (path, directory) in &tree.directories {
            if directory.changes.is_empty() {
                continue;
            }
            let states = names_of(directory, loss)?;
            if maps.len() * states.len() > NAMES_MAX {
                return None;
            }
            maps = maps
                .iter()
                .flat_map(|map| states.iter().map(move |names| (map, names)))
                .map(|(map, names)| {
                    let mut map: BTreeMap<Arc<Path>, Names> = map.clone();
                    map.insert(Arc::clone(path), names.clone());
                    map
                })
                .collect();
        }
        let mut files: BTreeMap<u64, Arc<FileStates>> = BTreeMap::new();
        for (number, inode) in tree.inodes.iter().filter(|(_, inode)| !inode.is_clean()) {
            files.insert(*number, Arc::new(FileStates::new(inode)));
        }
        let world = |names: BTreeMap<Arc<Path>, Names>| {
            let entries = tree.directories.iter().flat_map(|(path, directory)| {
                let names = names.get(path).unwrap_or(&directory.live);
                names.values().copied().collect::<Vec<_>>()
            });
            let present: BTreeSet<u64> = entries.collect();
            let files = present.iter().filter_map(|number| Some((*number, Arc::clone(files.get(number)?))));
            let files: Vec<(u64, Arc<FileStates>)> = files.collect();
            let count = files.iter().try_fold(1u128, |count, (_, states)| count.checked_mul(states.count?));
            World { names, files, count }
        };
        Some(Self { worlds: maps.into_iter().map(world).collect() })
    }

    pub(crate) fn count(&self) -> Option<u128> {
        self.worlds.iter().try_fold(0u128, |count, world| count.checked_add(world.count?))
    }

    /// The tree of image number `index`, which is less than the count.
    pub(crate) fn image(&self, tree: &Tree, mut index: u128) -> Tree {
        let world = self.worlds.iter().find(|world| {
            let count = world.count.expect("the whole was counted");
            let here = index < count;
            index -= if here { 0 } else { count };
            here
        });
        let world = world.expect("the index is less than the count of all worlds");
        let mut choices = BTreeMap::new();
        for (number, states) in &world.files {
            let count = states.count.expect("the whole was counted");
            choices.insert(*number, (states, index % count));
            index /= count;
        }
        let names = |path: &Arc<Path>, _: &Directory| world.names[path].clone();
        tree.crashed(names, |number, inode| {
            let (states, index) = &choices[&number];
            states.file(inode, *index)
        })
    }
}

/// Every state of the entries that a crash can leave, each once.
fn names_of(directory: &Directory, loss: DirectoryLoss) -> Option<BTreeSet<Names>> {
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
        }
    }
    Some(states)
}
