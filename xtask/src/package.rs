//! `cargo xtask package`: the packages as the registry would get them, and as a user would build them.

mod api;
mod engine;
mod features;
mod lock;
mod manifest;
mod unpacked;

use crate::flags::Package as Flags;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace::{self, Package};

pub(crate) fn run(runner: &mut Runner, flags: &Flags) {
    let published: Vec<&Package> = workspace::packages().iter().filter(|package| package.published).collect();
    let mut steps = Steps { runner, only: flags.only.as_deref().unwrap_or_default(), begun: 0 };
    for package in &published {
        steps.run(&format!("manifest {}", package.name), |runner, name| {
            runner.check(name, &format!("package --only '{name}'"), || manifest::check(package));
        });
    }
    features::run(&mut steps, &published);
    lock::run(&mut steps);
    unpacked::run(&mut steps, &published);
    engine::run(&mut steps);
    api::run(&mut steps, &published, flags.bless);
    steps.run("publish without uploading", |runner, name| publish(runner, name, &published));
    if steps.begun == 0 {
        let reason = format!("no step has {:?} in its name", steps.only);
        steps.runner.check("package", "package", || Err(reason));
    }
}

/// The steps whose names were asked for.
struct Steps<'a> {
    runner: &'a mut Runner,
    only: &'a str,
    begun: u32,
}

impl Steps<'_> {
    fn wants(&self, name: &str) -> bool {
        name.contains(self.only)
    }

    fn run(&mut self, name: &str, step: impl FnOnce(&mut Runner, &str)) {
        if self.wants(name) {
            self.begun += 1;
            step(self.runner, name);
        }
    }
}

/// In one call, so that cargo resolves each by the freshly made package of the other; from the files as they are,
/// committed or not, because nothing leaves this machine.
fn publish(runner: &mut Runner, name: &str, published: &[&Package]) {
    if std::env::var("CARGO_NET_OFFLINE").is_ok_and(|value| value == "true") {
        let detail = "CARGO_NET_OFFLINE is set, and cargo asks the registry which versions it has";
        return runner.missing(name, detail, "printenv CARGO_NET_OFFLINE");
    }
    let selection = workspace::select(published.iter().copied());
    runner.step(name, &Invocation::cargo("publish --dry-run --locked --allow-dirty").words(&selection));
}
