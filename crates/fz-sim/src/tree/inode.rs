//! A file below its names: the bytes that reads see, those on the media, and every version between.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::random::Random;
use crate::tree::content::{Content, PAGE_BYTES, SECTOR_BYTES, Sector, block_of};
use crate::tree::touched::Touched;
use crate::{Errno, PageFate, Tear};

/// The moment at which a sync began, and so the changes that it covers if it succeeds.
#[derive(Clone, Debug)]
pub(crate) struct SyncStart {
    /// The last change that had been made.
    pub(crate) sequence: u64,
    /// The changes among them whose call had not returned; the sync owes them nothing.
    pub(crate) in_flight: BTreeSet<u64>,
}

impl SyncStart {
    pub(crate) fn covers(&self, sequence: u64) -> bool {
        if fz_error::mutants::active("sim_sync_covers_in_flight") {
            return true;
        }
        sequence <= self.sequence && !self.in_flight.contains(&sequence)
    }
}

/// A sector as one write left it, not known to be on the media.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) sequence: u64,
    pub(crate) touched: Touched,
    pub(crate) bytes: Arc<Sector>,
    /// Where its write ended, if the file was long enough already, so that it made no length of its own.
    pub(crate) inside: Option<u64>,
    /// Its page was marked clean by a sync that failed: no later sync makes it durable.
    pub(crate) lost: bool,
}

/// A length of the file, not known to be on the media.
#[derive(Clone, Debug)]
pub(crate) struct LengthVersion {
    pub(crate) sequence: u64,
    pub(crate) bytes: u64,
    /// By a write past the end: it goes the way of the write's pages.
    pub(crate) written: bool,
    pub(crate) lost: bool,
}

/// One file. Invariant: each sector of `live` equals its newest version, or `stable` if it has
/// none. `length` is at least the newest of `lengths`, or `stable_length`; it is more only where a
/// lost one is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub(crate) live: Content,
    pub(crate) length: u64,
    pub(crate) stable: Content,
    pub(crate) stable_length: u64,
    /// Oldest first.
    pub(crate) lengths: Vec<LengthVersion>,
    /// By sector; each list has at least one entry, oldest first.
    pub(crate) sectors: BTreeMap<u64, Vec<Version>>,
    /// Blocks that were never written to when a write-back of them failed. The cache goes on taking them for
    /// written, so no later one reaches the media until the cached pages are dropped (ext4, see [`crate::disk`]).
    pub(crate) stale: BTreeSet<u64>,
    /// Blocks reserved since the last sync, by the change that did it.
    pub(crate) reserved: Vec<(u64, Range<u64>)>,
    /// The error of a write-back that failed in the background; the next sync reports it.
    pub(crate) background_error: Option<Errno>,
}

/// The sectors of `range`, each with the bytes of it that lie in the range.
pub(crate) fn sectors_of(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let bytes = SECTOR_BYTES as u64;
    let sectors = if range.is_empty() { 0..0 } else { range.start / bytes..range.end.div_ceil(bytes) };
    sectors.map(move |sector| {
        let within = |position: u64| usize::try_from(position.saturating_sub(sector * bytes)).unwrap_or(usize::MAX);
        (sector, within(range.start)..within(range.end).min(SECTOR_BYTES))
    })
}

/// How many versions a sector may have; `None` while all of them must be kept.
pub(crate) type Thinning = Option<usize>;

impl LengthVersion {
    /// Whether a write made it, and its last byte is in one of these sectors.
    fn is_written_in(&self, sectors: &Range<u64>) -> bool {
        self.written && sectors.contains(&((self.bytes - 1) / SECTOR_BYTES as u64))
    }
}

impl Inode {
    /// A file that is wholly on the media.
    pub(crate) fn durable(content: Content, length: u64) -> Self {
        Self { live: content.clone(), length, stable: content, stable_length: length, ..Self::default() }
    }

