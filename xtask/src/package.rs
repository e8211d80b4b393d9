//! `cargo xtask package`: the packages as the registry would get them.

use crate::flags::Package;
use crate::invocation::Invocation;
use crate::runner::Runner;
use crate::workspace;

pub(crate) fn run(runner: &mut Runner, flags: &Package) {
    let published = workspace::packages().iter().filter(|package| package.published);
    let selection: Vec<_> = published.map(|package| format!("-p {}", package.name)).collect();
    // In one call, so that cargo resolves each by the freshly made package of the other.
    let mut invocation = Invocation::cargo("package --locked").words(&selection.join(" "));
    if flags.allow_dirty {
        invocation = invocation.words("--allow-dirty");
    }
    runner.step("package", &invocation);
}
