//! Runs steps, prints one line for each, and ends with the closing line and the exit code.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::flags::Output;
use crate::invocation::{End, Finished, Invocation};
use crate::tool::Tool;
use crate::workspace;

/// How much of a failing step's output is shown; the rest is in its log file.
const TAIL_LINES: usize = 60;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// The run so far.
pub(crate) struct Runner {
    /// The lines for people.
    lines: Box<dyn Write>,
    /// The objects for programs, if they were asked for.
    objects: Option<Box<dyn Write>>,
    /// `lines` is a terminal: the running step can be named, and its line then takes the place.
    live: bool,
    strict: bool,
    logs: PathBuf,
    started: Instant,
    passed: u32,
    failed: u32,
    skipped: u32,
    /// What the random input came from, if there was any.
    seed: Option<u64>,
    /// Steps among `failed` that failed only because their tool is not installed.
    missing: u32,
}

/// What one step is about to report.
struct Report<'a> {
    name: &'a str,
    status: &'static str,
    took: Duration,
    detail: &'a str,
    /// What to read when it failed.
    output: &'a str,
    /// The command that repeats the step.
    repeat: String,
}

impl Runner {
    pub(crate) fn new(output: &Output) -> Self {
        if output.json {
            Self::on(Box::new(anstream::stderr()), Some(Box::new(io::stdout())), output.strict)
        } else {
            let live = io::stdout().is_terminal();
            Self { live, ..Self::on(Box::new(anstream::stdout()), None, output.strict) }
        }
    }

