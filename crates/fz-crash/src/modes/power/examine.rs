//! Mounts a disk that a power cut left, and checks what is on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fz_file::{Create, FileErrorKind, SlotFile, SlotFileConfig};
use serde::{Deserialize, Serialize};

use crate::disk::device::{FileSystem, LoopDevice};
use crate::disk::image::{Base, Image};
use crate::disk::log::{Promised, intervals};
use crate::disk::loss::Loss;
use crate::modes::power::Recording;
use crate::modes::power::record::NAME;
use crate::oracle::history::{Checked, History};
use crate::os::resources::Directory;
use crate::random::Random;
use crate::report::Findings;
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;

/// One state in `EXTRA_EVERY` is recovered twice, and as many have their recovery cut short.
const EXTRA_EVERY: u64 = 8;

const KEPT_PREFIX: &str = "fz-crash-failed-";

/// The most disks that this process keeps: a few are enough to see what is wrong, and they are large.
const KEPT_DISKS_MAX: usize = 5;
/// How many it kept, or would have kept.
static KEPT_DISKS: AtomicUsize = AtomicUsize::new(0);

/// A state to examine.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) image: Image,
    pub(crate) promised: Promised,
    /// Decides what else is done to it.
    pub(crate) chance: u64,
}

/// All that is needed to judge a disk; kept beside a failing one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) file_system: FileSystem,
    pub(crate) plan: Plan,
    pub(crate) slots: Option<u64>,
    pub(crate) durable: u64,
    pub(crate) writes: Vec<Accepted>,
}

/// A device of its own to mount states on.
#[derive(Debug)]
pub(crate) struct Examiner<'a> {
    recording: &'a Recording,
    device: LoopDevice,
    directory: PathBuf,
}

impl<'a> Examiner<'a> {
    pub(crate) fn new(recording: &'a Recording, directory: &Path) -> io::Result<Self> {
        let device = LoopDevice::new(Image::new(Arc::clone(&recording.base)), directory)?;
        Ok(Self { recording, device, directory: directory.to_owned() })
    }

    /// Checks a state, perhaps its second recovery, and perhaps a recovery that is cut short.
    pub(crate) fn examine(&self, case: &Case) -> io::Result<Findings> {
        let mut findings = Findings::default();
        let mut random = Random::new(case.chance);
        let Some(bytes) = self.recover(&case.image, case.promised, true, &mut findings)? else { return Ok(findings) };
        let log = self.device.recorder().take_log();
        if random.below(EXTRA_EVERY) == 0 {
            findings.count("recovered twice", 1);
            // The disk as the first recovery left it stays in the device.
            let again = self.look(case.promised, &mut findings, &case.image)?;
            if again.is_some_and(|again| again != bytes) {
                self.failed(&case.image, case.promised, "a second recovery gave other bytes", &mut findings)?;
            }
        }
        // Without a file one was made and removed, and what that wrote is no part of a recovery.
        if random.below(EXTRA_EVERY) == 0 && !bytes.is_empty() {
            let medium = self.recording.file_system.medium();
            let intervals = intervals(&log);
            let last = random.index(intervals.len());
            let mut image = case.image.clone();
            for write in intervals[..last].iter().flat_map(|interval| &interval.pending) {
                image.write(write.offset, &write.bytes);
            }
            let pending = &intervals[last].pending;
            Loss::draw(pending, medium, &mut random).apply(&mut image, pending, medium);
            findings.count("recoveries cut", 1);
            self.recover(&image, case.promised, false, &mut findings)?;
        }
        Ok(findings)
    }

    /// Puts a disk in and checks it. Returns the slot file's bytes if all is well; none of them if there is
    /// rightly no file.
    fn recover(
        &self,
        image: &Image,
        promised: Promised,
        record: bool,
        findings: &mut Findings,
    ) -> io::Result<Option<Vec<u8>>> {
        self.device.insert(image.clone(), record)?;
        let bytes = self.look(promised, findings, image)?;
        if self.device.recorder().reads() == 0 {
            findings.fail("nothing was read from the disk: the kernel showed a cache instead");
        }
        Ok(bytes)
    }

