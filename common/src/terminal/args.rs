//! Values as people type them on a command line: durations, sizes, addresses. Each
//! error names the value and what would be right. It knows no argument parser.

use crate::terminal::escape;
use bytesize::ByteSize;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that is read: longer than any program runs, and so short that no clock and
/// no date overflows when it is added.
pub const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// Reads a duration such as `500ms`, `5s` or `1m 30s`, of at most [`LONGEST`]; a number alone is
/// seconds.
///
/// # Errors
/// A sentence for a person.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().map(|s| Duration::from_secs(s.into()));
    let duration = seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "expected a duration such as 500ms, 5s or 2m")?;
    match duration > LONGEST {
        true => {
            let days = LONGEST.as_secs() / (24 * 60 * 60);
            Err(format!("expected a duration of at most {days} days"))
        }
        false => Ok(duration),
    }
}

/// [`duration`], but not zero.
///
/// # Errors
/// A sentence for a person.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected a duration above zero, such as 500ms or 5s".into()),
        duration => Ok(duration),
    }
}

/// Reads a whole number of a range. The error is a sentence for a person.
pub fn number<N: Clone + FromStr + PartialOrd + Display>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|n| range.contains(n));
        let (first, last) = (range.start(), range.end());
        number.ok_or_else(|| format!("expected a whole number from {first} to {last}"))
    }
}

/// Reads a size of a range, such as `64KiB`. The error is a sentence for a person.
pub fn size(range: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let size = text.parse().ok().map(|size: ByteSize| size.as_u64());
        let size = size.and_then(|size| size.try_into().ok());
        size.filter(|size| range.contains(size)).ok_or_else(|| {
            let [first, last] = [range.start(), range.end()]
                .map(|bytes| ByteSize::b(*bytes as u64).display().iec().to_string());
            format!("expected a size from {first} to {last}, with its unit")
        })
    }
}

/// Checks that an address has the form `HOST:PORT`; whether the host exists shows
/// when it is used.
///
/// # Errors
/// A sentence for a person.
pub fn address(text: &str) -> Result<String, String> {
    let expected = "expected HOST:PORT, such as 127.0.0.1:5555 or [::1]:5555";
    let (host, port) = text.rsplit_once(':').ok_or(expected)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_is_right = match bracketed {
        true => text.parse::<std::net::SocketAddrV6>().is_ok(),
        false => !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']),
    };
    match port.parse::<u16>() {
        Ok(_) if host_is_right => Ok(text.to_owned()),
        _ => Err(expected.into()),
    }
}

/// What an argument parser prints about a wrong argument, on one line: its message, and what is
/// similar if that is all there is to say, without the usage and other tips that follow, and with
/// nothing in it that could steer a terminal.
pub fn one_line_error(rendered: &str) -> String {
    format!("{} (--help tells more)", one_line(rendered))
}

/// The same without what stands before and behind it: for a value that is from no command line.
pub fn short_error(rendered: &str) -> String {
    let line = one_line(rendered);
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn one_line(rendered: &str) -> String {
    const AFTERWARDS: [&str; 3] = ["\n\nUsage:", "\n\n  tip:", "\n\nFor more information"];
    let ends = AFTERWARDS.iter().filter_map(|after| rendered.find(after));
    let (message, afterwards) = rendered.split_at(ends.min().unwrap_or(rendered.len()));
    let words: Vec<&str> = message.split_whitespace().collect();
    let tip = afterwards.trim_start().lines().next();
    let similar = tip
        .and_then(|tip| tip.strip_prefix("tip: "))
        .filter(|tip| tip.starts_with("a similar ") || tip.starts_with("some similar "));
    format!(
        "{}{}",
        escape::one_line(&shortened(&words.join(" "))),
        similar.map_or(String::new(), |similar| format!(
            "; {}",
            escape::one_line(similar)
        ))
    )
}

/// What is wrong with a command line that has bytes which are no text: the first word with such,
/// among those that are not used as text as well.
pub fn no_utf8(words: impl IntoIterator<Item = OsString>) -> Option<String> {
    let wrong = words.into_iter().find(|word| word.to_str().is_none())?;
    let shown = wrong.as_encoded_bytes().escape_ascii().to_string();
    Some(format!(
        "error: '{}' is no UTF-8; words, names and addresses are (--help tells more)",
        shortened(&shown)
    ))
}

/// Both ends of a message, as its middle may be a value of any length: its purpose stands before
/// and behind it, and the right form behind it.
fn shortened(message: &str) -> Cow<'_, str> {
    /// Bytes of each end: every sentence of ours fits into it.
    const END: usize = 400;
    let start = message.floor_char_boundary(END);
    let rest = message.ceil_char_boundary(message.len().saturating_sub(END));
    match start < rest {
        true => format!("{} … {}", &message[..start], &message[rest..]).into(),
        false => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "x", "-1s", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(positive_duration("0").is_err());
        assert_eq!(duration("36500d"), Ok(LONGEST));
        for too_long in ["36501d", "499999999999y"] {
            let error = duration(too_long).expect_err(too_long);
            assert!(error.contains("at most 36500 days"), "{error}");
        }
    }

    #[test]
    fn sizes_are_read_and_held_to_a_range() {
        assert_eq!(size(1..=1 << 20)("16KiB"), Ok(16 << 10));
        assert_eq!(size(1..=1 << 20)("1 MiB"), Ok(1 << 20));
        assert_eq!(size(1..=1 << 20)("4096"), Ok(4096));
        for wrong in ["", "x", "-1", "2MiB", "0"] {
            let error = size(1..=1 << 20)(wrong).expect_err(wrong);
            assert!(error.contains("1.0 MiB"), "{error}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for right in ["127.0.0.1:0", "[::1]:5555", "relay.example:5555"] {
            assert!(address(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "x",
            "1.2.3.4",
            ":5555",
            "::1:5555",
            "h:99999",
            "http://h:1",
            "[x]:1",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_word_that_is_no_text_is_named() {
        let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let said = no_utf8([word(b"run"), word(b"a\xff\x1b["), word(b"\xfe")]);
        assert!(said.is_some_and(|said| said.contains(r"'a\xff\x1b[' is no UTF-8")));
        let long = no_utf8([word(&[0xff; 100_000])]).expect("it is no text");
        assert!(long.len() < 1024, "{} bytes", long.len());
        assert_eq!(no_utf8([word(b"run")]), None);
    }

    #[test]
    fn an_error_is_shortened_to_one_line() {
        let rendered = "error: required:\n  <WORDS>...\n\nUsage: x\n";
        assert_eq!(
            one_line_error(rendered),
            "error: required: <WORDS>... (--help tells more)"
        );
        let steering = "error: 'a\n\nb\x1b[2J' is wrong\n\n  tip: x\n\nUsage: x";
        assert_eq!(
            one_line_error(steering),
            "error: 'a b\\x1b[2J' is wrong (--help tells more)"
        );
        let misspelt =
            "error: unexpected '--nme'\n\n  tip: a similar argument exists: '--name'\n\nUsage: x";
        assert_eq!(
            one_line_error(misspelt),
            "error: unexpected '--nme'; a similar argument exists: '--name' (--help tells more)"
        );
        let names = "€,".repeat(16_000);
        let error = one_line_error(&format!(
            "error: '{names}' for '--to': too many\n\nUsage: x"
        ));
        assert!(error.len() < 1024, "{} bytes", error.len());
        assert!(error.starts_with("error: '€,"), "{error}");
        assert!(
            error.ends_with("€,' for '--to': too many (--help tells more)"),
            "{error}"
        );
    }
}
