//! All that a power cut at one instant could leave, and the images drawn from it.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::crash::enumeration::Enumeration;
use crate::random::Random;
use crate::tree::Tree;
use crate::tree::content::{SECTOR_BYTES, Sector};
use crate::tree::directory::{Directory, Names, Standing};
use crate::tree::inode::{Inode, Version};
use crate::{DirectoryLoss, SimDisk, SimDiskConfig, Tear};

/// Everything that a power cut at one instant could leave on the media.
///
/// It is a snapshot: the disk goes on and does not change it. Taking one costs a reference count;
/// the cost of an image grows with the unsynced sectors.
///
/// ```
/// use fz_sim::{SimDisk, Volume};
///
/// let disk = SimDisk::new(1);
/// disk.put("/data", &[0; 1024])?;
/// let file = disk.volume().open("/data".as_ref(), fz_sim::Access::ReadWrite)?;
/// file.write_vectored_at(&[std::io::IoSlice::new(&[1; 1024])], 0)?;
///
/// // Two unsynced sectors: each old or new.
/// let space = disk.crash_space();
/// assert_eq!(space.count(), Some(4));
/// let mut images: Vec<_> = space.all(4).unwrap().map(|image| image.contents("/data").unwrap()).collect();
/// images.sort();
/// assert_eq!(images.iter().map(|bytes| (bytes[0], bytes[512])).collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct CrashSpace {
    config: SimDiskConfig,
    tree: Arc<Tree>,
}

/// [`CrashSpace::distinct`] ends after this many repeated images in a row.
const REPEATS_MAX: usize = 64;

/// The repeats in a row after which the drawing of a whole space is given up, for each of its images. The least
/// likely image of *n* comes once in some ten *n* draws, so none is missed.
const REPEATS_PER_IMAGE: usize = 1024;

impl CrashSpace {
    pub(crate) fn new(config: SimDiskConfig, tree: Arc<Tree>) -> Self {
        Self { config, tree }
    }

    /// The image that `seed` chooses. The choice is not uniform: often everything is kept, or
    /// nothing, or all but one sector, or the changes up to some moment, because engines
    /// break there. Every image has some probability.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/data", &[0; 512])?;
    /// disk.open("/data".as_ref(), Access::ReadWrite)?.write_all_at(&[1; 512], 0)?;
    /// let space = disk.crash_space();
    /// assert_eq!(space.image(5).contents("/data")?, space.image(5).contents("/data")?); // the seed decides
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn image(&self, seed: u64) -> SimDisk {
        self.draw(seed, None)
    }

    /// How many different images there are, torn sectors not counted. `None` if the changed
    /// entries of directories alone have more than 65,536 states, or the number exceeds `u128`.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/data", &[0; 512])?;
    /// disk.open("/data".as_ref(), Access::ReadWrite)?.write_all_at(&[1; 512], 0)?;
    /// let space = disk.crash_space();
    /// assert_eq!(space.count(), Some(2)); // the sector is old or new
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn count(&self) -> Option<u128> {
        Some(Enumeration::new(&self.tree, self.config.directory_loss, u128::MAX)?.count())
    }

