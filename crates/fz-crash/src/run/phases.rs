//! The phases of a command line, each with its size.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::disk::device::{FileSystem, Room};
use crate::modes::acks::Disturbance;
use crate::modes::fault::disks::Full;
use crate::modes::power::Budget;
use crate::modes::reopen::{Blocks, Mounted};
use crate::modes::{acks, fault, kill, power, reopen};
use crate::os::resources::{self, Directory};
use crate::random::Random;
use crate::report::{Findings, Report};
use crate::run::flags::{Flags, Hidden, Mode, On, Run};
use crate::run::{canary, needs};
use crate::subject::child;

/// Faults that are tried by default: one in each of these steps.
const STEP_OF_CALLS: u64 = 2;
const STEP_OF_TRACED: u64 = 4;

/// Runs of a refusing disk, by default and with every fault.
const REFUSING_RUNS: [u64; 2] = [8, 200];
const FULL_RUNS: [u64; 2] = [5, 20];

/// Runs the checks that the command line asks for.
pub(crate) fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(Hidden::Child { plan, path, late, signals }) = &flags.hidden {
        return child::main(plan, path, *late, *signals).unwrap_or(ExitCode::FAILURE);
    }
    let run = flags.run;
    let mut report = Report::new(run.json, run.only.as_deref().unwrap_or_default());
    if let Err(error) = resources::clean_up_when_stopped() {
        report.note(&format!("no cleaning up when stopped: {error}"));
    }
    let seed = run.seed.unwrap_or_else(drawn_seed);
    report.seed(seed);
    let mut phases = Phases { run: &run, seed, report: &mut report, directory: std::env::temp_dir() };
    match &run.replay {
        Some(kept) => phases.replay(kept),
        None if run.canary => canary::check(phases.report, seed),
        None => phases.all(),
    }
    report.finish()
}

fn drawn_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos() & u128::from(u32::MAX));
    Random::new(u64::try_from(nanos).unwrap_or(0) ^ u64::from(std::process::id()) << 32).word() >> 32
}

struct Phases<'a> {
    run: &'a Run,
    seed: u64,
    report: &'a mut Report,
    directory: PathBuf,
}

