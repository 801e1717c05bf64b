//! The margin in front of the text of other clients at a terminal: so their text cannot pass for
//! text of this client. Longer lines are folded here, and each of their rows has the margin.

use unicode_width::UnicodeWidthChar;

/// The start of each row with text of other clients.
const MARGIN: &str = "│ ";

const WIDTH: usize = 2;

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// Lines of other clients, each row with the margin, for a terminal of this width.
pub(crate) fn set_off(lines: &str, columns: usize) -> String {
    let mut out = String::with_capacity(lines.len() + lines.len() / 8);
    for line in lines.split_terminator('\n') {
        out.push_str(MARGIN);
        fold(line, WIDTH, columns, &mut out);
        out.push('\n');
    }
    out
}

/// A line of this client that repeats text of others: only its further rows have the margin.
pub(crate) fn set_off_rest(line: &str, columns: usize) -> String {
    let mut out = String::with_capacity(line.len());
    fold(line, 0, columns, &mut out);
    out
}

/// Adds a line that begins in this column, and a margin after each full row. A character and what
/// is drawn on top of it stay together if a row has room for them.
fn fold(line: &str, mut column: usize, columns: usize, out: &mut String) {
    for (at, c) in line.char_indices() {
        let width = match c {
            '\t' => TAB - column % TAB,
            c => columns_of(c),
        };
        let on_top = match has_no_width(c) {
            true => 0,
            false => {
                let rest = line[at + c.len_utf8()..].chars();
                rest.take_while(|c| has_no_width(*c)).count()
            }
        };
        let is_full = |needed: usize| needed > columns.saturating_sub(column);
        let fits_a_row = width + on_top <= columns.saturating_sub(WIDTH);
        // However narrow it is, each row has a character of the line.
        if (is_full(width) || (fits_a_row && is_full(width + on_top))) && column > WIDTH {
            out.push('\n');
            out.push_str(MARGIN);
            column = WIDTH;
        }
        column += width;
        out.push(c);
    }
}

fn has_no_width(c: char) -> bool {
    c != '\t' && c.width().unwrap_or(0) == 0
}

/// The columns that a character takes at most. Terminals do not agree on which have no width, such
/// as joining letters of Hangul, and a row that is longer than counted goes on without a margin.
fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_others_has_the_margin() {
        for (lines, shown) in [
            ("", ""),
            ("\n", "│ \n"),
            ("a\n\nb\n", "│ a\n│ \n│ b\n"),
            ("12345678\n", "│ 12345678\n"),
            ("123456789\n", "│ 12345678\n│ 9\n"),
            ("日本語日本\n", "│ 日本語日\n│ 本\n"),
            ("1日本語日\n", "│ 1日本語\n│ 日\n"),
            ("123456e\u{301}\n", "│ 123456e\u{301}\n"),
            ("1234567e\u{301}\n", "│ 1234567\n│ e\u{301}\n"),
            // Of no width for some terminals, of one column for others.
            (
                "12\u{bbe}\u{bbe}\u{bbe}\u{bbe}\u{bbe}\u{bbe}34\n",
                "│ 12\u{bbe}\u{bbe}\u{bbe}\u{bbe}\u{bbe}\u{bbe}\n│ 34\n",
            ),
            (
                "\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\n",
                "│ \u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\u{1161}\n│ \u{1161}\n",
            ),
            ("a\tb\tc\n", "│ a\tb\n│ \tc\n"),
        ] {
            assert_eq!(set_off(lines, 10), shown, "{lines:?}");
        }
        assert_eq!(set_off("abc\n", 1), "│ a\n│ b\n│ c\n");
        assert_eq!(set_off("abc\n", usize::MAX), "│ abc\n");
    }

    #[test]
    fn a_line_of_the_clients_own_has_it_from_the_second_row_on() {
        assert_eq!(set_off_rest("1234567890", 10), "1234567890");
        assert_eq!(set_off_rest("12345678901", 10), "1234567890\n│ 1");
    }
}
