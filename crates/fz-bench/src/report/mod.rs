//! Tables for people, JSON and CSV for programs, one HTML page with plots.

pub(crate) mod number;
pub(crate) mod plot;
pub(crate) mod summary;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::Outcome;
use crate::contestant::Role;
use crate::flags::Run;
use crate::measure::figures::{Aggregate, METRICS, metric_of};
use crate::measure::machine;
use crate::measure::machine::Elsewhere;
use crate::report::number::shown;
use crate::report::summary::{Row, Spread, SuiteResult, WorkResult};
use crate::suites::ALL;

pub(crate) fn write(flags: &Run, rounds: usize, load: f64, directory: &Path, results: &[SuiteResult]) -> Outcome<()> {
    let machine = machine::describe(directory);
    let text = text(&machine, flags, rounds, load, results);
    let object = object(&machine, flags, rounds, load, results);
    remove_older(&flags.out)?;
    fs::write(flags.out.join("bench.json"), serde_json::to_vec_pretty(&object)?)?;
    for result in results {
        fs::write(flags.out.join(format!("{}.csv", result.suite.name)), csv(result)?)?;
        fs::write(
            flags.out.join(format!("{}.json", result.suite.name)),
            serde_json::to_vec_pretty(&suite_object(result))?,
        )?;
    }
    fs::write(flags.out.join("index.html"), plot::page(&text, results)?)?;
    let said = format!("{text}\nresults: {} (bench.json, *.csv, index.html)\n", flags.out.display());
    // A reader that went away (`| head`) is no failure.
    if flags.json {
        let _ = anstream::stderr().write_all(said.as_bytes());
        let _ = writeln!(io::stdout(), "{object}");
    } else {
        let _ = anstream::stdout().write_all(said.as_bytes());
    }
    Ok(())
}