    fn look(&self, promised: Promised, findings: &mut Findings, image: &Image) -> io::Result<Option<Vec<u8>>> {
        let recording = self.recording;
        let verdict = match self.device.mount(recording.file_system) {
            Err(error) => Err(format!("the file system cannot be mounted: {error}")),
            Ok(mount) => {
                let path = self.device.target().join(NAME);
                let verdict = judge(&path, &recording.plan, &recording.history, promised);
                mount.unmount()?;
                verdict
            }
        };
        match verdict {
            Ok((bytes, checked)) => {
                findings.count("acks checked", recording.history.writes_through(promised.durable));
                findings.count("slots checked", (bytes.len() / recording.plan.slot_size) as u64);
                findings.count("no file yet", u64::from(bytes.is_empty()));
                findings.count("newer", checked.newer);
                findings.count("torn", checked.torn);
                Ok(Some(bytes))
            }
            Err(failure) => {
                self.failed(image, promised, &failure, findings)?;
                Ok(None)
            }
        }
    }

    /// Keeps the disk, so that the failure can be looked at again.
    fn failed(&self, image: &Image, promised: Promised, failure: &str, findings: &mut Findings) -> io::Result<()> {
        // Relaxed: it only counts.
        let kept = if KEPT_DISKS.fetch_add(1, Ordering::Relaxed) < KEPT_DISKS_MAX {
            let path = self.keep(image, promised)?;
            format!("the disk is kept; to look again: cargo xtask crash --replay {}", path.display())
        } else {
            format!("the disk is not kept: {KEPT_DISKS_MAX} of this run are")
        };
        findings.fail(format!("{failure}\n{kept}"));
        Ok(())
    }

    fn keep(&self, image: &Image, promised: Promised) -> io::Result<PathBuf> {
        let place = Directory::named(&self.directory, KEPT_PREFIX)?;
        let recording = self.recording;
        let expected = Expected {
            file_system: recording.file_system,
            plan: recording.plan.clone(),
            slots: promised.slots,
            durable: promised.durable,
            writes: recording.history.writes().to_vec(),
        };
        image.save(&place.path().join("image"))?;
        fs::write(place.path().join("expected.json"), serde_json::to_string(&expected)?)?;
        Ok(place.keep())
    }
}

/// Opens the slot file on a recovered file system and compares it with what was promised.
pub(crate) fn judge(
    path: &Path,
    plan: &Plan,
    history: &History,
    promised: Promised,
) -> Result<(Vec<u8>, Checked), String> {
    let config = SlotFileConfig::new(path, plan.slot_size).create(Create::Never);
    let file = match SlotFile::open(config) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), FileErrorKind::NotFound) && promised.slots.is_none() => {
            // What a creation that was cut short left behind must not be in the way of the next.
            let again = SlotFileConfig::new(path, plan.slot_size).initial_slots(1);
            let removed = SlotFile::open(again).and_then(SlotFile::remove);
            return removed
                .map(|()| (Vec::new(), Checked::default()))
                .map_err(|error| format!("no new file can be made: {error} (cause: {:?})", error.io_error()));
        }
        Err(error) => return Err(format!("the file does not open: {error} (cause: {:?})", error.io_error())),
    };
    if !plan.may_have(file.slots()) {
        return Err(format!("the file has {} slots, which it never had", file.slots()));
    }
    if promised.slots.is_some_and(|slots| file.slots() < slots) {
        return Err(format!("the file has {} slots; {:?} were promised", file.slots(), promised.slots));
    }
    let bytes = plan.slot_size * usize::try_from(file.slots()).map_err(|error| error.to_string())?;
    let mut content = vec![0; bytes];
    file.read(0, &mut content).map_err(|error| format!("the file cannot be read: {error}"))?;
    let checked = history.check(&content, promised.durable)?;
    Ok((content, checked))
}

/// Looks again at a disk that was kept.
pub(crate) fn replay(kept: &Path, directory: &Path) -> io::Result<Findings> {
    let expected: Expected = serde_json::from_str(&fs::read_to_string(kept.join("expected.json"))?)?;
    let base = Arc::new(Base::load(&kept.join("image"))?);
    let recording = Recording {
        file_system: expected.file_system,
        base: Arc::clone(&base),
        intervals: Vec::new(),
        examined_from: 0,
        history: History::of(expected.plan.slot_size, Vec::new(), expected.writes),
        plan: expected.plan,
        errors: Vec::new(),
        refused: 0,
    };
    let promised = Promised { slots: expected.slots, durable: expected.durable };
    let mut findings = Findings::default();
    let examiner = Examiner::new(&recording, directory)?;
    examiner.recover(&Image::new(base), promised, false, &mut findings)?;
    findings.count("states", 1);
    Ok(findings)
}
