//! Large records as fast as they come, durable at the end.

use std::path::Path;

use super::suite::{Contestants, Suite};
use crate::Outcome;
use crate::measure::figures::Figures;
use crate::measure::meter::Meter;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{Shape, Work, payload};

pub(crate) const SUITE: Suite = Suite {
    name: "bandwidth",
    about: "one writer that waits at the end, and while the memory for 256 records is full; the ceiling is pwrites of \
            1 MiB and one fdatasync, which copies first and transfers then; raw-write-back also tells the device to \
            begin with each 2 MiB (sync_file_range), as fz does",
    works,
    contestants,
    ratios: &["mb_per_s"],
    columns: &["cpu_s", "cpu_us", "syncs", "device_flushes", "amplification", "device_amplification", "peak_mib"],
    with_peers: true,
};

fn works(quick: bool) -> Vec<Work> {
    let bytes: usize = 64 << 10;
    let total: u64 = if quick { 128 << 20 } else { 1 << 30 };
    vec![Work { shape: Shape::Bandwidth, bytes, slots: total / bytes as u64, millis: 0 }]
}

fn contestants(_: &Work) -> Contestants {
    Contestants::Named(&["raw", "raw-write-back", "raw-16MiB", "flusher", "fz"])
}

pub(crate) fn measure<P: Peer>(work: &Work, directory: &Path) -> Outcome<Figures> {
    let peer = P::open(&Setup::of(work, directory))?;
    let mut figures = Figures::new();
    let payload = payload(work.bytes);
    let mut writer = peer.writer()?;
    writer.prepare(usize::try_from(work.slots)?)?;
    let synced = peer.syncs();
    let meter = Meter::start(directory);
    for slot in 0..work.slots {
        writer.submit(slot, &payload)?;
    }
    writer.finish()?;
    peer.sync()?;
    let records = work.slots as f64;
    let seconds = meter.stop(&mut figures, records, work.bytes);
    figures.insert("mb_per_s".to_owned(), records * work.bytes as f64 / 1e6 / seconds);
    if let (Some(before), Some(after)) = (synced, peer.syncs()) {
        figures.insert("syncs".to_owned(), (after - before) as f64 / records);
    }
    Ok(figures)
}