    /// Every image once, without torn sectors; `None` if there are more than `images_max`.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/data", &[0; 512])?;
    /// disk.open("/data".as_ref(), Access::ReadWrite)?.write_all_at(&[1; 512], 0)?;
    /// let space = disk.crash_space();
    /// assert_eq!(space.all(10).map(Iterator::count), Some(2));
    /// assert!(space.all(1).is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn all(&self, images_max: usize) -> Option<impl Iterator<Item = SimDisk> + use<>> {
        let enumeration = Enumeration::new(&self.tree, self.config.directory_loss, images_max as u128)?;
        let count = enumeration.count();
        let (config, tree) = (self.config.clone(), Arc::clone(&self.tree));
        Some((0..count).map(move |index| SimDisk::holding(config.clone(), enumeration.image(&tree, index))))
    }

    /// Images that `seed` leads to, no two alike, each with the seed that [`image`](Self::image)
    /// makes it from. Ends when 64 in a row bring nothing new; remembers a hash of each, so take
    /// only as many as you need.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/data", &[0; 1024])?;
    /// let file = disk.open("/data".as_ref(), Access::ReadWrite)?;
    /// file.write_all_at(&[1; 1024], 0)?;
    /// assert_eq!(disk.crash_space().distinct(7).count(), 4); // two sectors, each old or new
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn distinct(&self, seed: u64) -> impl Iterator<Item = (u64, SimDisk)> {
        self.new_images(seed, REPEATS_MAX)
    }

    /// At most `images_max` of the [`distinct`](Self::distinct) ones, and all that there are if they
    /// are no more; with torn sectors, which are not counted, as far as 64 draws bring a new one.
    pub(crate) fn up_to(&self, images_max: usize, seed: u64) -> impl Iterator<Item = (u64, SimDisk)> {
        let enumerated = || Enumeration::new(&self.tree, self.config.directory_loss, images_max as u128);
        let all = if self.config.tear == Tear::Never { enumerated() } else { None };
        let all = all.and_then(|all| usize::try_from(all.count()).ok());
        let repeats_max = all.map_or(REPEATS_MAX, |count| count.saturating_mul(REPEATS_PER_IMAGE));
        self.new_images(seed, repeats_max).take(all.unwrap_or(images_max))
    }

    /// Images that were not there before, until `repeats_max` in a row were.
    fn new_images(&self, seed: u64, repeats_max: usize) -> impl Iterator<Item = (u64, SimDisk)> {
        let mut seeds = Random::new(seed);
        let mut seen = HashSet::new();
        std::iter::from_fn(move || {
            (0..repeats_max).find_map(|_| {
                let seed = seeds.word();
                let mut hash = DefaultHasher::new();
                let image = self.draw(seed, Some(&mut hash));
                seen.insert(hash.finish()).then_some((seed, image))
            })
        })
    }

    fn draw(&self, seed: u64, hash: Option<&mut DefaultHasher>) -> SimDisk {
        let hash = std::cell::RefCell::new(hash);
        let note = |what: &dyn Fn(&mut DefaultHasher)| hash.borrow_mut().iter_mut().for_each(|hash| what(hash));
        let mut random = Random::new(seed);
        let pending = Pending::of(&self.tree);
        let data = Style::draw(&mut random, &pending);
        let names_style = if random.chance(0.75) { data } else { Style::draw(&mut random, &pending) };
        let mut names_random = Random::new(random.word());
        let mut sector_count = 0;
        let names = |_: &Arc<std::path::Path>, directory: &Directory| {
            let names = names_style.names(directory, self.config.directory_loss, &mut names_random);
            note(&|hash| names.hash(hash));
            names
        };
        let file = |number: u64, inode: &Inode| {
            let length = data.length(inode, &mut random);
            note(&|hash| (number, length).hash(hash));
            let mut kept = Vec::new();
            for (sector, versions) in &inode.sectors {
                let choice = data.version(versions, sector_count, &mut random);
                sector_count += 1;
                let Some(bytes) = self.sector(inode, *sector, versions, choice, &mut random) else { continue };
                let visible = length.saturating_sub(sector * SECTOR_BYTES as u64);
                let visible = usize::try_from(visible).unwrap_or(SECTOR_BYTES).min(SECTOR_BYTES);
                note(&|hash| {
                    // A sector that looks as before makes no other image.
                    if inode.stable.sector(*sector)[..visible] != bytes[..visible] {
                        (*sector, &bytes[..visible]).hash(hash);
                    }
                });
                if visible > 0 {
                    kept.push((*sector, bytes));
                }
            }
            inode.crashed(length, kept.into_iter())
        };
        SimDisk::holding(self.config.clone(), self.tree.crashed(names, file))
    }

    /// The bytes of a sector of which the media was to hold `choice`; `None` for the old bytes.
    fn sector(
        &self,
        inode: &Inode,
        sector: u64,
        versions: &[Version],
        choice: Option<usize>,
        random: &mut Random,
    ) -> Option<Arc<Sector>> {
        let whole = choice.map(|choice| Arc::clone(&versions[choice].bytes));
        match self.config.tear {
            Tear::Never if fz_error::mutants::active("sim_tears_sectors") => {}
            Tear::Never => return whole,
            Tear::Prefix => {}
            Tear::Damage if random.chance(0.125) => {
                let mut bytes = [0; SECTOR_BYTES];
                random.fill(&mut bytes);
                return Some(Arc::new(bytes));
            }
            Tear::Damage => return whole,
        }
        match choice {
            Some(choice) if random.chance(0.25) => {
                // Under it lie the bytes that the media held: any of the older versions.
                let older = random.below(choice + 1).checked_sub(1);
                let mut torn = older.map_or_else(|| inode.stable.sector(sector), |old| *versions[old].bytes);
                let first = 1 + random.below(SECTOR_BYTES - 1);
                torn[..first].copy_from_slice(&versions[choice].bytes[..first]);
                Some(Arc::new(torn))
            }
            _ => whole,
        }
    }
}

