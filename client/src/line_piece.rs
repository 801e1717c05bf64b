//! How much of a program's output or input goes into one line.

use common::wire::text::whole_characters;

/// Bytes in one line: as much as is worth one, also if the server takes longer lines.
const PIECE: usize = 32 << 10;

/// What JSON may make of one byte: `\u0000`.
const LONGEST_ESCAPE: usize = 6;

/// What a line has besides its text: ids, keys, quotes.
pub(crate) const AROUND: usize = 512;

/// How many bytes fit into one line, whichever they are.
pub(crate) fn piece_size(max_line: usize) -> usize {
    (max_line.saturating_sub(AROUND) / LONGEST_ESCAPE).clamp(64, PIECE)
}

/// How many of the bytes, at most so many, go into one line: whole characters, if possible.
pub(crate) fn piece_len(bytes: &[u8], most: usize, max_line: usize) -> usize {
    let len = bytes.len().min(most).min(piece_size(max_line));
    match whole_characters(&bytes[..len]) {
        0 => len,
        whole if len < bytes.len() => whole,
        _ => len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::OutputStream;
    use common::wire::fast_encode::execution_output;

    #[test]
    fn pieces_fit_into_lines_and_end_between_characters() {
        for text in [
            "\u{1}".repeat(100_000),
            "ä".repeat(50_000),
            "\n".repeat(100_000),
        ] {
            let mut left = text.as_bytes();
            let mut whole = Vec::new();
            while !left.is_empty() {
                let (piece, rest) = left.split_at(piece_len(left, usize::MAX, 16 << 10));
                assert!(std::str::from_utf8(piece).is_ok());
                let mut line = Vec::new();
                execution_output(&mut line, 7, OutputStream::Stdout, piece);
                assert!(line.len() <= 16 << 10);
                whole.extend_from_slice(piece);
                left = rest;
            }
            assert!(whole == text.as_bytes());
        }
        assert_eq!(
            piece_len("ä".as_bytes(), 1, 1 << 20),
            1,
            "progress comes first"
        );
        assert_eq!(piece_len(b"a\xc3", 9, 1 << 20), 2, "it is all there is");
    }
}
