//! `cargo xtask soak`: load for as long as you like; memory, descriptors and threads must stay flat.

use serde_json::Value;

use crate::flags::Soak;
use crate::runner::Runner;
use crate::sim;

pub(crate) fn run(runner: &mut Runner, flags: &Soak) {
    if sim::build(runner, false) {
        sim::report(runner, "soak", &arguments(flags), summary);
    }
}

fn arguments(flags: &Soak) -> Vec<String> {
    let minutes = flags.minutes.map(|minutes| ["--minutes".to_owned(), minutes.to_string()]);
    let seed = flags.seed.map(|seed| ["--seed".to_owned(), seed.to_string()]);
    minutes.into_iter().chain(seed).flatten().collect()
}

fn summary(report: &Value) -> String {
    let kibibytes = |gauge: &str| report[gauge]["resident_bytes"].as_u64().unwrap_or_default() >> 10;
    format!("{} pipes, {} writes, {} to {} KiB", report["pipes"], report["writes"], kibibytes("warm"), kibibytes("end"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command, Flags};

    #[test]
    fn every_flag_is_handed_on() {
        let Command::Soak(flags) = Flags::parse_from(["x", "soak", "--minutes", "0.5", "--seed", "0x10"]).command
        else {
            panic!("no soak")
        };
        assert_eq!(arguments(&flags), ["--minutes", "0.5", "--seed", "16"]);
    }
}