/// Removes what an earlier run left of its suites: it would be taken for a part of this one.
fn remove_older(out: &Path) -> Outcome<()> {
    let of_suites = ALL.iter().flat_map(|suite| [format!("{}.csv", suite.name), format!("{}.json", suite.name)]);
    for name in of_suites.chain(["bench.json".to_owned(), "index.html".to_owned()]) {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// One Markdown table for each group of works.
fn text(machine: &Value, flags: &Run, rounds: usize, load: f64, results: &[SuiteResult]) -> String {
    let of = |key: &str| machine[key].as_str().unwrap_or_default().to_owned();
    let mut text = format!(
        "{} processors ({}), {}, {}, {}, commit {}; {rounds} rounds: {}; load at the start {load}{}\n",
        machine["processors"],
        of("processor"),
        of("kernel"),
        of("file_system"),
        of("rustc"),
        of("commit"),
        aggregates(),
        beside(flags.hogs),
    );
    for result in results {
        text += &format!("\n{}: {}\n", result.suite.name, result.suite.about);
        for group in result.groups() {
            text += &format!("\n{} ({})\n", group[0].work.group(), disturbance(&group));
            text += &format!("{}\n", table(result, &group));
            text += &best_peers(result, &group);
            text += &format!("command: {}\n", command(flags, rounds, result.suite.name, &group[0].work.group()));
            for failure in group.iter().flat_map(|work| work.failures()) {
                text += &format!("{failure}\n");
            }
        }
    }
    text
}

/// How busy the machine was made.
fn beside(hogs: usize) -> String {
    match hogs {
        0 => String::new(),
        1 => "; beside 1 process that only computes".to_owned(),
        hogs => format!("; beside {hogs} processes that only compute"),
    }
}

/// What prints one table again.
fn command(flags: &Run, rounds: usize, suite: &str, group: &str) -> String {
    let mut line = format!("cargo xtask bench --suite {suite} --only '{group}' --peers {}", flags.peers.join(","));
    line += if flags.quick { " --quick" } else { "" };
    line += &format!(" --rounds {rounds}");
    if flags.hogs > 0 {
        line += &format!(" --hogs {}", flags.hogs);
    }
    line
}

/// How much of the processors' time the turns of a table could not have had.
fn disturbance(group: &[&WorkResult]) -> String {
    let turns = || group.iter().flat_map(|work| &work.elsewhere);
    let most = |share: fn(&Elsewhere) -> f64| turns().map(share).fold(0.0, f64::max) * 100.0;
    let (processes, stolen) = (most(|turn| turn.processes), most(|turn| turn.stolen));
    let doubt = if turns().any(|turn| turn.is_doubtful()) { ": NOT to be trusted" } else { "" };
    format!("of a turn, other processes had at most {processes:.0} % and the host took at most {stolen:.0} %{doubt}")
}

/// A line for each ratio that names the best peer: it may be another one for each N.
fn best_peers(result: &SuiteResult, group: &[&WorkResult]) -> String {
    let mut text = String::new();
    for &key in result.suite.ratios {
        let metric = metric_of(key);
        let mut best: Vec<(&str, Vec<String>)> = Vec::new();
        for work in group {
            let Some(row) = work.best_peer(metric) else { continue };
            let x: Vec<_> = work.work.x().map(|x| x.to_string()).into_iter().collect();
            match best.iter_mut().find(|(name, _)| *name == row.contestant.name) {
                Some((_, list)) => list.extend(x),
                None => best.push((row.contestant.name, x)),
            }
        }
        if !best.is_empty() {
            let shown = best.into_iter().map(|(name, x)| match x.as_slice() {
                [] => name.to_owned(),
                x => format!("{name} ({})", x.join(", ")),
            });
            text += &format!("best peer, {}: {}\n", metric.title, shown.collect::<Vec<_>>().join(", "));
        }
    }
    text
}

/// What stands for all rounds.
fn aggregates() -> String {
    let largest = METRICS.iter().filter(|metric| metric.aggregate == Aggregate::Max).map(|metric| metric.title);
    format!("their medians, of {} the largest", largest.collect::<Vec<_>>().join(", "))
}

/// What the tables compare with, where it takes part.
const BASES: [(&str, Role); 6] = [
    ("ceiling", Role::Ceiling),
    ("write-back", Role::WriteBack),
    ("flusher", Role::Flusher),
    ("malloc", Role::Heap),
    ("pool for all", Role::PoolForAll),
    ("best peer", Role::Peer),
];

fn table(result: &SuiteResult, group: &[&WorkResult]) -> Table {
    let suite = &result.suite;
    let has = |key: &str| group.iter().any(|work| work.rows.iter().any(|row| row.figure(key).is_some()));
    let with_x = group[0].work.x().is_some();
    let bases: Vec<_> =
        BASES.into_iter().filter(|&(_, role)| group.iter().any(|work| work.base(role).is_some())).collect();
    let mut head: Vec<String> = if with_x { vec!["N".to_owned()] } else { Vec::new() };
    head.push("contestant".to_owned());
    let ratios: Vec<_> = suite.ratios.iter().copied().filter(|key| has(key)).collect();
    for &key in &ratios {
        head.push(metric_of(key).title.to_owned());
        head.extend(bases.iter().map(|(name, _)| format!("× {name}")));
    }
    let columns: Vec<_> = suite.columns.iter().copied().filter(|key| has(key)).collect();
    head.extend(columns.iter().map(|key| metric_of(key).title.to_owned()));

    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head);
    for work in group {
        for row in &work.rows {
            let mut cells: Vec<String> = work.work.x().map(|x| x.to_string()).into_iter().collect();
            cells.push(row.contestant.name.to_owned());
            for &key in &ratios {
                let metric = metric_of(key);
                cells.push(spread(row.spread(key)));
                for &(_, role) in &bases {
                    let base = if role == Role::Peer { work.best_peer(metric) } else { work.base(role) };
                    cells.push(spread(base.and_then(|base| row.ratio(base, metric))));
                }
            }
            cells.extend(columns.iter().map(|key| shown(row.figure(key))));
            table.add_row(cells);
        }
    }
    for column in table.column_iter_mut().skip(1 + usize::from(with_x)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The median, and the lowest and the highest of the rounds if there are several.
fn spread(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { median, low, high }) if low < high => {
            format!("{} ({}–{})", shown(Some(median)), shown(Some(low)), shown(Some(high)))
        }
        spread => shown(spread.map(|spread| spread.median)),
    }
}

fn object(machine: &Value, flags: &Run, rounds: usize, load: f64, results: &[SuiteResult]) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    json!({
        "machine": machine,
        "unix_time": now,
        "command": std::env::args().collect::<Vec<_>>().join(" "),
        "quick": flags.quick,
        "hogs": flags.hogs,
        "rounds": rounds,
        "load_at_start": load,
        "suites": results.iter().map(suite_object).collect::<Vec<_>>(),
    })
}