impl Phases<'_> {
    fn wants(&self, mode: Mode) -> bool {
        self.run.mode.iter().any(|&wanted| wanted == mode || wanted == Mode::All)
    }

    fn on_host(&self) -> bool {
        self.run.fs.iter().any(|on| matches!(on, On::Host | On::All))
    }

    fn file_systems(&self) -> Vec<FileSystem> {
        let wanted = |file_system: &FileSystem| {
            self.run.fs.iter().any(|on| {
                *on == On::All
                    || *on
                        == match file_system {
                            FileSystem::Ext4 => On::Ext4,
                            FileSystem::Xfs => On::Xfs,
                            FileSystem::Btrfs => On::Btrfs,
                        }
            })
        };
        FileSystem::ALL.into_iter().filter(wanted).collect()
    }

    fn until(&self) -> Option<Instant> {
        self.run.phase_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds))
    }

    /// The command that repeats a phase.
    fn repeat(&self, mode: &str, fs: &str, more: &str) -> String {
        format!("cargo xtask crash --mode {mode} --fs {fs} --seed {}{more}", self.seed)
    }

    fn phase(&mut self, name: &str, repeat: &str, body: impl FnOnce(u64, &Path) -> io::Result<Findings>) {
        let (seed, directory) = (self.seed, self.directory.clone());
        self.report.phase(name, repeat, || body(seed, &directory));
    }

    /// Runs `body` unless something that it needs is missing.
    fn phase_if(
        &mut self,
        needs: Result<(), String>,
        name: &str,
        repeat: &str,
        body: impl FnOnce(u64, &Path) -> io::Result<Findings>,
    ) {
        match needs {
            Ok(()) => self.phase(name, repeat, body),
            Err(needs) => self.report.skip(name, &needs),
        }
    }

    fn all(&mut self) {
        if self.wants(Mode::Kill) {
            self.kill();
        }
        if self.wants(Mode::Power) {
            self.power();
        }
        if self.wants(Mode::Fault) {
            self.fault();
        }
        if self.wants(Mode::Reopen) {
            self.reopen();
        }
        if self.wants(Mode::Acks) {
            self.acks();
        }
    }

    fn kill(&mut self) {
        let kills = self.run.kills;
        let more = format!(" --kills {kills}");
        if self.on_host() {
            let until = self.until();
            let repeat = self.repeat("kill", "host", &more);
            self.phase("kill host", &repeat, |seed, directory| kill::check(seed, kills, until, directory));
        }
        for file_system in self.file_systems() {
            let until = self.until();
            let repeat = self.repeat("kill", file_system.name(), &more);
            let name = format!("kill {}", file_system.name());
            self.phase_if(needs::for_disks(file_system), &name, &repeat, |seed, directory| {
                on_disk(file_system, directory, |mounted| kill::check(seed, kills, until, mounted))
            });
        }
    }

    fn power(&mut self) {
        if self.on_host() && self.file_systems().is_empty() {
            self.report.skip("power host", "a file system of its own: --fs ext4, xfs or btrfs");
        }
        for file_system in self.file_systems() {
            let budget = Budget { states: self.run.states, until: self.until() };
            let repeat = self.repeat("power", file_system.name(), &format!(" --states {}", budget.states));
            let name = format!("power {}", file_system.name());
            self.phase_if(needs::for_disks(file_system), &name, &repeat, |seed, directory| {
                power::check(file_system, seed, budget, directory)
            });
        }
    }

    fn fault(&mut self) {
        let every = self.run.every_fault;
        let more = if every { " --every-fault" } else { "" };
        if self.on_host() {
            let repeat = self.repeat("fault", "host", more);
            let (until, step) = (self.until(), if every { 1 } else { STEP_OF_CALLS });
            self.phase_if(needs::for_fuse(), "fault each call", &repeat, |seed, directory| {
                fault::calls::check(seed, step, until, directory)
            });
            let (until, step) = (self.until(), if every { 1 } else { STEP_OF_TRACED });
            self.phase_if(needs::for_tracing(), "fault injected by strace", &repeat, |seed, directory| {
                fault::traced::check(seed, step, until, directory)
            });
        }
        for file_system in self.file_systems() {
            let repeat = self.repeat("fault", file_system.name(), more);
            let (until, runs) = (self.until(), REFUSING_RUNS[usize::from(every)]);
            let name = format!("fault disk {}", file_system.name());
            self.phase_if(needs::for_disks(file_system), &name, &repeat, |seed, directory| {
                fault::disks::check_refusing(file_system, seed, runs, until, directory)
            });
            // As `Plan::preallocation` numbers them.
            for (preallocation, kind) in (0..).zip(["sparse", "allocated", "zeroed"]).filter(|_| every) {
                let until = self.until();
                let name = format!("fault every request {} {kind}", file_system.name());
                self.phase_if(needs::for_disks(file_system), &name, &repeat, |seed, directory| {
                    fault::disks::check_every_request(file_system, preallocation, seed, until, directory)
                });
            }
            for full in Full::of(file_system) {
                let (until, runs) = (self.until(), FULL_RUNS[usize::from(every)]);
                let name = format!("fault {} {}", full.name(), file_system.name());
                self.phase_if(needs::for_disks(file_system), &name, &repeat, |seed, directory| {
                    fault::disks::check_full(file_system, *full, seed, runs, until, directory)
                });
            }
        }
    }

    fn reopen(&mut self) {
        if self.on_host() && self.file_systems().is_empty() {
            self.report.skip("reopen host", "a file system of its own: --fs ext4, xfs or btrfs");
        }
        let every = self.run.every_fault;
        let more = if every { " --every-fault" } else { "" };
        for mounted in self.file_systems().into_iter().flat_map(|file_system| Mounted::of(file_system, every)) {
            let repeat = self.repeat("reopen", mounted.file_system.name(), more);
            for blocks in Blocks::ALL {
                let until = self.until();
                let name = format!("reopen {} {}", mounted.name, blocks.name());
                self.phase_if(needs::for_disks(mounted.file_system), &name, &repeat, |seed, directory| {
                    reopen::check(mounted, blocks, seed, every, until, directory)
                });
            }
        }
    }

    fn acks(&mut self) {
        let acks = self.run.acks;
        let more = format!(" --acks {acks}");
        let disturbances = [
            ("acks", Disturbance::None),
            ("acks interrupted", Disturbance::Injected),
            ("acks signals", Disturbance::Signals),
        ];
        for (name, disturbance) in disturbances {
            let until = self.until();
            let repeat = self.repeat("acks", "host", &more);
            self.phase_if(needs::for_tracing(), name, &repeat, |seed, directory| {
                acks::check(seed, acks, disturbance, until, directory, directory)
            });
        }
        // What a signal interrupts is up to the file system; the order of calls is not.
        for file_system in self.file_systems() {
            let until = self.until();
            let repeat = self.repeat("acks", file_system.name(), &more);
            let name = format!("acks signals {}", file_system.name());
            let needs = needs::for_tracing().and_then(|()| needs::for_disks(file_system));
            self.phase_if(needs, &name, &repeat, |seed, directory| {
                on_disk(file_system, directory, |mounted| {
                    acks::check(seed, acks, Disturbance::Signals, until, mounted, directory)
                })
            });
        }
    }

    fn replay(&mut self, kept: &Path) {
        let repeat = format!("cargo xtask crash --replay {}", kept.display());
        self.phase("replay", &repeat, |_, directory| power::replay(kept, directory));
    }
}

/// Runs `body` in a new file system.
fn on_disk(
    file_system: FileSystem,
    directory: &Path,
    body: impl FnOnce(&Path) -> io::Result<Findings>,
) -> io::Result<Findings> {
    let place = Directory::new(directory)?;
    let base = file_system.make(&place, 0, Room::All)?;
    let device = crate::disk::device::LoopDevice::new(crate::disk::image::Image::new(base), directory)?;
    let mount = device.mount(file_system)?;
    let findings = body(device.target());
    mount.unmount()?;
    findings
}