    pub(crate) fn is_clean(&self) -> bool {
        let Self { sectors, lengths, reserved, stale, background_error, .. } = self;
        let is_synced = sectors.is_empty() && lengths.is_empty() && reserved.is_empty();
        is_synced && stale.is_empty() && background_error.is_none()
    }

    pub(crate) fn write(&mut self, sequence: u64, offset: u64, bytes: &[u8], thinning: Thinning) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        // Past a length that was lost the file has to be made longer again, though it looks long enough.
        let is_longer = end > self.kept_length(self.lengths.len());
        self.live.write(offset, bytes);
        for (sector, within) in sectors_of(offset..end) {
            self.push_version(sequence, sector, Touched::of(within), (!is_longer).then_some(end), thinning);
        }
        if is_longer {
            self.push_length(sequence, end, true, thinning);
        }
    }

    pub(crate) fn set_length(&mut self, sequence: u64, bytes: u64, thinning: Thinning) {
        if bytes < self.length {
            let cut: Vec<u64> = self.live.sectors_from(bytes).collect();
            self.live.truncate(bytes);
            // The pages that are whole beyond the end leave the cache.
            self.stale.split_off(&bytes.div_ceil(PAGE_BYTES as u64));
            for (sector, within) in sectors_of(bytes..self.length) {
                // A hole has nothing to lose.
                if cut.binary_search(&sector).is_ok() {
                    self.push_version(sequence, sector, Touched::of(within), None, thinning);
                }
            }
        }
        if bytes != self.length {
            self.push_length(sequence, bytes, false, thinning);
        }
    }

    pub(crate) fn allocate(&mut self, sequence: u64, range: Range<u64>, thinning: Thinning) {
        let end = range.end;
        self.live.reserve(range.clone());
        self.reserved.push((sequence, range));
        if end > self.length {
            self.push_length(sequence, end, false, thinning);
        }
    }

    fn push_version(&mut self, sequence: u64, sector: u64, touched: Touched, inside: Option<u64>, thinning: Thinning) {
        let versions = self.sectors.entry(sector).or_default();
        let bytes = Arc::new(self.live.sector(sector));
        versions.push(Version { sequence, touched, bytes, inside, lost: false });
        if thinning.is_some_and(|max| versions.len() > max) {
            // Not the newest: it is what reads see.
            let forgotten = versions.remove(Random::of_call(sector, sequence).below(versions.len() - 1));
            // The next version becomes durable no earlier, so it can answer for the bytes.
            let position = versions.partition_point(|version| version.sequence < forgotten.sequence);
            versions[position].touched.add(&forgotten.touched);
        }
    }

    fn push_length(&mut self, sequence: u64, bytes: u64, written: bool, thinning: Thinning) {
        self.length = if written { self.length.max(bytes) } else { bytes };
        self.lengths.push(LengthVersion { sequence, bytes, written, lost: false });
        if thinning.is_some_and(|max| self.lengths.len() > max) {
            // Not the newest, nor what reads see, nor the shortest, up to which bytes are guaranteed.
            let newest = self.lengths.len() - 1;
            let seen = self.lengths.iter().rposition(|length| length.bytes == self.length);
            let shortest = (0..newest).min_by_key(|position| self.lengths[*position].bytes);
            let forgettable = |position: &usize| Some(*position) != seen && Some(*position) != shortest;
            let candidates: Vec<usize> = (0..newest).filter(forgettable).collect();
            if !candidates.is_empty() {
                self.lengths.remove(candidates[Random::of_call(bytes, sequence).below(candidates.len())]);
            }
        }
    }

    /// A sync that began at `start` has succeeded.
    pub(crate) fn sync(&mut self, start: &SyncStart) {
        let (stable, stale) = (&mut self.stable, &self.stale);
        self.sectors.retain(|sector, versions| {
            if stale.contains(&block_of(*sector)) {
                let covered = versions.iter_mut().filter(|version| start.covers(version.sequence));
                covered.for_each(|version| version.lost = true);
                return true;
            }
            if let Some(newest) = versions.iter().rposition(|version| !version.lost && start.covers(version.sequence)) {
                stable.set_sector(*sector, &versions[newest].bytes);
                versions.drain(..=newest);
            }
            !versions.is_empty()
        });
        if let Some(newest) = self.lengths.iter().rposition(|length| !length.lost && start.covers(length.sequence)) {
            let stable = self.lengths[newest].bytes;
            self.stable_length = stable;
            // A write makes a file longer, never shorter: a longer one that was lost may still be there.
            let first = self.lengths[..=newest].iter().rposition(|length| !length.written).unwrap_or(0);
            let mut position = 0..;
            self.lengths.retain(|length| {
                let position = position.next().expect("there is a number for each");
                position > newest || position >= first && length.written && length.lost && length.bytes > stable
            });
        }
        for (_, range) in self.reserved.extract_if(.., |(sequence, _)| start.covers(*sequence)) {
            self.stable.reserve(range);
        }
    }

    /// A sync that began at `start` has failed, and treats the pages of `sectors` so.
    pub(crate) fn fail_sync(&mut self, start: &SyncStart, fate: PageFate, sectors: Range<u64>) {
        match fate {
            PageFate::Kept => {}
            PageFate::Dropped if fz_error::mutants::active("sim_dropped_pages_come_back") => {}
            PageFate::Dropped => self.lose(start.sequence, sectors),
            PageFate::Reverted => self.revert(start.sequence, sectors),
        }
    }

    /// Marks the versions up to `sequence` clean, without writing them. A length that no write made
    /// is metadata, which the next sync that succeeds covers.
    fn lose(&mut self, sequence: u64, sectors: Range<u64>) {
        for length in self.lengths.iter_mut().filter(|length| length.is_written_in(&sectors)) {
            length.lost |= length.sequence <= sequence;
        }
        for (sector, versions) in self.sectors.range_mut(sectors) {
            for version in versions.iter_mut().filter(|version| version.sequence <= sequence && !version.lost) {
                version.lost = true;
                let is_unwritten = !self.stable.is_written(*sector);
                if is_unwritten && !fz_error::mutants::active("sim_stale_blocks_come_back") {
                    self.stale.insert(block_of(*sector));
                }
            }
        }
        self.reach_what_came_later(sequence);
    }

    /// A write after `sequence` inside a length that may have been lost up to then makes the file reach to the end of
    /// that write, as it would if it came now.
    fn reach_what_came_later(&mut self, sequence: u64) {
        let versions = self.sectors.values().flatten().filter(|version| version.sequence > sequence && !version.lost);
        let ends: BTreeMap<_, _> =
            versions.filter_map(|version| version.inside.map(|end| (version.sequence, end))).collect();
        for (sequence, bytes) in ends {
            let place = self.lengths.partition_point(|length| length.sequence < sequence);
            let has_own = self.lengths.get(place).is_some_and(|length| length.sequence == sequence);
            if !has_own && bytes > self.kept_length(place) {
                self.lengths.insert(place, LengthVersion { sequence, bytes, written: true, lost: false });
            }
        }
    }

    /// How long the first `count` of the lengths make the file, without those that are lost.
    fn kept_length(&self, count: usize) -> u64 {
        self.lengths[..count].iter().rfind(|length| !length.lost).map_or(self.stable_length, |length| length.bytes)
    }

    /// The write-back of these sectors, as change `sequence` left them, fails unseen. Older versions are lost
    /// too: the cache holds one content, not one for each version.
    pub(crate) fn lose_in_background(&mut self, sequence: u64, sectors: Range<u64>, errno: Errno) {
        self.lose(sequence, sectors);
        self.background_error = Some(errno);
    }

    fn revert(&mut self, sequence: u64, sectors: Range<u64>) {
        let affected: Vec<u64> = self.sectors.range(sectors.clone()).map(|(sector, _)| *sector).collect();
        for sector in affected {
            let versions = self.sectors.get_mut(&sector).expect("the sector was just listed");
            versions.retain(|version| version.sequence > sequence);
            if versions.is_empty() {
                self.sectors.remove(&sector);
                let media = self.stable.sector(sector);
                self.live.set_sector(sector, &media);
            }
        }
        let goes = |length: &LengthVersion| length.sequence <= sequence && length.is_written_in(&sectors);
        let stays = self.lengths.iter().filter(|length| !goes(length));
        let kept = stays.fold(
            self.stable_length,
            |kept, length| if length.written { kept.max(length.bytes) } else { length.bytes },
        );
        let kept = kept.min(self.length);
        let last_dirty = self.sectors.last_key_value().map_or(0, |(sector, _)| (sector + 1) * SECTOR_BYTES as u64);
        if last_dirty > kept {
            // A write made meanwhile may lie past that: the length stays, and is on the media or not.
            self.lose(sequence, sectors);
            return;
        }
        self.lengths.retain(|length| !goes(length));
        self.length = kept;
        self.live.truncate(kept);
        // Where no image reaches any more there are zeros, should the file grow back.
        let longest = self.lengths.iter().map(|length| length.bytes).fold(self.stable_length, u64::max);
        self.stable.truncate(longest);
    }

    /// Evicts the clean pages: reads then see the bytes on the media.
    pub(crate) fn drop_caches(&mut self, random: &mut Random) {
        let (live, stable) = (&mut self.live, &mut self.stable);
        self.sectors.retain(|sector, versions| {
            if !versions.iter().all(|version| version.lost) {
                return true;
            }
            if let Some(chosen) = random.below(versions.len() + 1).checked_sub(1) {
                stable.set_sector(*sector, &versions[chosen].bytes);
            }
            live.set_sector(*sector, &stable.sector(*sector));
            false
        });
        // A block with a dirty page stays as the cache has it.
        let dirty: BTreeSet<u64> = self.sectors.keys().map(|sector| block_of(*sector)).collect();
        self.stale.retain(|block| dirty.contains(block));
        self.live.truncate(self.length);
    }

    /// Changes each byte of `range` on the media. The cache shows it where it holds nothing newer.
    pub(crate) fn corrupt(&mut self, range: Range<u64>, random: &mut Random) {
        for (sector, within) in sectors_of(range) {
            let mut bytes = self.stable.sector(sector);
            for byte in &mut bytes[within] {
                *byte ^= random.nonzero();
            }
            self.stable.set_sector(sector, &bytes);
            if !self.sectors.contains_key(&sector) {
                self.live.set_sector(sector, &bytes);
            }
        }
    }

    /// The file on the media after a crash with this length and these sectors; where a sector is
    /// not named the old one is there.
    pub(crate) fn crashed(&self, length: u64, sectors: impl Iterator<Item = (u64, Arc<Sector>)>) -> Self {
        let mut media = self.stable.clone();
        for (sector, bytes) in sectors {
            media.set_sector(sector, &bytes);
        }
        media.truncate(length);
        Self::durable(media, length)
    }

    /// The shortest length that a power cut can leave.
    pub(crate) fn guaranteed_length(&self) -> u64 {
        self.lengths.iter().map(|length| length.bytes).fold(self.stable_length, u64::min)
    }

    /// For each byte up to there its value after every power cut, `None` where it depends on the cut.
    pub(crate) fn guaranteed_bytes(&self, tear: Tear) -> Vec<Option<u8>> {
        let length = usize::try_from(self.guaranteed_length()).expect("a length within file_bytes_max fits usize");
        let mut stable = vec![0; length];
        self.stable.read(0, &mut stable);
        let mut bytes: Vec<Option<u8>> = stable.into_iter().map(Some).collect();
        for (sector, versions) in &self.sectors {
            let first = usize::try_from(*sector).map_or(usize::MAX, |sector| sector.saturating_mul(SECTOR_BYTES));
            for (position, byte) in bytes.iter_mut().skip(first).take(SECTOR_BYTES).enumerate() {
                let differs = |version: &Version| Some(version.bytes[position]) != *byte;
                if tear == Tear::Damage || versions.iter().any(differs) {
                    *byte = None;
                }
            }
        }
        bytes
    }
}
