//! The disk against a second, simpler model of itself: whole snapshots of the file after each call.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;

use fz_sim::{Access, CrashTest, SECTOR_BYTES, SimDisk, Storage, Volume};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

#[derive(Clone, Debug)]
enum Step {
    Write { offset: usize, bytes: usize, fill: u8 },
    SetLength(usize),
    Allocate { offset: usize, bytes: usize },
    WriteBack,
    Sync,
}

/// Steps on a file of at most four sectors.
fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let span = 4 * SECTOR_BYTES;
    let step = prop_oneof![
        6 => (0..span - 1, 1..700usize, 1..=255u8)
            .prop_map(move |(offset, bytes, fill)| Step::Write { offset, bytes: bytes.min(span - offset), fill }),
        2 => (0..span).prop_map(Step::SetLength),
        1 => (0..span - 1, 1..700usize)
            .prop_map(move |(offset, bytes)| Step::Allocate { offset, bytes: bytes.min(span - offset) }),
        1 => Just(Step::WriteBack),
        2 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..max)
}

/// Every content since the last sync, the synced one first.
struct Snapshots(Vec<Vec<u8>>);

impl Snapshots {
    fn now(&self) -> &Vec<u8> {
        self.0.last().expect("there is always the synced one")
    }

    fn step(&mut self, step: &Step) {
        let mut next = self.now().clone();
        match *step {
            Step::Write { offset, bytes, fill } => {
                next.resize(next.len().max(offset + bytes), 0);
                next[offset..offset + bytes].fill(fill);
            }
            Step::SetLength(bytes) => next.resize(bytes, 0),
            Step::Allocate { offset, bytes } => next.resize(next.len().max(offset + bytes), 0),
            Step::WriteBack => return,
            Step::Sync => self.0.clear(),
        }
        self.0.push(next);
    }

    /// The contents of `sector` in a file of `length` that a cut can leave.
    fn sector(&self, sector: usize, length: usize) -> BTreeSet<Vec<u8>> {
        let end = ((sector + 1) * SECTOR_BYTES).min(length);
        let cut = |snapshot: &Vec<u8>| {
            let mut padded = snapshot.clone();
            padded.resize(padded.len().max(end), 0);
            padded[sector * SECTOR_BYTES..end].to_vec()
        };
        self.0.iter().map(cut).collect()
    }

    fn lengths(&self) -> BTreeSet<usize> {
        self.0.iter().map(Vec::len).collect()
    }

    fn is_legal(&self, image: &[u8]) -> bool {
        let mut sectors = image.chunks(SECTOR_BYTES).enumerate();
        self.lengths().contains(&image.len())
            && sectors.all(|(sector, bytes)| self.sector(sector, image.len()).contains(bytes))
    }

    /// Every legal image; `None` if there are more than `max`.
    fn all(&self, max: usize) -> Option<BTreeSet<Vec<u8>>> {
        let mut all = BTreeSet::new();
        for length in self.lengths() {
            let mut images = vec![Vec::new()];
            for sector in 0..length.div_ceil(SECTOR_BYTES) {
                let candidates = self.sector(sector, length);
                images = images
                    .iter()
                    .flat_map(|image: &Vec<u8>| candidates.iter().map(move |sector| [&image[..], sector].concat()))
                    .collect();
                if images.len() > max {
                    return None;
                }
            }
            all.extend(images);
        }
        (all.len() <= max).then_some(all)
    }
}

const FILE: &str = "/file";

fn file_on(disk: &SimDisk) -> Box<dyn Storage> {
    disk.put(FILE, &[]).unwrap();
    disk.open(Path::new(FILE), Access::ReadWrite).unwrap()
}

fn apply(file: &dyn Storage, step: &Step) {
    try_apply(file, step).unwrap();
}

fn try_apply(file: &dyn Storage, step: &Step) -> io::Result<()> {
    match *step {
        Step::Write { offset, bytes, fill } => {
            let bytes = vec![fill; bytes];
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let written = file.write_vectored_at(&[IoSlice::new(first), IoSlice::new(second)], offset as u64)?;
            assert_eq!(written, bytes.len());
            Ok(())
        }
        Step::SetLength(bytes) => file.set_length(bytes as u64),
        Step::Allocate { offset, bytes } => file.allocate(offset as u64, bytes as u64),
        Step::WriteBack => file.write_back(0, 1 << 20),
        Step::Sync => file.sync_data(),
    }
}

