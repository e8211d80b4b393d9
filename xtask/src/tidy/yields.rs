//! No loop yields or spins without a bound: beside a thread of lower priority it would never end, and it burns a
//! processor. A few turns of a `for` may spin; after them a thread sleeps and is woken, or sleeps for a time.

use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;

/// Calls that give way without sleeping.
const CALLS: [&str; 3] = ["yield_now", "spin_loop", "sched_yield"];

/// Files whose calls have another bound, and which.
const BOUNDED_OTHERWISE: [(&str, &str); 6] = [
    ("crates/fz-mpsc/src/sync.rs", "in models only, which have no clock to sleep by"),
    ("crates/fz-bufpool/src/sync.rs", "in models only, which have no clock to sleep by"),
    ("crates/fz-mpsc/src/sequencer.rs", "once, in a mutant, to widen a gap"),
    ("crates/fz-commit/src/round/linger.rs", "lingering and gathering end at a time limit"),
    ("crates/fz-bench/src/suites/scaling/primitives.rs", "a benchmark's own threads"),
    ("crates/fz-crash/src/os/resources.rs", "a test program's own threads"),
];

/// The sources of libraries and programs; a test may wait as it likes.
pub(super) fn applies(path: &Path) -> bool {
    let is_test =
        |part: &std::ffi::OsStr| ["tests", "tests.rs", "benches", "examples"].iter().any(|name| part == *name);
    path.extension().is_some_and(|extension| extension == "rs") && !path.iter().any(is_test)
}

pub(super) fn check(path: &Path, text: &str) -> Vec<Finding> {
    // A file that is not Rust is a finding of another rule.
    let lines = text.parse::<TokenStream>().map(unbounded).unwrap_or_default();
    let is_listed = BOUNDED_OTHERWISE.iter().any(|(file, _)| path == Path::new(file));
    match (is_listed, lines.is_empty()) {
        (true, false) => Vec::new(),
        (true, true) => {
            vec![Finding::new(
                path,
                1,
                "yields nowhere without a bound: take it off the list in xtask/src/tidy/yields.rs",
            )]
        }
        (false, _) => lines.into_iter().map(|line| Finding::new(path, line, ADVICE)).collect(),
    }
}

const ADVICE: &str = "yields or spins outside of a `for _ in 0..N`: after N turns, sleep and be woken, or sleep for a \
                      time; if something else bounds it, say what in xtask/src/tidy/yields.rs";

/// The lines of calls that stand in no bounded loop.
fn unbounded(tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    walk(tokens, false, &mut lines);
    lines
}

fn walk(tokens: TokenStream, is_bounded: bool, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    // Whether the next block is the body of a loop or a function, and a bounded one.
    let mut body = None;
    for (index, token) in tokens.iter().enumerate() {
        let rest = &tokens[index + 1..];
        match token {
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "loop" | "while" | "fn" => body = Some(false),
                "for" => body = for_loop(rest).or(body),
                name if CALLS.contains(&name) && is_call(rest) && !is_bounded => lines.push(ident.span().start().line),
                _ => {}
            },
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                walk(group.stream(), body.take().unwrap_or(is_bounded), lines);
            }
            TokenTree::Group(group) => walk(group.stream(), is_bounded, lines),
            _ => {}
        }
    }
}

fn is_call(rest: &[TokenTree]) -> bool {
    matches!(rest.first(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
}

/// Whether the loop that begins with a `for` has a last turn; `None` if this `for` begins none.
fn for_loop(rest: &[TokenTree]) -> Option<bool> {
    let is_block =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let head = &rest[..rest.iter().position(is_block)?];
    let range = &head[head.iter().position(|token| token.to_string() == "in")? + 1..];
    let dots = range.windows(2).position(|pair| pair.iter().all(|token| token.to_string() == "."))?;
    let end = &range[dots + 2..];
    // The largest number of a type is no bound.
    Some(!end.is_empty() && !end.iter().any(|token| token.to_string() == "MAX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: &str = "crates/fz-wpipe/src/pipe.rs";

    fn findings(path: &str, text: &str) -> usize {
        check(Path::new(path), text).len()
    }

    #[test]
    fn a_loop_that_yields_without_a_bound_is_rejected() {
        for text in [
            "fn f() { while !is_done() { yield_now(); } }",
            "fn f() { loop { std::hint::spin_loop(); } }",
            "fn f() { loop { match g() { None => thread::yield_now(), Some(x) => return x } } }",
            "fn f() { for _ in 0.. { spin_loop(); } }",
            "fn f() { for _ in 0..u64::MAX { spin_loop(); } }",
            "fn f() { for _ in iter { spin_loop(); } }",
            "fn f() { for _ in 0..9 { while !is_done() { yield_now(); } } }",
            "fn f() { for _ in 0..9 { fn g() { yield_now() } } }",
            // Its caller may call it in a loop.
            "fn pause() { yield_now() }",
            "impl A for B { fn f() { nix::sched::sched_yield(); } }",
        ] {
            assert_eq!(findings(ANYWHERE, text), 1, "{text}");
        }
    }

    #[test]
    fn a_bounded_number_of_turns_is_accepted() {
        for text in [
            "fn f() { for _ in 0..SPINS_MAX { if is_done() { return; } spin_loop(); } }",
            "fn f() { for turn in 1..=limit() { if x { yield_now() } } sleep(); }",
            "use std::thread::yield_now; // yield_now()",
        ] {
            assert_eq!(findings(ANYWHERE, text), 0, "{text}");
        }
    }

    #[test]
    fn a_file_on_the_list_is_accepted_while_it_yields() {
        let (file, _) = BOUNDED_OTHERWISE[0];
        assert_eq!(findings(file, "fn f() { loop { yield_now() } }"), 0);
        assert_eq!(findings(file, "fn f() {}"), 1);
    }

    #[test]
    fn tests_and_benchmarks_may_yield() {
        for path in ["crates/a/tests/b.rs", "crates/a/src/b/tests.rs", "crates/a/benches/b.rs", "crates/a/README.md"] {
            assert!(!applies(Path::new(path)), "{path}");
        }
        assert!(applies(Path::new("crates/a/src/b.rs")) && applies(Path::new("xtask/src/main.rs")));
    }

    #[test]
    fn every_file_on_the_list_exists() {
        for (file, _) in BOUNDED_OTHERWISE {
            assert!(crate::workspace::root().join(file).is_file(), "{file}");
        }
    }
}
