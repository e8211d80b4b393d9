//! The HTML page: the tables as text, and a plot for each group of works.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::Outcome;
use crate::contestant::Role;
use crate::measure::figures::{Metric, metric_of};
use crate::report::number::shown;
use crate::report::summary::{SuiteResult, WorkResult};

const SIZE: (u32, u32) = (900, 420);

pub(crate) fn page(text: &str, results: &[SuiteResult]) -> Outcome<String> {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>fz-bench</title>\n\
         <style>body{font-family:sans-serif;max-width:70em;margin:2em auto}pre{overflow-x:auto;font-size:75%}</style>\n\
         </head><body>\n<h1>fz-bench</h1>\n",
    );
    for result in results {
        page += &format!("<h2>{}</h2>\n<p>{}</p>\n", result.suite.name, escaped(result.suite.about));
        for group in result.groups() {
            for key in result.suite.ratios {
                page += &plot(&group, metric_of(key))?;
            }
        }
    }
    page += &format!("<h2>Tables</h2>\n<pre>{}</pre>\n</body></html>\n", escaped(text));
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One contestant's line.
struct Line {
    name: &'static str,
    role: Role,
    points: Vec<(f64, f64)>,
}

impl Line {
    /// Whether a logarithmic axis has a place for all of it.
    fn is_on_log_axis(&self) -> bool {
        self.points.iter().all(|&(x, _)| x > 0.0)
    }
}

/// Each contestant's points.
fn lines(group: &[&WorkResult], metric: Metric) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for work in group {
        // A group without an axis is one work.
        let x = work.work.x().unwrap_or_default() as f64;
        for row in &work.rows {
            let Some(y) = row.figure(metric.key).filter(|y| y.is_finite() && *y > 0.0) else { continue };
            match lines.iter_mut().find(|line| line.name == row.contestant.name) {
                Some(line) => line.points.push((x, y)),
                None => lines.push(Line { name: row.contestant.name, role: row.contestant.role, points: vec![(x, y)] }),
            }
        }
    }
    lines
}

