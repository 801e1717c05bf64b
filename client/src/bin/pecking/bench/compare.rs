//! A run beside one that was saved. Two runs on one machine at different times differ by a quarter for
//! no reason of theirs: so ratios are shown, and no verdict.

use super::figures::{Ended, Figures, Parameters};
use super::show::three_digits;
use common::terminal::escape::one_line;
use common::terminal::table::{Align, columns};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

const HEAD: [(&str, Align); 4] = [
    ("against", Align::Left),
    ("before", Align::Right),
    ("now", Align::Right),
    ("ratio", Align::Right),
];

/// The figures that are compared: a name for people and one for JSON, how it is taken, and how it is
/// shown.
type Compared = (
    &'static str,
    &'static str,
    fn(&Figures) -> f64,
    fn(f64) -> String,
);

const COMPARED: [Compared; 4] = [
    (
        "commands/s",
        "commands_per_s",
        |run| run.commands_per_s,
        |rate| format!("{rate:.0}"),
    ),
    ("p50", "p50", |run| run.latency_us.p50, three_digits),
    ("p99", "p99", |run| run.latency_us.p99, three_digits),
    ("p99.9", "p999", |run| run.latency_us.p999, three_digits),
];

/// What `--json` says of two runs.
#[derive(Serialize)]
pub(super) struct Against<'a> {
    /// The run that was saved.
    before: &'a Figures,
    /// Now by before; `None` if that was 0.
    ratio: BTreeMap<&'static str, Option<f64>>,
    /// The parameters that are not the same.
    differs: Vec<String>,
}

impl<'a> Against<'a> {
    pub(super) fn new(before: &'a Figures, now: &Figures) -> Against<'a> {
        let ratios = COMPARED.map(|(_, name, of, _)| (name, ratio(of(before), of(now))));
        let differs = differences(&before.parameters, &now.parameters);
        Against {
            before,
            ratio: ratios.into(),
            differs: differs.into_iter().map(|(name, ..)| name).collect(),
        }
    }
}

/// Both runs, as a table.
pub(super) fn table(before: &Figures, now: &Figures) -> String {
    let rows = COMPARED.iter().map(|(name, _, of, show)| {
        let (before, now) = (of(before), of(now));
        let ratio = ratio(before, now).map_or("-".into(), |ratio| format!("{ratio:.2}"));
        [(*name).to_owned(), show(before), show(now), ratio]
    });
    let (version, commit) = (one_line(&before.version), one_line(&before.commit));
    format!("{}before    by {version} ({commit})\n", columns(HEAD, rows))
}

/// Why the ratios say little, if there is a reason.
pub(super) fn warning(before: &Figures, now: &Parameters) -> Option<String> {
    let differs = differences(&before.parameters, now);
    let mut whys: Vec<String> = differs
        .iter()
        .map(|(name, before, now)| format!("{name} was {before} and is {now}"))
        .collect();
    if before.ended != Ended::Done {
        whys.push("that run did not come to its end".into());
    }
    let whys = (!whys.is_empty()).then(|| whys.join(", "))?;
    Some(format!(
        "warning: --against compares what is not alike: {whys}"
    ))
}

/// The names of the parameters that are not the same, with both values.
fn differences(before: &Parameters, now: &Parameters) -> Vec<(String, String, String)> {
    let [before, now] = [before, now].map(|parameters| match serde_json::to_value(parameters) {
        Ok(Value::Object(members)) => members,
        _ => unreachable!("a struct of numbers and texts is an object"),
    });
    let pairs = before
        .into_iter()
        .zip(now)
        .filter(|(before, now)| before != now);
    let shown = |value: Value| one_line(&value.to_string()).into_owned();
    pairs
        .map(|((name, before), (_, now))| (name, shown(before), shown(now)))
        .collect()
}

fn ratio(before: f64, now: f64) -> Option<f64> {
    (before > 0.0).then(|| now / before)
}
