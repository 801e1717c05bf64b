//! Whether two patterns have a text in common. Names that differ only in case, or in which of
//! `.`, `_` and `-` they have, count as the same here: people take one for the other.

/// A name or a pattern of names in the form in which look-alikes are equal.
pub(super) fn folded(text: &str) -> String {
    let fold = |c: char| match c {
        '.' | '_' => '-',
        c => c.to_ascii_lowercase(),
    };
    text.chars().map(fold).collect()
}

/// Whether some text matches both patterns, in which `*` stands for any number of characters and
/// `?` for one. It takes as many steps as one pattern has characters, times the other's.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if !literal_starts_agree(a, b) {
        return false;
    }
    // Whether what is left of `a` and of `b`, from place `j` on, have a text in common.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let (left, right) = (a.get(i), b.get(j));
            let passes_left = left == Some(&b'*') && below[j];
            let passes_right = right == Some(&b'*') && row.get(j + 1) == Some(&true);
            row[j] = match (left, right) {
                (None, None) => true,
                _ if passes_left || passes_right => true,
                (Some(b'*'), Some(_)) => row[j + 1],
                (Some(_), Some(b'*')) => below[j],
                (Some(x), Some(y)) => (x == y || *x == b'?' || *y == b'?') && below[j + 1],
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
        below = row;
    }
    below[0]
}

/// What nearly all pairs differ in: what stands before the first `*` or `?`.
fn literal_starts_agree(a: &[u8], b: &[u8]) -> bool {
    let is_literal = |byte: &&u8| !matches!(byte, b'*' | b'?');
    let (a, b) = (
        a.iter().take_while(is_literal),
        b.iter().take_while(is_literal),
    );
    a.zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::wildcard::Wildcard;
    use proptest::prelude::*;

    #[test]
    fn patterns_overlap_if_a_text_matches_both() {
        for (a, b, expected) in [
            ("web1", "web1", true),
            ("web1", "web2", false),
            ("web*", "web1", true),
            ("web*", "w*1", true),
            ("web*", "db*", false),
            ("*-web", "web*", true),
            ("a?", "?b", true),
            ("a?", "a", false),
            ("a*", "a", true),
            ("*", "", true),
            ("?", "", false),
            ("*a*b", "b*a", false),
            ("*a*b", "b*", true),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} and {b}");
            assert_eq!(overlap(b, a), expected, "{b} and {a}");
        }
        assert_eq!(folded("Web_1.x-Y*"), "web-1-x-y*");
    }

    proptest! {
        #[test]
        fn a_name_that_matches_both_is_an_overlap(
            a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", name in "[ab]{0,8}",
        ) {
            let matches = |pattern: &str| Wildcard::new(pattern).matches(&name);
            prop_assert!(!(matches(&a) && matches(&b)) || overlap(&a, &b));
        }

        #[test]
        fn patterns_without_a_common_name_do_not_overlap(a in "[ab*?]{0,4}", b in "[ab*?]{0,4}") {
            // A common text of two such patterns is no longer than both together.
            let (left, right) = (Wildcard::new(&a), Wildcard::new(&b));
            let has_common = (0..=8usize).any(|length| {
                (0..1u32 << length).any(|bits| {
                    let name: String = (0..length)
                        .map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' })
                        .collect();
                    left.matches(&name) && right.matches(&name)
                })
            });
            prop_assert_eq!(overlap(&a, &b), has_common);
        }
    }
}