impl fmt::Debug for CrashSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = Pending::of(&self.tree);
        f.debug_struct("CrashSpace")
            .field("config", &self.config)
            .field("unsynced_sectors", &pending.sectors)
            .finish_non_exhaustive()
    }
}

/// The extent of the unsynced changes.
struct Pending {
    sectors: usize,
    oldest: u64,
    newest: u64,
}

impl Pending {
    fn of(tree: &Tree) -> Self {
        let mut pending = Self { sectors: 0, oldest: u64::MAX, newest: 0 };
        let mut see = |first: Option<u64>, last: Option<u64>| {
            pending.oldest = pending.oldest.min(first.unwrap_or(u64::MAX));
            pending.newest = pending.newest.max(last.unwrap_or(0));
        };
        let mut sectors = 0;
        for inode in tree.inodes.values() {
            sectors += inode.sectors.len();
            for versions in inode.sectors.values() {
                see(versions.first().map(|version| version.sequence), versions.last().map(|version| version.sequence));
            }
            see(
                inode.lengths.first().map(|length| length.sequence),
                inode.lengths.last().map(|length| length.sequence),
            );
        }
        for directory in tree.directories.values() {
            let changes = &directory.changes;
            see(changes.first().map(|change| change.sequence), changes.last().map(|change| change.sequence));
        }
        pending.sectors = sectors;
        pending
    }
}

/// How an image chooses among the unsynced changes.
#[derive(Clone, Copy)]
enum Style {
    Nothing,
    Everything,
    /// The changes up to this moment.
    Until(u64),
    /// Each with this probability.
    Each(f64),
    AllBut(usize),
    Only(usize),
}

impl Style {
    fn draw(random: &mut Random, pending: &Pending) -> Self {
        if fz_error::mutants::active("sim_cut_loses_nothing") {
            return Style::Everything;
        }
        match random.below(12) {
            0 => Style::Nothing,
            1 => Style::Everything,
            2..=4 if pending.oldest <= pending.newest => {
                let span = usize::try_from(pending.newest - pending.oldest).unwrap_or(usize::MAX - 2);
                Style::Until(pending.oldest.saturating_sub(1) + random.below(span + 2) as u64)
            }
            5 if pending.sectors > 0 => Style::Only(random.below(pending.sectors)),
            6 | 7 if pending.sectors > 0 => Style::AllBut(random.below(pending.sectors)),
            8 => Style::Each(0.1),
            9 => Style::Each(0.9),
            _ => Style::Each(0.5),
        }
    }

    fn version(self, versions: &[Version], position: usize, random: &mut Random) -> Option<usize> {
        let newest = versions.len() - 1;
        match self {
            Style::Nothing => None,
            Style::Everything => Some(newest),
            Style::Until(moment) => versions.partition_point(|version| version.sequence <= moment).checked_sub(1),
            Style::Each(probability) => random.chance(probability).then(|| random.below(versions.len())),
            Style::AllBut(missing) if missing == position => random.below(versions.len()).checked_sub(1),
            Style::AllBut(_) => Some(newest),
            Style::Only(kept) => (kept == position).then_some(newest),
        }
    }

    fn length(self, inode: &Inode, random: &mut Random) -> u64 {
        let lengths = &inode.lengths;
        let choice = match self {
            Style::Nothing => 0,
            Style::Until(moment) => lengths.partition_point(|length| length.sequence <= moment),
            Style::Each(_) => random.below(lengths.len() + 1),
            // A length that hides the sectors of interest would waste the image.
            Style::Everything | Style::AllBut(_) | Style::Only(_) => lengths.len(),
        };
        choice.checked_sub(1).map_or(inode.stable_length, |choice| lengths[choice].bytes)
    }

    fn names(self, directory: &Directory, loss: DirectoryLoss, random: &mut Random) -> Names {
        let changes = &directory.changes;
        let (least, most) = (directory.prefix_min(), changes.len());
        let end = match self {
            Style::Nothing => least,
            Style::Until(moment) => changes.partition_point(|change| change.sequence <= moment).max(least),
            Style::Each(_) if loss == DirectoryLoss::Subset => return directory.crashed(|_, _| random.coin()),
            Style::Each(_) => least + random.below(most - least + 1),
            Style::Everything | Style::AllBut(_) | Style::Only(_) => most,
        };
        directory.crashed(|position, change| position < end && (change.standing != Standing::Lost || random.coin()))
    }
}
