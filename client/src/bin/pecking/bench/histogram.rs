//! Latencies as bars, for a terminal: a row for each range, the ranges a fixed ratio apart, as latencies
//! that matter lie many times above most.

use super::show::three_digits;
use hdrhistogram::Histogram;

/// Rows: half of a small terminal.
const MOST_ROWS: usize = 16;

/// Ranges for each power of ten, the finest first.
const A_DECADE: [u32; 5] = [20, 10, 5, 2, 1];

/// Columns of the longest bar: what a wide window shows beyond that tells nothing more.
const LONGEST: usize = 60;

/// Columns of the shortest bar that is worth a picture.
const SHORTEST: usize = 8;

/// Bars that are so many eighths of a column, from 1 on.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// The quantiles that are marked where they lie.
const MARKED: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// The picture of latencies in nanoseconds, in this many columns at most; nothing if there are none or
/// it has no room. Each row says from where on it counts, and how many.
pub(super) fn draw(latency: &Histogram<u64>, columns: usize) -> String {
    if latency.is_empty() {
        return String::new();
    }
    let rows = Rows::of(latency);
    let digits = rows.most().to_string().len();
    let marks = rows.marks(latency);
    let longest_mark = marks.iter().map(String::len).max().unwrap_or_default();
    let froms: Vec<_> = (0..marks.len())
        .map(|row| three_digits(rows.from(row) / 1000.0))
        .collect();
    let longest_from = froms.iter().map(|from| from.chars().count()).max();
    let longest_from = longest_from.unwrap_or_default();
    let beside = longest_from + 1 + 1 + digits + longest_mark;
    let Some(width) = columns
        .checked_sub(beside)
        .filter(|width| *width >= SHORTEST)
    else {
        return String::new();
    };
    let width = width.min(LONGEST);
    let row = |(row, mark): (usize, &String)| {
        let (from, count) = (&froms[row], rows.counts[row]);
        let bar = bar(count, rows.most(), width);
        format!("{from:>longest_from$} {bar:<width$} {count:>digits$}{mark}\n")
    };
    marks.iter().enumerate().map(row).collect()
}

/// A bar as long as its share of the most; what there is shows.
fn bar(count: u64, most: u64, width: usize) -> String {
    let eighths = (count as f64 / most as f64 * (width * EIGHTHS.len()) as f64).ceil() as usize;
    let mut bar = "█".repeat(eighths / EIGHTHS.len());
    if let Some(last) = (eighths % EIGHTHS.len()).checked_sub(1) {
        bar.push(EIGHTHS[last]);
    }
    bar
}

/// How many latencies lie in each range.
struct Rows {
    a_decade: u32,
    /// The number of the first range; that of 1 ns is 0.
    first: usize,
    counts: Vec<u64>,
}

impl Rows {
    fn of(latency: &Histogram<u64>) -> Rows {
        let ends = |a_decade| [latency.min(), latency.max()].map(|ns| number(ns, a_decade));
        let count = |[first, last]: [usize; 2]| last - first + 1;
        let fits = |a_decade: &u32| count(ends(*a_decade)) <= MOST_ROWS;
        let a_decade = A_DECADE.into_iter().find(fits).unwrap_or(1);
        let [first, last] = ends(a_decade);
        let mut rows = Rows {
            a_decade,
            first,
            counts: vec![0; count([first, last])],
        };
        for step in latency.iter_recorded() {
            let row = rows.row(step.value_iterated_to());
            rows.counts[row] += step.count_since_last_iteration();
        }
        rows
    }

    fn row(&self, ns: u64) -> usize {
        // What the histogram takes for the same as its largest value may lie above it.
        let row = number(ns, self.a_decade).saturating_sub(self.first);
        row.min(self.counts.len() - 1)
    }

    /// Where a row begins, in nanoseconds.
    fn from(&self, row: usize) -> f64 {
        10_f64.powf((self.first + row) as f64 / f64::from(self.a_decade))
    }

    fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    /// The quantiles that lie in each row.
    fn marks(&self, latency: &Histogram<u64>) -> Vec<String> {
        let mut marks = vec![String::new(); self.counts.len()];
        for (share, name) in MARKED {
            let row = self.row(latency.value_at_quantile(share));
            marks[row] += &format!("  {name}");
        }
        marks
    }
}

/// The number of the range that a time lies in.
fn number(ns: u64, a_decade: u32) -> usize {
    ((ns.max(1) as f64).log10() * f64::from(a_decade)).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[(u64, u64)]) -> Histogram<u64> {
        let mut latency = Histogram::new(3).expect("a histogram");
        for (ns, count) in counts {
            latency.record_n(*ns, *count).expect("it grows");
        }
        latency
    }

    #[test]
    fn each_range_has_a_bar_its_count_and_its_quantiles() {
        let latency = histogram(&[(70_000, 700), (80_000, 250), (90_000, 45), (125_000, 5)]);
        assert_eq!(
            draw(&latency, 30),
            concat!(
                "63.1 µs ███████████ 700  p50\n",
                "70.8 µs               0\n",
                "79.4 µs ████        250\n",
                "89.1 µs ▊            45  p99\n",
                " 100 µs               0\n",
                " 112 µs ▏             5  p99.9\n",
            )
        );
    }

    #[test]
    fn every_latency_is_counted_once_and_every_row_fits() {
        for counts in [
            &[(0, 1)][..],
            &[(1, 1), (u64::MAX / 2, 1)],
            &[(99_999, 3), (100_000, 4), (100_001, 5)],
            &[(73_000, 100_000), (5_000_000_000, 1)],
        ] {
            let latency = histogram(counts);
            let rows = Rows::of(&latency);
            assert_eq!(rows.counts.iter().sum::<u64>(), latency.len());
            assert!(rows.counts.len() <= 2 * MOST_ROWS, "{}", rows.counts.len());
            for columns in (0..48).chain([60, 80, 100, 200]) {
                let text = draw(&latency, columns);
                let widest = text.lines().map(|line| line.chars().count()).max();
                assert!(widest.unwrap_or_default() <= columns, "{columns}:\n{text}");
                assert!(columns < 60 || text.lines().count() == rows.counts.len());
                // What there is shows, however little.
                let bars = text.lines().filter(|line| line.contains(EIGHTHS));
                let some = rows.counts.iter().filter(|count| **count > 0);
                assert!(text.is_empty() || bars.count() == some.count(), "{text}");
            }
        }
        assert_eq!(draw(&histogram(&[]), 80), "");
    }
}