    /// For tests of what runs steps.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::on(Box::new(io::sink()), None, false)
    }

    fn on(lines: Box<dyn Write>, objects: Option<Box<dyn Write>>, strict: bool) -> Self {
        Self {
            lines,
            objects,
            live: false,
            strict,
            logs: workspace::target_directory().join("xtask-logs"),
            started: Instant::now(),
            passed: 0,
            failed: 0,
            skipped: 0,
            missing: 0,
            seed: None,
        }
    }

    /// Runs a command; `true` if it succeeded.
    pub(crate) fn step(&mut self, name: &str, invocation: &Invocation) -> bool {
        self.judged(name, invocation, |finished| match finished.end {
            End::Success => Ok(String::new()),
            end => Err(end.to_string()),
        })
    }

    /// Runs a command that must run at least one test: a filter that matches nothing proves nothing.
    pub(crate) fn tests(&mut self, name: &str, invocation: &Invocation) -> bool {
        self.judged(name, invocation, |finished| match (finished.end, finished.tests()) {
            (End::Success, 0) => Err("succeeded, but ran no test".to_owned()),
            (End::Success, 1) => Ok("1 test".to_owned()),
            (End::Success, tests) => Ok(format!("{tests} tests")),
            (end, _) => Err(end.to_string()),
        })
    }

    /// Runs a command and lets `judge` say whether it passed, with a detail for the step's line.
    pub(crate) fn judged(
        &mut self,
        name: &str,
        invocation: &Invocation,
        judge: impl FnOnce(&Finished) -> Result<String, String>,
    ) -> bool {
        self.begin(name);
        let log = self.log(name);
        let finished = invocation.run(&log);
        let (verdict, took, output) = match &finished {
            Ok(finished) => (judge(finished), finished.took, tail(&finished.output, &log)),
            Err(error) => (Err(format!("could not be started: {error}")), Duration::ZERO, String::new()),
        };
        let passed = verdict.is_ok();
        let detail = verdict.unwrap_or_else(|reason| reason);
        let status = if passed { "passed" } else { "failed" };
        self.report(&Report { name, status, took, detail: &detail, output: &output, repeat: invocation.to_string() });
        passed
    }

    /// Runs a check in this process: `Ok` with a detail for its line, or `Err` with what is wrong.
    pub(crate) fn check(&mut self, name: &str, repeat: &str, check: impl FnOnce() -> Result<String, String>) -> bool {
        self.begin(name);
        let started = Instant::now();
        let verdict = check();
        let took = started.elapsed();
        let (status, detail, output) = match &verdict {
            Ok(detail) => ("passed", detail.as_str(), ""),
            Err(findings) => ("failed", "", findings.as_str()),
        };
        self.report(&Report { name, status, took, detail, output, repeat: format!("cargo xtask {repeat}") });
        verdict.is_ok()
    }

    /// Whether `tool` is installed. If not, the step `name` is skipped, or fails under `--strict`.
    pub(crate) fn has(&mut self, name: &str, tool: &Tool) -> bool {
        if tool.is_installed() {
            return true;
        }
        let detail = format!("{} is not installed; to install it: {}", tool.name, tool.install);
        self.missing(name, &detail, tool.probe);
        false
    }

    /// Something that `name` needs, and that `probe` shows, is not on this machine.
    pub(crate) fn missing(&mut self, name: &str, detail: &str, probe: &str) {
        if self.strict {
            self.missing += 1;
            let repeat = probe.to_owned();
            self.report(&Report { name, status: "failed", took: Duration::ZERO, detail, output: "", repeat });
        } else {
            self.skip(name, detail);
        }
    }

    /// Says loudly that `name` did not run, and why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        let repeat = String::new();
        self.report(&Report { name, status: "skipped", took: Duration::ZERO, detail: reason, output: "", repeat });
    }

    /// Whether standard output belongs to programs: nothing for people may go there.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.objects.is_some()
    }

    /// What the random input comes from, to repeat it.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.seed = Some(seed);
        self.line(&format!("seed {seed} (repeat the same input with --seed {seed})"));
    }

    /// A line of the report that is no step.
    pub(crate) fn note(&mut self, line: &str) {
        self.line(line);
    }

    /// How many steps have failed so far.
    #[cfg(test)]
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// The closing line, and what the process returns.
    pub(crate) fn finish(mut self) -> ExitCode {
        let took = self.started.elapsed();
        if self.checked_nothing() {
            self.line(&format!("{RED}nothing was checked{RED:#}: no step fits what was asked for"));
        }
        self.line(&format!("in {}", seconds(took)));
        self.line(&self.closing_line());
        self.object(&json!({
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "seconds": took.as_secs_f64(),
            "seed": self.seed,
        }));
        ExitCode::from(self.exit_code())
    }

    fn closing_line(&self) -> String {
        let counts = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped == 0 { counts } else { format!("{counts}, {} skipped", self.skipped) }
    }

    /// Not even skipped: whoever reads "0 failed" would take it for a good run.
    fn checked_nothing(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    fn exit_code(&self) -> u8 {
        match (self.failed, self.missing) {
            (0, _) => u8::from(self.checked_nothing()),
            (failed, missing) if failed == missing => 3,
            _ => 1,
        }
    }

    fn begin(&mut self, name: &str) {
        if self.live {
            let _ = write!(self.lines, "…       {name}\r");
            let _ = self.lines.flush();
        }
    }

    fn report(&mut self, report: &Report<'_>) {
        let (word, colour) = match report.status {
            "passed" => ("ok", GREEN),
            "skipped" => ("SKIPPED", YELLOW),
            _ => ("FAILED", RED),
        };
        match report.status {
            "passed" => self.passed += 1,
            "skipped" => self.skipped += 1,
            _ => self.failed += 1,
        }
        let took = if report.status == "skipped" { String::new() } else { seconds(report.took) };
        let line = format!("{colour}{word:7}{colour:#} {:44} {took:>8}  {}", report.name, report.detail);
        self.line(line.trim_end());
        if report.status == "failed" {
            if !report.output.is_empty() {
                self.line(report.output.trim_end());
            }
            self.line(&format!("{RED}to repeat:{RED:#} {}", report.repeat));
        }
        self.object(&json!({
            "step": report.name,
            "status": report.status,
            "seconds": report.took.as_secs_f64(),
            "detail": report.detail,
            "output": report.output,
            "repeat": report.repeat,
        }));
    }

    fn line(&mut self, line: &str) {
        let clear = if self.live { "\x1b[2K" } else { "" };
        // A closed pipe (`| head`) is the reader's wish, no failure of the run.
        let _ = writeln!(self.lines, "{clear}{line}");
    }

    fn object(&mut self, object: &Value) {
        if let Some(objects) = &mut self.objects {
            let _ = writeln!(objects, "{object}");
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.logs.join(format!("{name}.log"))
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn tail(output: &str, log: &std::path::Path) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    match lines.len().checked_sub(TAIL_LINES) {
        None | Some(0) => lines.join("\n"),
        Some(left_out) => {
            format!("… {left_out} lines more in {}\n{}", log.display(), lines[left_out..].join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const ABSENT: Tool = Tool { name: "absent", probe: "cargo absent-tool-of-xtask", install: "cargo install absent" };

    /// Keeps what is written to it, for the test to read.
    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    fn runner(strict: bool) -> Runner {
        Runner::on(Box::new(io::sink()), None, strict)
    }

    #[test]
    fn the_closing_line_stands_alone_at_the_end() {
        let page = Page::default();
        let mut runner = Runner::on(Box::new(page.clone()), None, false);
        runner.check("a", "tidy", || Ok(String::new()));
        runner.skip("b", "no reason");
        runner.finish();
        assert!(page.text().ends_with("\n1 passed, 0 failed, 1 skipped\n"), "{}", page.text());
    }

    #[test]
    fn a_failing_step_shows_its_output_and_how_to_repeat_it() {
        let page = Page::default();
        let mut runner = Runner::on(Box::new(page.clone()), None, false);
        let listing = Invocation::new("ls").argument("a file that is not there").env("LC_ALL", "C");
        assert!(!runner.step("listing", &listing));
        assert!(page.text().contains("No such file"), "{}", page.text());
        assert!(page.text().contains("LC_ALL=C ls 'a file that is not there'\n"), "{}", page.text());
    }

    #[test]
    fn programs_get_one_object_per_step_and_one_for_the_whole() {
        let (page, objects) = (Page::default(), Page::default());
        let mut runner = Runner::on(Box::new(page), Some(Box::new(objects.clone())), false);
        runner.check("a", "tidy", || Ok("fine".to_owned()));
        runner.finish();
        let text = objects.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["step"], &lines[0]["status"], &lines[0]["detail"]),
            (&json!("a"), &json!("passed"), &json!("fine"))
        );
        assert_eq!((&lines[1]["passed"], &lines[1]["failed"], lines.len()), (&json!(1), &json!(0), 2));
    }

    #[test]
    fn all_passed_is_exit_code_0_and_names_no_skipped() {
        let mut runner = runner(false);
        assert!(runner.check("a", "tidy", || Ok(String::new())));
        assert_eq!((runner.closing_line().as_str(), runner.exit_code()), ("1 passed, 0 failed", 0));
    }

    #[test]
    fn a_run_without_a_step_is_exit_code_1_and_says_so() {
        let page = Page::default();
        let runner = Runner::on(Box::new(page.clone()), None, false);
        assert_eq!(runner.exit_code(), 1);
        runner.finish();
        assert!(page.text().contains("nothing was checked"), "{}", page.text());
    }

    #[test]
    fn a_failed_step_is_exit_code_1() {
        let mut runner = runner(false);
        assert!(runner.step("true", &Invocation::new("true")));
        assert!(!runner.step("false", &Invocation::new("false")));
        assert_eq!((runner.closing_line().as_str(), runner.exit_code()), ("1 passed, 1 failed", 1));
    }

    #[test]
    fn a_command_that_cannot_start_is_a_failed_step() {
        let mut runner = runner(false);
        assert!(!runner.step("absent", &Invocation::new("a-program-that-does-not-exist")));
        assert_eq!(runner.exit_code(), 1);
    }

    #[test]
    fn a_test_command_that_runs_no_test_fails() {
        let mut runner = runner(false);
        let none = Invocation::new("echo").argument("test result: ok. 0 passed; 0 failed; 0 ignored");
        let some = Invocation::new("echo").argument("test result: ok. 1 passed; 0 failed; 0 ignored");
        assert!(!runner.tests("none", &none));
        assert!(runner.tests("some", &some));
    }

    #[test]
    fn a_missing_tool_is_skipped_and_counted() {
        let mut runner = runner(false);
        assert!(!runner.has("step", &ABSENT));
        assert_eq!((runner.closing_line().as_str(), runner.exit_code()), ("0 passed, 0 failed, 1 skipped", 0));
    }

    #[test]
    fn a_missing_tool_under_strict_is_exit_code_3_but_a_failure_outranks_it() {
        let mut runner = runner(true);
        assert!(!runner.has("step", &ABSENT));
        assert_eq!((runner.closing_line().as_str(), runner.exit_code()), ("0 passed, 1 failed", 3));
        runner.check("broken", "tidy", || Err("broken".to_owned()));
        assert_eq!(runner.exit_code(), 1);
    }

    #[test]
    fn the_tail_of_a_long_output_names_the_whole() {
        let output: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let tail = tail(&output, std::path::Path::new("step.log"));
        assert!(tail.starts_with("… 40 lines more in step.log\nline 40\n"));
        assert!(tail.ends_with("line 99"));
    }
}
