//! Lines of text, cut by columns.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::borrow::Cow;
use unicode_truncate::UnicodeTruncateStr;
use unicode_width::UnicodeWidthStr;

/// One line of text, cut where the area ends.
pub(super) fn text(frame: &mut Frame<'_>, area: Rect, line: &str, style: Style) {
    let buffer = frame.buffer_mut();
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    buffer.set_style(area, style);
    let shown = fitted(line, area.width.into());
    buffer.set_stringn(area.x, area.y, shown, area.width.into(), style);
}

/// A text of at most so many columns, with an ellipsis if it is cut.
pub(super) fn fitted(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let (start, _) = text.unicode_truncate(room);
    Cow::Owned(format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns() {
        for (text, columns, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(fitted(text, columns), shown);
        }
    }
}
