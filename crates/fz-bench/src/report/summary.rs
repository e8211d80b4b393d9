//! What the rounds measured, each metric as one figure, and ratios.

use crate::contestant::{Contestant, Role};
use crate::measure::figures::{Aggregate, Better, Figures, Metric, metric_of};
use crate::measure::machine::Elsewhere;
use crate::suites::Suite;
use crate::workload::Work;

#[derive(Debug)]
pub(crate) struct SuiteResult {
    pub(crate) suite: Suite,
    pub(crate) works: Vec<WorkResult>,
}

impl SuiteResult {
    /// The works of one plot each, in their order.
    pub(crate) fn groups(&self) -> Vec<Vec<&WorkResult>> {
        let mut groups: Vec<Vec<&WorkResult>> = Vec::new();
        for work in &self.works {
            match groups.iter_mut().find(|group| group[0].work.group() == work.work.group()) {
                Some(group) => group.push(work),
                None => groups.push(vec![work]),
            }
        }
        groups
    }

    /// Each contestant that did not come to the end of its rounds, in which work, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        self.works.iter().flat_map(WorkResult::failures)
    }
}

#[derive(Debug)]
pub(crate) struct WorkResult {
    pub(crate) work: Work,
    pub(crate) rows: Vec<Row>,
    /// For each turn, the share of the processors' time that went elsewhere.
    pub(crate) elsewhere: Vec<Elsewhere>,
}

/// One contestant's rounds of one work.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) contestant: Contestant,
    pub(crate) rounds: Vec<Figures>,
    /// Why it has no more rounds.
    pub(crate) failure: Option<String>,
}

impl Row {
    pub(crate) fn new(contestant: Contestant) -> Self {
        Self { contestant, rounds: Vec::new(), failure: None }
    }

    /// One figure for all rounds: their median, or the largest where that is what the metric is about.
    pub(crate) fn figure(&self, key: &str) -> Option<f64> {
        let values = self.rounds.iter().filter_map(|figures| figures.get(key).copied());
        match metric_of(key).aggregate {
            Aggregate::Median => median(values.collect()),
            Aggregate::Max => values.max_by(f64::total_cmp),
        }
    }

    /// The figure of each round, from the lowest to the highest.
    pub(crate) fn spread(&self, key: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|figures| figures.get(key).copied()).collect())
    }

    /// How much better than `base`, of the ratio in each round: above 1 is better, whatever the metric's direction.
    pub(crate) fn ratio(&self, base: &Self, metric: Metric) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&base.rounds);
        let ratios = pairs.filter_map(|(own, base)| {
            let (own, base) = (own.get(metric.key)?, base.get(metric.key)?);
            Some(match metric.better {
                Better::Higher => own / base,
                Better::Lower => base / own,
            })
        });
        Spread::of(ratios.filter(|ratio| ratio.is_finite()).collect())
    }
}

/// The middle of the rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&low, &high) = (values.first()?, values.last()?);
        Some(Self { median: median(values)?, low, high })
    }
}

impl WorkResult {
    /// A line for each contestant that failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> {
        let failed = self.rows.iter().filter_map(|row| Some((row.contestant.name, row.failure.as_ref()?)));
        failed.map(|(name, failure)| format!("{name} in {}: {failure}", self.work.name()))
    }

    /// The first with this part.
    pub(crate) fn base(&self, role: Role) -> Option<&Row> {
        self.rows.iter().find(|row| row.contestant.role == role)
    }

    /// The other project that is best at `metric` of those that make something durable and came to the end of
    /// their rounds: a contestant that failed after two of five has a figure, but not one to be measured by.
    pub(crate) fn best_peer(&self, metric: Metric) -> Option<&Row> {
        let whole = |row: &&Row| row.contestant.is_durable && row.failure.is_none();
        let peers = self.rows.iter().filter(|row| row.contestant.role == Role::Peer).filter(whole);
        let ranked = peers.filter_map(|row| Some((row, row.figure(metric.key)?)));
        let best = match metric.better {
            Better::Higher => ranked.max_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Lower => ranked.min_by(|a, b| a.1.total_cmp(&b.1)),
        };
        best.map(|(row, _)| row)
    }
}

/// The middle value, the lower of the two middle ones if there are two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineup;
    use crate::workload::Shape;

    fn row(key: &str, values: &[f64]) -> Row {
        let rounds = values.iter().map(|&value| Figures::from([(key.to_owned(), value)])).collect();
        Row { rounds, ..Row::new(lineup::raw()) }
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // Medians of both are 10, yet it was half as fast in two rounds of three.
        let (own, base) = (row("commits_per_s", &[5.0, 10.0, 30.0]), row("commits_per_s", &[10.0, 20.0, 3.0]));
        let spread = Spread { median: 0.5, low: 0.5, high: 10.0 };
        assert_eq!(own.ratio(&base, metric_of("commits_per_s")), Some(spread));
    }

    #[test]
    fn one_stall_in_five_rounds_is_the_maximum() {
        for key in ["max_us", "submit_max_us", "peak_mib"] {
            assert_eq!(row(key, &[9.0, 8.0, 16_000.0, 9.0, 8.0]).figure(key), Some(16_000.0), "{key}");
        }
        assert_eq!(row("p99_us", &[9.0, 8.0, 16_000.0, 9.0, 8.0]).figure("p99_us"), Some(9.0));
    }

    #[test]
    fn fewer_nanoseconds_are_a_ratio_above_one() {
        let (own, base) = (row("submit_ns", &[50.0]), row("submit_ns", &[100.0]));
        assert_eq!(own.ratio(&base, metric_of("submit_ns")), Some(Spread { median: 2.0, low: 2.0, high: 2.0 }));
    }

    #[test]
    fn who_fails_or_makes_nothing_durable_is_not_the_best_peer() {
        let peer = |contestant: Contestant, value| Row { contestant, ..row("commits_per_s", &[value]) };
        let mut slow = lineup::raw();
        slow.role = Role::Peer;
        let mut fast = slow;
        fast.is_durable = false;
        let failed = Row { failure: Some("it hangs".to_owned()), ..peer(slow, 5.0) };
        let work = Work { shape: Shape::Bandwidth, bytes: 1, slots: 1, millis: 0 };
        let result = WorkResult { work, rows: vec![peer(fast, 9.0), failed, peer(slow, 1.0)], elsewhere: vec![] };
        let best = result.best_peer(metric_of("commits_per_s")).unwrap();
        assert_eq!(best.figure("commits_per_s"), Some(1.0));
    }

    #[test]
    fn no_values_have_no_median() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
