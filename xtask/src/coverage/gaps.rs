//! From what `llvm-cov export` prints to the lines that no test reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

/// The switch of a broken twin: false in an ordinary build, so its code is no gap.
const TWIN: &str = "mutants::active(";

/// A place that no test reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Relative to the root of the workspace.
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: Never,
    /// The line, without the space around it.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Never {
    True,
    False,
    Run,
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "never true",
            Self::False => "never false",
            Self::Run => "never run",
        })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.what, self.text)
    }
}

/// What the tests reached of a file: taken and all ways out of its conditions, run and all of its regions.
#[derive(Debug, Default)]
struct Counts {
    branches: [usize; 2],
    regions: [usize; 2],
}

#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) gaps: Vec<Gap>,
    counts: BTreeMap<String, Counts>,
    /// The lines of each file, without the space around them.
    lines: BTreeMap<String, Vec<String>>,
}

impl Measured {
    /// How many lines of the files in `folder` are `text`.
    pub(super) fn lines(&self, folder: &str, text: &str) -> usize {
        let files = self.lines.iter().filter(|(path, _)| Path::new(path).starts_with(folder));
        files.flat_map(|(_, lines)| lines).filter(|line| *line == text).count()
    }

    /// One line for each file, and one for all.
    pub(super) fn table(&self) -> Vec<String> {
        let line = |name: &str, branches: [usize; 2], regions: [usize; 2]| {
            let of = |[reached, all]: [usize; 2]| format!("{reached} of {all}");
            format!("        {name:44} {:>14} {:>14}", of(branches), of(regions))
        };
        let mut lines = vec![format!("        {:44} {:>14} {:>14}", "file", "branches taken", "regions run")];
        let mut all = Counts::default();
        for (path, counts) in &self.counts {
            lines.push(line(path, counts.branches, counts.regions));
            for of in 0..2 {
                all.branches[of] += counts.branches[of];
                all.regions[of] += counts.regions[of];
            }
        }
        lines.push(line("all", all.branches, all.regions));
        lines
    }
}

/// Line, column, end line, end column.
type Place = [usize; 4];

/// A source file, and what ran of it, over all its instantiations and all test binaries.
#[derive(Debug, Default)]
struct Source {
    lines: Vec<String>,
    regions: BTreeMap<Place, u64>,
    branches: BTreeMap<Place, [u64; 2]>,
}

