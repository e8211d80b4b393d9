//! Rules about Rust files. They read tokens, not text: a comment or a string breaks none of them.

use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::Finding;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// rustfmt keeps code within it, but neither comments nor what stands in a macro.
const COLUMNS_MAX: usize = 120;

/// How far above an `unsafe` its argument may begin.
const SAFETY_LINES_MAX: usize = 6;

/// Where `unsafe` may stand. [`super::UNSAFE_CRATES`] are their crates.
const UNSAFE_PLACES: [&str; 6] = [
    "crates/fz-process/src/fork.rs",
    "crates/fz-process/tests/foreign.rs",
    "crates/fz-mpsc/",
    "crates/fz-bufpool/",
    "crates/fz-file/src/host/system.rs",
    "crates/fz-file/src/host/tests.rs",
];

/// Crate roots that forbid `unsafe`, so that the compiler holds the rule as well.
const FORBIDDING: [&str; 5] = [
    "crates/fz-error/src/lib.rs",
    "crates/fz-commit/src/lib.rs",
    "crates/fz-wpipe/src/lib.rs",
    "crates/fz-sim/src/lib.rs",
    "xtask/src/main.rs",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];

const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

pub(super) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut rules = Rules { path, lines: text.lines().collect(), findings: Vec::new() };
    rules.file();
    match text.parse::<TokenStream>() {
        Ok(tokens) => rules.tokens(tokens),
        Err(error) => rules.found(1, format!("is not Rust: {error}")),
    }
    rules.findings
}

struct Rules<'a> {
    path: &'a Path,
    lines: Vec<&'a str>,
    findings: Vec<Finding>,
}