fn run(steps: &[Step]) -> (SimDisk, Snapshots) {
    let disk = SimDisk::new(1);
    let file = file_on(&disk);
    let mut snapshots = Snapshots(vec![Vec::new()]);
    for step in steps {
        apply(&*file, step);
        snapshots.step(step);
    }
    (disk, snapshots)
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn reads_see_every_write(steps in steps(12)) {
        let (disk, snapshots) = run(&steps);
        prop_assert_eq!(&disk.contents(FILE).unwrap(), snapshots.now());
    }

    #[test]
    fn every_image_is_a_legal_subset_and_every_legal_subset_is_an_image(steps in steps(8)) {
        let (disk, snapshots) = run(&steps);
        let space = disk.crash_space();
        let Some(legal) = snapshots.all(2000) else { return Ok(()) };
        prop_assert_eq!(space.count(), Some(legal.len() as u128));
        let images: Vec<_> = space.all(2000).unwrap().map(|image| image.contents(FILE).unwrap()).collect();
        prop_assert_eq!(images.len(), legal.len());
        prop_assert_eq!(images.into_iter().collect::<BTreeSet<_>>(), legal);
    }

    #[test]
    fn every_sampled_image_is_legal(steps in steps(30), seed: u64) {
        let (disk, snapshots) = run(&steps);
        let mut seen = BTreeSet::new();
        for (image_seed, image) in disk.crash_space().distinct(seed).take(40) {
            let bytes = image.contents(FILE).unwrap();
            prop_assert!(seen.insert(bytes.clone()), "image {} is not new", image_seed);
            prop_assert!(snapshots.is_legal(&bytes), "image {} of length {}", image_seed, bytes.len());
            prop_assert_eq!(disk.crash_image(image_seed).contents(FILE).unwrap(), bytes);
        }
    }

    #[test]
    fn sampling_reaches_every_image_of_a_small_space(steps in steps(6), seed: u64) {
        let (disk, _) = run(&steps);
        let space = disk.crash_space();
        let Some(all) = space.all(12) else { return Ok(()) };
        let all: BTreeSet<_> = all.map(|image| image.contents(FILE).unwrap()).collect();
        let mut missing = all.clone();
        for n in 0..20_000 {
            let image = space.image(seed ^ n).contents(FILE).unwrap();
            prop_assert!(all.contains(&image));
            missing.remove(&image);
            if missing.is_empty() {
                return Ok(());
            }
        }
        prop_assert!(false, "20,000 images without {} of {}", missing.len(), all.len());
    }

    /// The sampling takes two images for different where the enumeration counts two.
    #[test]
    fn a_crash_test_checks_each_image_of_a_small_space_once(steps in steps(6), seed: u64) {
        let on = |disk: &SimDisk| {
            disk.put(FILE, &[]).unwrap();
            if let Ok(file) = disk.open(Path::new(FILE), Access::ReadWrite) {
                let _ = steps.iter().try_for_each(|step| try_apply(&*file, step));
            }
        };
        let report = CrashTest::new(seed)
            .images_max(10)
            .run(|disk, _| on(disk), |_, _: &[()]| Ok(()))
            .unwrap();
        // The same cuts as they come to a program that lives until then.
        let mut most = 0;
        let mut is_exact = true;
        for cut in 1..=report.cuts() + 1 {
            let disk = SimDisk::new(seed);
            disk.cut_power_at(cut);
            on(&disk);
            prop_assert_eq!(disk.power_is_on(), cut > report.cuts());
            match disk.crash_space().count() {
                Some(count) if count <= 10 => most += u64::try_from(count).unwrap(),
                _ => (most, is_exact) = (most + 10, false),
            }
        }
        prop_assert!(report.images() == most || !is_exact && report.images() < most);
    }

    #[test]
    fn a_synced_data_survives_every_image(steps in steps(12), seed: u64) {
        let (disk, snapshots) = run(&[&steps[..], &[Step::Sync]].concat());
        let length = snapshots.now().len() as u64;
        prop_assert!(disk.is_durable(FILE, 0..length));
        prop_assert_eq!(disk.crash_space().count(), Some(1));
        prop_assert_eq!(&disk.power_cut(seed).contents(FILE).unwrap(), snapshots.now());
    }

    /// The query says exactly what all images have in common.
    #[test]
    fn guaranteed_bytes_are_those_on_which_all_images_agree(steps in steps(7)) {
        let (disk, snapshots) = run(&steps);
        let Some(legal) = snapshots.all(2000) else { return Ok(()) };
        let shortest = legal.iter().map(Vec::len).min().unwrap();
        let agreed: Vec<Option<u8>> = (0..shortest)
            .map(|position| {
                let values: BTreeSet<u8> = legal.iter().map(|image| image[position]).collect();
                (values.len() == 1).then(|| *values.first().unwrap())
            })
            .collect();
        prop_assert_eq!(disk.guaranteed(FILE).unwrap(), agreed);
    }

    /// What `is_durable` says yes to was synced, even if the unsynced bytes are equal; it says no
    /// only if something of the range was not.
    #[test]
    fn is_durable_follows_the_writes_since_the_last_sync(
        steps in steps(12),
        start in 0..2000usize,
        bytes in 1..300usize,
    ) {
        let (disk, snapshots) = run(&steps);
        let range = start..start + bytes;
        let unsynced = steps.iter().rev().take_while(|step| !matches!(step, Step::Sync));
        let mut touched = false;
        let mut cut = false;
        for step in unsynced {
            match *step {
                Step::Write { offset, bytes, .. } => {
                    touched |= offset < range.end && start < offset + bytes;
                }
                Step::SetLength(length) => cut |= length < range.end,
                Step::Allocate { .. } | Step::WriteBack | Step::Sync => {}
            }
        }
        let reaches = snapshots.lengths().first().is_some_and(|shortest| range.end <= *shortest);
        let durable = disk.is_durable(FILE, range.start as u64..range.end as u64);
        prop_assert!(!durable || (reaches && !touched));
        prop_assert!(durable || !reaches || touched || cut);
        if durable {
            let (guaranteed, live) = (disk.guaranteed(FILE).unwrap(), disk.contents(FILE).unwrap());
            for position in range {
                prop_assert_eq!(guaranteed[position], Some(live[position]));
            }
        }
    }
}