fn suite_object(result: &SuiteResult) -> Value {
    json!({
        "suite": result.suite.name,
        "about": result.suite.about,
        "works": result.works.iter().map(|work| work_object(result, work)).collect::<Vec<_>>(),
    })
}

fn work_object(result: &SuiteResult, work: &WorkResult) -> Value {
    let rows = work.rows.iter().map(|row| {
        let ratios = result.suite.ratios.iter().map(|&key| {
            let metric = metric_of(key);
            let to = |base: Option<&Row>| base.and_then(|base| row.ratio(base, metric));
            let bases = [
                ("ceiling", work.base(Role::Ceiling)),
                ("write_back", work.base(Role::WriteBack)),
                ("flusher", work.base(Role::Flusher)),
                ("malloc", work.base(Role::Heap)),
                ("pool_for_all", work.base(Role::PoolForAll)),
                ("best_peer", work.best_peer(metric)),
            ];
            let (mut medians, mut spreads) = (serde_json::Map::new(), serde_json::Map::new());
            for (name, base) in bases {
                medians.insert(name.to_owned(), json!(to(base).map(|spread| spread.median)));
                spreads.insert(name.to_owned(), json!(to(base).map(|spread| [spread.low, spread.high])));
            }
            medians.insert("best_peer_name".to_owned(), json!(work.best_peer(metric).map(|row| row.contestant.name)));
            medians.insert("spread".to_owned(), spreads.into());
            (key.to_owned(), Value::from(medians))
        });
        json!({
            "contestant": row.contestant.name,
            "role": format!("{:?}", row.contestant.role),
            "is_durable": row.contestant.is_durable,
            "ratios": ratios.collect::<serde_json::Map<_, _>>(),
            "rounds": row.rounds,
            "failure": row.failure,
        })
    });
    json!({
        "group": work.work.group(),
        "x": work.work.x(),
        "work": work.work,
        "foreign_share_of_processors": work.elsewhere.iter().map(|turn| turn.processes).collect::<Vec<_>>(),
        "stolen_share_of_processors": work.elsewhere.iter().map(|turn| turn.stolen).collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn csv(result: &SuiteResult) -> Outcome<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["suite", "group", "x", "contestant", "role", "round", "metric", "value"])?;
    for work in &result.works {
        let (group, x) = (work.work.group(), work.work.x().map(|x| x.to_string()).unwrap_or_default());
        for row in &work.rows {
            let role = format!("{:?}", row.contestant.role);
            for (round, figures) in row.rounds.iter().enumerate() {
                for (metric, value) in figures {
                    let (round, value) = (round.to_string(), value.to_string());
                    let name = row.contestant.name;
                    csv.write_record([result.suite.name, &group, &x, name, &role, &round, metric, &value])?;
                }
            }
        }
    }
    Ok(csv.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_its_best_peers() {
        let row = |name, value| {
            let mut contestant = crate::lineup::raw();
            (contestant.name, contestant.role) = (name, Role::Peer);
            let figures = crate::measure::figures::Figures::from([("commits_per_s".to_owned(), value)]);
            Row { rounds: vec![figures], ..Row::new(contestant) }
        };
        let suite = ALL.into_iter().find(|suite| suite.name == "commit").unwrap();
        let works = (suite.works)(true).into_iter().take(3);
        let works = works.zip([[9.0, 1.0], [1.0, 9.0], [9.0, 1.0]]).map(|(work, [first, second])| WorkResult {
            work,
            rows: vec![row("first", first), row("second", second)],
            elsewhere: vec![],
        });
        let result = SuiteResult { suite, works: works.collect() };
        assert_eq!(best_peers(&result, &result.groups()[0]), "best peer, commits/s: first (1, 16), second (4)\n");
    }
}
