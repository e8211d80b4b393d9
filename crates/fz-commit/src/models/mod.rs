//! What must hold in every interleaving and under every reordering that the memory model allows.
//!
//! `cargo xtask loom --crate fz-commit`
//!
//! A lost wake-up is a deadlock, which loom reports. Beside each claim stands a canary: the same model with a mistake
//! in it, which loom must find. A canary runs in a process of its own, because loom may abort while it unwinds.

mod rounds;
mod told;

use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

fn explore(preemptions_max: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(preemptions_max);
    }
    builder.check(model);
}

/// In the child process it runs the flawed model; in the parent it asserts that the child found it. `name` is the
/// test's below `models`.
fn canary(name: &str, sign: &str, flawed: impl Fn() + Send + Sync + 'static) {
    const CHOSEN: &str = "FZ_LOOM_CANARY";
    if std::env::var_os(CHOSEN).is_some_and(|chosen| chosen == name) {
        return explore(3, flawed);
    }
    let this = std::env::current_exe().expect("tests are run from a file");
    let test = format!("models::{name}");
    let mut child = Command::new(this);
    child.args([&test, "--exact", "--nocapture"]).env(CHOSEN, name);
    // A short run of the models has fewer preemptions than some mistakes take.
    let child = child.env_remove("LOOM_MAX_PREEMPTIONS").output();
    let child = child.expect("the test binary runs");
    let said = String::from_utf8_lossy(&child.stderr).into_owned() + &String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("running 1 test"), "no such canary: {said}");
    assert!(!child.status.success(), "loom does not see the mistake");
    assert!(said.contains(sign), "loom sees something else than {sign:?}: {said}");
}

const DEADLOCK: &str = "deadlock";

/// Counts its wake-ups.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn counting() -> (std::sync::Arc<Counting>, Waker) {
    let counting = std::sync::Arc::new(Counting::default());
    (std::sync::Arc::clone(&counting), Waker::from(counting))
}

fn woken(counting: &Counting) -> usize {
    counting.0.load(std::sync::atomic::Ordering::SeqCst)
}