/// Lines over the group's axis; bars if it has one point only, or a zero, which is no number of producers more but
/// another way to do it.
fn plot(group: &[&WorkResult], metric: Metric) -> Outcome<String> {
    let lines = lines(group, metric);
    let title = format!("{}: {}", group[0].work.group(), metric.title);
    let mut svg = String::new();
    if lines.is_empty() {
        return Ok(svg);
    }
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        if lines.iter().any(|line| line.points.len() > 1) && lines.iter().all(Line::is_on_log_axis) {
            draw_lines(&area, &title, &lines)?;
        } else {
            draw_bars(&area, &title, &bars(&lines))?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Chart<'a, 'b, X, Y> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn colour(line: &Line, at: usize) -> RGBColor {
    match line.role {
        // Variants of these take a colour of the palette, so that each line can be told.
        Role::Ceiling if line.name == "raw" => BLACK,
        Role::Subject if matches!(line.name, "fz" | "fz-bufpool" | "fz-mpsc") => RED,
        Role::Flusher | Role::Heap => BLUE,
        _ => {
            let (red, green, blue) = Palette99::COLORS[(at * 7 + 3) % Palette99::COLORS.len()];
            RGBColor(red, green, blue)
        }
    }
}

fn draw_lines(area: &Area<'_>, title: &str, lines: &[Line]) -> Outcome<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (low, high) = bounds(points().map(|point| point.1));
    let (left, right) = bounds(points().map(|point| point.0));
    let x = (left..right * 1.01).log_scale();
    let y = (low / 1.5..high * 1.5).log_scale();
    area.fill(&WHITE)?;
    let mut chart = chart(area, title, x, y)?;
    for (at, line) in lines.iter().enumerate() {
        let colour = colour(line, at);
        let style = colour.stroke_width(if line.role == Role::Subject { 3 } else { 2 });
        let series = LineSeries::new(line.points.iter().copied(), style).point_size(3);
        chart
            .draw_series(series)?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

fn chart<'a, 'b, X, Y>(area: &'a Area<'b>, title: &str, x: X, y: Y) -> Outcome<Chart<'a, 'b, X, Y>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(80)
        .build_cartesian_2d(x, y)?;
    let number = |value: &f64| shown(Some(*value));
    chart.configure_mesh().x_label_formatter(&number).y_label_formatter(&number).light_line_style(WHITE).draw()?;
    Ok(chart)
}

struct Bar {
    label: String,
    value: f64,
    colour: RGBColor,
}

/// One for each point of each line.
fn bars(lines: &[Line]) -> Vec<Bar> {
    let of = |(at, line): (usize, &Line)| {
        let (name, colour, several) = (line.name, colour(line, at), line.points.len() > 1);
        let label = move |x| if several { format!("{name}: {x}") } else { name.to_owned() };
        let bars = line.points.iter().map(move |&(x, value)| Bar { label: label(x), value, colour });
        bars.collect::<Vec<_>>()
    };
    lines.iter().enumerate().flat_map(of).collect()
}

/// Horizontal bars, each with its name and value.
fn draw_bars(area: &Area<'_>, title: &str, bars: &[Bar]) -> Outcome<()> {
    let (_, most) = bounds(bars.iter().map(|bar| bar.value));
    area.fill(&WHITE)?;
    area.draw(&Text::new(title.to_owned(), (10, 8), ("sans-serif", 20)))?;
    let step = (i32::try_from(SIZE.1)? - 50) / i32::try_from(bars.len())?;
    let (left, width) = (200, f64::from(SIZE.0) - 320.0);
    for (at, Bar { label, value, colour }) in bars.iter().enumerate() {
        let (value, top) = (*value, 40 + step * i32::try_from(at)?);
        #[expect(clippy::cast_possible_truncation, reason = "a length in pixels")]
        let right = left + (width * value / most) as i32;
        let bottom = top + (step * 3 / 4).min(28);
        area.draw(&Rectangle::new([(left, top), (right.max(left + 1), bottom)], colour.filled()))?;
        area.draw(&Text::new(label.as_str(), (10, top + 4), ("sans-serif", 15)))?;
        area.draw(&Text::new(shown(Some(value)), (right + 6, top + 4), ("sans-serif", 15)))?;
    }
    Ok(())
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Contestant;
    use crate::measure::figures::Figures;
    use crate::report::summary::Row;
    use crate::workload::{Dimension, Shape, Work};

    fn row(contestant: Contestant, nanos: f64) -> Row {
        Row { rounds: vec![Figures::from([("op_ns".to_owned(), nanos)])], ..Row::new(contestant) }
    }

    #[test]
    fn no_producer_and_one_producer_have_a_bar_each() {
        let result = |x, nanos| WorkResult {
            work: Work { shape: Shape::Scaling { what: Dimension::Push, x }, bytes: 128, slots: 1, millis: 0 },
            rows: vec![row(crate::lineup::raw(), nanos)],
            elsewhere: vec![],
        };
        let (none, one, four) = (result(0, 5.0), result(1, 25.0), result(4, 125.0));
        let metric = metric_of("op_ns");
        let shown = bars(&lines(&[&none, &one, &four], metric));
        let shown: Vec<_> = shown.iter().map(|bar| (bar.label.as_str(), bar.value)).collect();
        assert_eq!(shown, [("raw: 0", 5.0), ("raw: 1", 25.0), ("raw: 4", 125.0)]);
        let svg = plot(&[&none, &one, &four], metric).unwrap();
        assert!(svg.contains("raw: 0") && !svg.contains("polyline"), "{svg}");
        let svg = plot(&[&one, &four], metric).unwrap();
        assert!(svg.contains("polyline"), "{svg}");
    }
}