/// The gaps in the files under `sources`, from llvm's `report`.
pub(super) fn measure(report: &Value, root: &Path, sources: &[PathBuf]) -> Result<Measured, String> {
    let mut files: BTreeMap<PathBuf, Source> = BTreeMap::new();
    for function in report["data"][0]["functions"].as_array().ok_or("llvm-cov export: no functions")? {
        let names: Vec<&Path> = array(&function["filenames"]).filter_map(Value::as_str).map(Path::new).collect();
        // A file of unit tests, or one that they share with others, is no source.
        let is_of_tests =
            |file: &Path| file.ends_with("tests.rs") || file.components().any(|part| part == Component::ParentDir);
        let wanted = |file: &Path| sources.iter().any(|source| file.starts_with(source)) && !is_of_tests(file);
        // [line, column, end line, end column, count, file, expanded file, kind]; kind 0 is code.
        for region in array(&function["regions"]).map(numbers).filter(|region| region.get(7) == Some(&0)) {
            let Some(file) = names.get(usize_of(region[5])).filter(|file| wanted(file)) else { continue };
            *files.entry(file.to_path_buf()).or_default().regions.entry(place(&region)).or_default() += region[4];
        }
        // [line, column, end line, end column, true, false, file, expanded file, kind]
        for branch in array(&function["branches"]).map(numbers).filter(|branch| branch.len() > 6) {
            let Some(file) = names.get(usize_of(branch[6])).filter(|file| wanted(file)) else { continue };
            let counts = files.entry(file.to_path_buf()).or_default().branches.entry(place(&branch)).or_default();
            counts[0] += branch[4];
            counts[1] += branch[5];
        }
    }
    if files.is_empty() {
        return Err("llvm-cov export names no file of these crates".to_owned());
    }
    let mut measured = Measured::default();
    for (path, mut source) in files {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        source.read(&text);
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        source.into_gaps(&name, &mut measured);
    }
    Ok(measured)
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn numbers(value: &Value) -> Vec<u64> {
    array(value).filter_map(Value::as_u64).collect()
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn place(numbers: &[u64]) -> Place {
    [0, 1, 2, 3].map(|index| usize_of(numbers[index]))
}

impl Source {
    /// Forgets what is no code of ours to reach: the unit tests, and the broken twins.
    fn read(&mut self, text: &str) {
        self.lines = text.lines().map(|line| line.trim().to_owned()).collect();
        let tests = self.lines.iter().position(|line| line == "#[cfg(test)]").map_or(usize::MAX, |index| index + 1);
        let twins = twins(text);
        let is_twin = |line: usize| twins.contains(&line);
        self.regions.retain(|place, _| place[0] < tests && !is_twin(place[0]));
        self.branches.retain(|place, _| place[0] < tests && !is_twin(place[0]));
    }

    fn into_gaps(self, path: &str, measured: &mut Measured) {
        let counts = measured.counts.entry(path.to_owned()).or_default();
        counts.regions = [self.regions.values().filter(|&&count| count > 0).count(), self.regions.len()];
        let mut found: Vec<(usize, Never)> = Vec::new();
        for (place, taken) in &self.branches {
            for (taken, what) in taken.iter().zip([Never::True, Never::False]) {
                counts.branches[1] += 1;
                if *taken == 0 {
                    found.push((place[0], what));
                } else {
                    counts.branches[0] += 1;
                }
            }
        }
        found.extend(self.unreached().into_iter().map(|line| (line, Never::Run)));
        found.sort_unstable();
        found.dedup();
        let gap = |(line, what)| Gap { path: path.to_owned(), line, what, text: self.lines[line - 1].clone() };
        measured.gaps.extend(found.into_iter().filter(|(line, _)| *line <= self.lines.len()).map(gap));
        measured.lines.insert(path.to_owned(), self.lines);
    }

    /// The lines with code that never ran; of a run of lines that were not reached at all, the first.
    fn unreached(&self) -> Vec<usize> {
        // For each line whether some of it ran, and whether some did not.
        let mut lines: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
        for (place, &count) in &self.regions {
            let (ran, did_not) = lines.entry(place[0]).or_default();
            *ran |= count > 0;
            *did_not |= count == 0;
        }
        let mut found = Vec::new();
        let mut goes_on = false;
        for (line, (ran, did_not)) in lines {
            // The end of a block: whether it is reached is said by what stands before it.
            let closes = self.lines.get(line - 1).is_none_or(|text| !text.contains(|c: char| c.is_alphanumeric()));
            if closes {
                continue;
            }
            if did_not && (ran || !goes_on) {
                found.push(line);
            }
            goes_on = did_not && !ran;
        }
        found
    }
}

/// The lines of the switches and of the blocks behind them. A block ends where a line is indented no deeper.
fn twins(text: &str) -> BTreeSet<usize> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut twins = BTreeSet::new();
    let mut block = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.contains(TWIN) {
            twins.insert(number);
            // Behind a `!` stands the real code.
            let is_real = line.contains(&format!("!{TWIN}")) || line.contains(&format!("!fz_error::{TWIN}"));
            block = (line.ends_with('{') && !is_real).then(|| indent(line));
        } else if let Some(begins) = block {
            if line.trim().is_empty() || indent(line) > begins {
                twins.insert(number);
            } else {
                block = None;
            }
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "fn f(x: bool) {
    if x {
        a();
        b();
    }
    c()?;
    if mutants::active(\"broken\") {
        d();
    }
}
#[cfg(test)]
mod tests {
    fn t() {}
}
";

    fn gaps(regions: &Value, branches: &Value) -> Vec<(usize, Never)> {
        gaps_of("src/x.rs", regions, branches).unwrap()
    }

    fn gaps_of(name: &str, regions: &Value, branches: &Value) -> Result<Vec<(usize, Never)>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        fs::create_dir(directory.path().join("src")).unwrap();
        fs::write(&file, TEXT).unwrap();
        let function = json!({ "filenames": [file], "regions": regions, "branches": branches });
        let report = json!({ "data": [{ "functions": [function] }] });
        let measured = measure(&report, directory.path(), &[directory.path().join("src")])?;
        assert!(measured.gaps.iter().all(|gap| gap.path == name));
        Ok(measured.gaps.iter().map(|gap| (gap.line, gap.what)).collect())
    }

    #[test]
    fn a_condition_that_never_held_and_the_block_behind_it_are_found() {
        let regions = json!([[3, 9, 3, 12, 0, 0, 0, 0], [4, 9, 4, 12, 0, 0, 0, 0], [5, 5, 5, 6, 0, 0, 0, 0]]);
        let found = gaps(&regions, &json!([[2, 8, 2, 9, 0, 7, 0, 0, 4]]));
        assert_eq!(found, [(2, Never::True), (3, Never::Run)]);
    }

    #[test]
    fn the_way_out_of_a_question_mark_is_found_on_a_line_that_ran() {
        let found = gaps(&json!([[6, 5, 6, 8, 7, 0, 0, 0], [6, 8, 6, 9, 0, 0, 0, 0]]), &json!([]));
        assert_eq!(found, [(6, Never::Run)]);
    }

    #[test]
    fn what_one_instantiation_reached_is_reached() {
        let regions = json!([[6, 8, 6, 9, 0, 0, 0, 0], [6, 8, 6, 9, 1, 0, 0, 0]]);
        let found = gaps(&regions, &json!([[2, 8, 2, 9, 0, 7, 0, 0, 4], [2, 8, 2, 9, 1, 0, 0, 0, 4]]));
        assert_eq!(found, []);
    }

    #[test]
    fn twins_and_unit_tests_are_no_gaps() {
        let regions = json!([[8, 9, 8, 12, 0, 0, 0, 0], [13, 5, 13, 14, 0, 0, 0, 0]]);
        assert_eq!(gaps(&regions, &json!([[7, 8, 7, 32, 0, 7, 0, 0, 4]])), []);
    }

    #[test]
    fn files_of_tests_are_no_sources() {
        let regions = json!([[3, 9, 3, 12, 0, 0, 0, 0]]);
        assert_eq!(gaps_of("src/y.rs", &regions, &json!([])).unwrap().len(), 1);
        for name in ["src/tests.rs", "src/../x.rs"] {
            assert!(gaps_of(name, &regions, &json!([])).is_err(), "it names no file of these crates");
        }
    }

    #[test]
    fn the_code_behind_a_switch_that_is_off_is_no_twin() {
        assert_eq!(twins("if !mutants::active(\"a\") {\n    b();\n}\nc();\n"), [1].into());
        assert_eq!(twins("if mutants::active(\"a\") {\n    b();\n} else {\n    c();\n}\n"), [1, 2].into());
    }

    #[test]
    fn a_report_about_something_else_is_an_error() {
        let report = json!({ "data": [{ "functions": [] }] });
        assert!(measure(&report, Path::new("/"), &[]).is_err());
    }
}
