//! Rows in columns, as a person reads them.

/// At which edge a column is aligned: numbers at the right one.
#[derive(Clone, Copy, Debug)]
pub enum Align {
    /// Each cell begins where its column does.
    Left,
    /// Each cell ends where its column does.
    Right,
}

/// Rows under a head, each column as wide as its widest cell. What came from a peer has to be escaped
/// already.
pub fn columns<const N: usize>(
    head: [(&str, Align); N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut all = vec![head.map(|(title, _)| title.to_owned())];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let line = |row: &[String; N]| line(row, &widths, head.map(|(_, align)| align));
    all.iter().map(line).collect()
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N], aligned: [Align; N]) -> String {
    let cells = row.iter().zip(widths).zip(aligned);
    let padded = cells.map(|((cell, width), align)| match align {
        Align::Right => format!("{cell:>width$}"),
        Align::Left => format!("{cell:<width$}"),
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["1", "\u{e4}\u{e4}", ""]), row(["10", "a", "x"])];
        let head = [("N", Align::Right), ("ID", Align::Left), ("Z", Align::Left)];
        let table = columns(head, rows.into_iter());
        assert_eq!(table, " N  ID  Z\n 1  \u{e4}\u{e4}\n10  a   x\n");
    }
}
