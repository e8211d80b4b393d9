//! Opens crash images and holds them against the oracle.

use std::hash::{DefaultHasher, Hash, Hasher};

use fz_file::{Create, FileErrorKind, SlotFile, SlotFileConfig};
use fz_sim::{CrashSpace, SimDisk};

use crate::campaign::scenario::Scenario;
use crate::campaign::tally::Tally;
use crate::disk::watch::Instant;
use crate::oracle::ledger::Accepted;
use crate::oracle::model::{Model, View};
use crate::random::Random;

/// Where the slot file of every run is.
pub(crate) const PATH: &str = "/slots";

/// The slot file, and beside it a temporary file of a creation that was cut short.
const DIRECTORY_ENTRIES_MAX: usize = 2;

/// Checks crash images of every instant, and returns a hash of each image with the promises made
/// when it was taken.
///
/// # Errors
///
/// The first image that breaks a promise.
pub(crate) fn verify(
    scenario: &Scenario,
    model: &Model,
    accepted: &[Accepted],
    instants: &[Instant],
    random: &mut Random,
    tally: &mut Tally,
) -> Result<Vec<u64>, String> {
    let mut view = View::new(model, accepted);
    let mut judge = Judge { scenario, bytes: Vec::new(), hashes: Vec::new() };
    for instant in instants {
        view.advance(instant.durable);
        let phase = instant.phase as usize;
        let mut checked = 0;
        // Few enough to take them all: then nothing is taken twice.
        let seed = random.word();
        let every = (scenario.images_max > 2).then(|| instant.space.all(scenario.images_max)).flatten();
        let mut each = |image: &SimDisk, image_seed: Option<u64>| {
            checked += 1;
            judge.check(image, instant, &view).map_err(|message| {
                let which = image_seed.map_or("one of all images".to_owned(), |seed| format!("image seed {seed}"));
                format!("{message}\nthe power went while {}; {which}", instant.phase)
            })
        };
        match every {
            Some(images) => images.into_iter().try_for_each(|image| each(&image, None))?,
            None => sampled(&instant.space, seed, scenario.images_max)
                .try_for_each(|(seed, image)| each(&image, Some(seed)))?,
        }
        tally.instants_by_phase[phase] += 1;
        tally.states_by_phase[phase] += checked;
        tally.states += checked;
    }
    Ok(judge.hashes)
}

fn sampled(space: &CrashSpace, seed: u64, images: usize) -> impl Iterator<Item = (u64, SimDisk)> {
    let mut seeds = Random::new(seed);
    (0..images).map(move |_| {
        let seed = seeds.word();
        (seed, space.image(seed))
    })
}

struct Judge<'a> {
    scenario: &'a Scenario,
    bytes: Vec<u8>,
    hashes: Vec<u64>,
}

impl Judge<'_> {
    fn check(&mut self, image: &SimDisk, instant: &Instant, view: &View<'_>) -> Result<(), String> {
        let file = self.open(image, instant)?;
        self.bytes.resize(usize::try_from(file.slots()).unwrap_or(0) * self.scenario.slot_size(), 0);
        if !self.bytes.is_empty() {
            file.read(0, &mut self.bytes).map_err(|error| format!("J: the file opened and cannot be read: {error}"))?;
        }
        view.check(&self.bytes, instant.slots.unwrap_or(0))?;
        let mut hash = DefaultHasher::new();
        (self.scenario.slot_size(), instant.durable, instant.slots, image.files().len()).hash(&mut hash);
        hash.write(&self.bytes);
        self.hashes.push(hash.finish());
        Ok(())
    }

    fn open(&self, image: &SimDisk, instant: &Instant) -> Result<SlotFile, String> {
        let config = SlotFileConfig::new(PATH, self.scenario.slot_size()).preallocation(self.scenario.preallocation);
        let file = match SlotFile::open_on(image.volume(), config.clone().create(Create::Never)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), FileErrorKind::NotFound) && instant.slots.is_none() => {
                // No open has returned yet, so the file may be missing. Its remains must not be in the way.
                let config = config.initial_slots(self.scenario.initial_slots);
                SlotFile::open_on(image.volume(), config)
                    .map_err(|error| format!("J: after a power cut the file cannot be created: {error:?}"))?
            }
            Err(error) => return Err(format!("J: after a power cut the file does not open: {error:?}")),
        };
        let promised = instant.slots.unwrap_or(self.scenario.initial_slots);
        if file.slots() < promised {
            return Err(format!("J: after a power cut the file has {} slots, promised were {promised}", file.slots()));
        }
        let entries = image.files();
        if entries.len() > DIRECTORY_ENTRIES_MAX {
            return Err(format!("J: after a power cut there are {entries:?}"));
        }
        Ok(file)
    }
}