impl Rules<'_> {
    fn found(&mut self, line: usize, message: impl Into<String>) {
        self.findings.push(Finding::new(self.path, line, message));
    }

    fn file(&mut self) {
        let lines = self.lines.len();
        if lines > FILE_LINES_MAX {
            self.found(lines, format!("{lines} lines; split the file, {FILE_LINES_MAX} is the limit"));
        }
        for index in 0..lines {
            let (line, columns) = (self.lines[index].trim_start(), self.lines[index].chars().count());
            // The row of a table in a comment cannot be broken.
            if columns > COLUMNS_MAX && !line.starts_with("//! |") && !line.starts_with("/// |") {
                self.found(index + 1, format!("{columns} columns; break the line, {COLUMNS_MAX} is the limit"));
            }
        }
        for part in self.path.with_extension("").iter() {
            self.name(1, &part.to_string_lossy());
        }
        let forbids = self.lines.iter().any(|line| line.trim() == "#![forbid(unsafe_code)]");
        if FORBIDDING.iter().any(|root| self.path == Path::new(root)) && !forbids {
            self.found(1, "#![forbid(unsafe_code)] is missing");
        }
    }

    fn name(&mut self, line: usize, name: &str) {
        if EMPTY_NAMES.contains(&name) {
            self.found(line, format!("{name} says nothing; name the module after what is inside"));
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            let rest = &tokens[index + 1..];
            let line = token.span().start().line;
            match token {
                TokenTree::Ident(ident) => self.ident(line, &ident.to_string(), rest),
                TokenTree::Punct(punct) if punct.as_char() == '#' => self.attribute(line, rest),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }

    fn ident(&mut self, line: usize, ident: &str, rest: &[TokenTree]) {
        match (ident, rest) {
            ("fn", [TokenTree::Ident(name), after @ ..]) => self.function(line, &name.to_string(), after),
            ("mod", [TokenTree::Ident(name), ..]) => self.name(line, &name.to_string()),
            ("unsafe", [next, ..]) => self.unsafety(line, next),
            ("allow", [TokenTree::Group(group), ..]) => self.allowed(line, group),
            ("with_cases", [TokenTree::Group(_), ..]) => {
                self.found(line, "with_cases overrides --cases; take a share of ProptestConfig::default().cases");
            }
            (macro_name, [TokenTree::Punct(bang), ..]) if bang.as_char() == '!' && UNFINISHED.contains(&macro_name) => {
                self.found(line, format!("{macro_name}! marks unfinished work"));
            }
            _ => {}
        }
    }

    fn function(&mut self, line: usize, name: &str, after: &[TokenTree]) {
        let ends = |token: &TokenTree| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        // A function without a body, as in a trait, ends with a semicolon before any braces.
        if let Some(TokenTree::Group(body)) = after.iter().find(|token| ends(token)) {
            let lines = body.span_close().end().line - line + 1;
            if lines > FUNCTION_LINES_MAX {
                self.found(line, format!("{name} has {lines} lines; split it, {FUNCTION_LINES_MAX} is the limit"));
            }
        }
    }

    fn unsafety(&mut self, line: usize, next: &TokenTree) {
        if !UNSAFE_PLACES.iter().any(|place| self.path.starts_with(place)) {
            self.found(line, format!("unsafe may stand in {} only", UNSAFE_PLACES.join(", ")));
            return;
        }
        let needs_argument = match next {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Ident(ident) => ident == "impl",
            _ => false,
        };
        let above = &self.lines[(line - 1).saturating_sub(SAFETY_LINES_MAX)..line];
        if needs_argument && !above.iter().any(|line| line.contains("// SAFETY: ")) {
            self.found(line, format!("no `// SAFETY: ` in the {SAFETY_LINES_MAX} lines above"));
        }
    }

    fn attribute(&mut self, line: usize, rest: &[TokenTree]) {
        let Some(TokenTree::Group(attribute)) = rest.first() else { return };
        let first = attribute.stream().into_iter().next();
        if attribute.delimiter() == Delimiter::Bracket
            && matches!(first, Some(TokenTree::Ident(name)) if name == "ignore")
        {
            self.found(line, "an ignored test proves nothing; mend it or delete it");
        }
    }

    fn allowed(&mut self, line: usize, lints: &Group) {
        let lints = lints.stream().to_string().replace(' ', "");
        // A module that several test binaries compile: what one of them leaves unused, another needs.
        let folder = self.path.parent().filter(|_| self.path.ends_with("mod.rs"));
        let is_shared_by_tests = folder.and_then(Path::parent).is_some_and(|tests| tests.ends_with("tests"));
        for banned in ["dead_code", "clippy::all"] {
            if banned == "dead_code" && is_shared_by_tests {
                continue;
            }
            if lints.split(',').any(|lint| lint == banned) {
                self.found(line, format!("allow({banned}) hides what it should show"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: &str = "crates/fz-wpipe/src/pipe.rs";
    const WITH_UNSAFE: &str = "crates/fz-mpsc/src/ring.rs";

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(Path::new(path), text).into_iter().map(|finding| finding.message).collect()
    }

    #[track_caller]
    fn rejected(path: &str, text: &str, because: &str) {
        let findings = findings(path, text);
        assert!(findings.len() == 1 && findings[0].contains(because), "{because:?} expected, found {findings:?}");
    }

    #[track_caller]
    fn accepted(path: &str, text: &str) {
        assert_eq!(findings(path, text), [""; 0]);
    }

    #[test]
    fn a_long_file_is_rejected() {
        accepted(ANYWHERE, &"// line\n".repeat(FILE_LINES_MAX));
        rejected(ANYWHERE, &"// line\n".repeat(FILE_LINES_MAX + 1), "split the file");
    }

    #[test]
    fn a_long_line_is_rejected_unless_it_is_a_row_of_a_table() {
        accepted(ANYWHERE, &format!("// {}", "ö".repeat(COLUMNS_MAX - 3)));
        rejected(ANYWHERE, &format!("// {}", "ö".repeat(COLUMNS_MAX - 2)), "121 columns");
        accepted(ANYWHERE, &format!("//! | {} |", "o".repeat(COLUMNS_MAX)));
    }

    #[test]
    fn a_long_function_is_rejected_wherever_it_stands() {
        let function = |lines: usize| format!("fn f() -> u8 {{\n{}    0\n}}\n", "    g();\n".repeat(lines - 3));
        accepted(ANYWHERE, &function(FUNCTION_LINES_MAX));
        rejected(ANYWHERE, &function(FUNCTION_LINES_MAX + 1), "f has 71 lines");
        rejected(ANYWHERE, &format!("mod m {{ proptest! {{ {} }} }}", function(71)), "f has 71 lines");
    }

    #[test]
    fn a_function_without_a_body_has_no_length() {
        let gap = "\n".repeat(FUNCTION_LINES_MAX);
        accepted(ANYWHERE, &format!("trait T {{ fn f();\n{gap}fn g() {{}}\n}}"));
    }

    #[test]
    fn unsafe_outside_its_places_is_rejected() {
        let block = "// SAFETY: it is.\nfn f() { unsafe { g() } }\n";
        rejected(ANYWHERE, block, "only");
        rejected("crates/fz-file/src/slot_file.rs", block, "only");
        rejected(ANYWHERE, "unsafe fn f() {}", "only");
        accepted("crates/fz-file/src/host/system.rs", block);
    }

    #[test]
    fn unsafe_without_its_argument_is_rejected() {
        accepted(WITH_UNSAFE, "// SAFETY: `g` needs nothing.\nunsafe { g() }");
        rejected(WITH_UNSAFE, "unsafe { g() }", "SAFETY");
        rejected(WITH_UNSAFE, "// SAFETY: far away.\n\n\n\n\n\n\nunsafe { g() }", "SAFETY");
        rejected(WITH_UNSAFE, "unsafe impl Send for T {}", "SAFETY");
    }

    #[test]
    fn unsafe_in_a_comment_or_a_string_is_no_unsafe() {
        accepted(ANYWHERE, "// unsafe { }\n/// unsafe { }\nconst S: &str = \"unsafe { }\";");
    }

    #[test]
    fn unfinished_work_is_rejected() {
        for name in UNFINISHED {
            rejected(ANYWHERE, &format!("fn f() {{ {name}!() }}"), "unfinished");
        }
    }

    #[test]
    fn a_property_with_a_number_of_cases_of_its_own_is_rejected() {
        let property = |config: &str| format!("proptest! {{ #![proptest_config({config})] }}");
        rejected(ANYWHERE, &property("ProptestConfig::with_cases(9)"), "--cases");
        accepted(ANYWHERE, &property("ProptestConfig::default()"));
    }

    #[test]
    fn an_ignored_test_is_rejected() {
        rejected(ANYWHERE, "#[test]\n#[ignore]\nfn f() {}", "proves nothing");
        rejected(ANYWHERE, "#[test]\n#[ignore = \"slow\"]\nfn f() {}", "proves nothing");
    }

    #[test]
    fn a_blanket_allow_is_rejected() {
        rejected(ANYWHERE, "#![allow(dead_code, reason = \"r\")]", "dead_code");
        rejected(ANYWHERE, "#[allow(unused, clippy::all)] fn f() {}", "clippy::all");
        accepted("crates/fz-wpipe/tests/rig/mod.rs", "#![allow(dead_code, reason = \"r\")]");
        rejected("crates/fz-wpipe/tests/rig/mod.rs", "#![allow(clippy::all, reason = \"r\")]", "clippy::all");
        rejected("crates/fz-wpipe/tests/rig.rs", "#![allow(dead_code, reason = \"r\")]", "dead_code");
        accepted(ANYWHERE, "#[allow(clippy::cast_possible_truncation, reason = \"dead_code\")] fn f() {}");
    }

    #[test]
    fn an_empty_name_is_rejected() {
        for name in EMPTY_NAMES {
            rejected(ANYWHERE, &format!("mod {name};"), "says nothing");
            rejected(&format!("crates/fz-wpipe/src/{name}.rs"), "", "says nothing");
            rejected(&format!("crates/fz-wpipe/tests/{name}/mod.rs"), "", "says nothing");
        }
    }

    #[test]
    fn a_root_that_does_not_forbid_unsafe_is_rejected() {
        for root in FORBIDDING {
            rejected(root, "//! Docs.\n", "forbid");
            accepted(root, "//! Docs.\n#![forbid(unsafe_code)]\n");
        }
    }

    #[test]
    fn every_place_of_unsafe_is_in_a_crate_that_the_sanitizer_covers() {
        for place in UNSAFE_PLACES {
            let covered = super::super::UNSAFE_CRATES.iter().any(|name| place.starts_with(&format!("crates/{name}/")));
            assert!(covered, "{place}");
        }
    }
}
