//! The values of an auth file that have no type of their own: networks, times, whole numbers,
//! words of commands. Each error says what was found and what would be right.

use super::error::Fault;
use super::rules::Commands;
use common::wire::text::clip;
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};
use toml::Spanned;
use toml::value::{Datetime, Offset};

/// A network such as `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet = text.parse().map_err(|_| {
        format!(
            "found {:?}, expected a network such as \"10.0.0.0/8\", or an address",
            clip(text)
        )
    })?;
    match net.trunc() {
        right if right == net => Ok(net),
        right => Err(format!(
            "found {:?}, expected \"{right}\": the address is that of the network",
            clip(text)
        )),
    }
}

/// The moments that a date in UTC can be written of, with years of four digits, in seconds since
/// 1970.
const MOMENTS: RangeInclusive<u64> = 0..=253_402_300_799;

/// The same for an error.
pub(super) const MOMENTS_TEXT: &str = "from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z";

/// Whether a date can be written of a moment.
fn is_writable(moment: SystemTime) -> bool {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.is_ok_and(|since| MOMENTS.contains(&since.as_secs()))
}

/// A moment, by the clock on the wall.
pub(super) fn moment(date: &Datetime) -> Result<SystemTime, String> {
    let expected = || {
        format!("found {date}, expected a date with time and offset, such as 2027-06-30T00:00:00Z")
    };
    let (Some(day), Some(time), Some(offset)) = (date.date, date.time, date.offset) else {
        return Err(expected());
    };
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let written = Datetime {
        date: Some(day),
        time: Some(time),
        offset: Some(Offset::Z),
    };
    let beyond = || format!("found {date}, expected a moment {MOMENTS_TEXT}");
    let written = match humantime::parse_rfc3339(&written.to_string()) {
        Ok(written) => written,
        Err(humantime::TimestampError::OutOfRange) => return Err(beyond()),
        Err(_) => return Err(expected()),
    };
    let shift = Duration::from_secs(east.unsigned_abs() * 60);
    let moment = match east > 0 {
        true => written.checked_sub(shift),
        false => written.checked_add(shift),
    };
    moment.filter(|at| is_writable(*at)).ok_or_else(beyond)
}

/// A moment as the file has it, in whole seconds, if a date can be written of it.
pub(super) fn date(moment: SystemTime) -> Option<Datetime> {
    if !is_writable(moment) {
        return None;
    }
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    text.parse().ok()
}

/// A whole number in a range.
pub(super) fn whole(
    number: &Spanned<i64>,
    key: &str,
    range: RangeInclusive<u32>,
) -> Result<u32, Fault> {
    let value = u32::try_from(*number.get_ref()).ok();
    let in_range = value.filter(|value| range.contains(value));
    in_range.ok_or_else(|| {
        let message = format!(
            "{key}: found {}, expected a whole number from {} to {}",
            number.get_ref(),
            range.start(),
            range.end()
        );
        Fault::at(number.span().start, message)
    })
}

/// The commands of one line of `allow`.
pub(super) fn commands(words: &[Spanned<String>]) -> Result<Commands, Fault> {
    let mut known = Vec::new();
    let mut are_any = false;
    for word in words {
        let text = word.get_ref();
        let why = match text.as_str() {
            "*" => {
                are_any = true;
                continue;
            }
            "" => "expected the first word of a command, or \"*\"",
            text if text.contains('*') => {
                "expected the whole first word of a command, or \"*\" alone: a part is no pattern"
            }
            text if text.contains(char::is_whitespace) => {
                "expected the first word of a command alone; its arguments are for the policy of the machine that executes it"
            }
            _ => {
                known.push(text.clone());
                continue;
            }
        };
        let message = format!("commands: found {:?}, {why}", clip(text));
        return Err(Fault::at(word.span().start, message));
    }
    Ok(match are_any {
        true => Commands::Any,
        false => Commands::These(known),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("fe80::/64", "fe80::/64"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(
                network(text).map(|net| net.to_string()).as_deref(),
                Ok(shown)
            );
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "web1", "10.0.0.1-9"] {
            assert!(
                network(wrong).is_err_and(|e| e.contains("10.0.0.0/8")),
                "{wrong}"
            );
        }
        let error = network("10.1.2.3/8").expect_err("host bits");
        assert!(error.contains("expected \"10.0.0.0/8\""), "{error}");
    }

    #[test]
    fn moments() {
        let read = |text: &str| moment(&text.parse().expect(text));
        let utc = read("2027-06-30T00:00:00Z").expect("a moment");
        assert_eq!(read("2027-06-30T02:00:00+02:00"), Ok(utc));
        assert_eq!(read("2027-06-29T18:30:00-05:30"), Ok(utc));
        let seconds = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH)
                .map(|d| d.as_secs())
        };
        assert_eq!(seconds(utc).expect("after 1970"), 1_814_313_600);
        assert_eq!(
            date(utc).map(|date| date.to_string()).as_deref(),
            Some("2027-06-30T00:00:00Z")
        );
        for wrong in ["2027-06-30", "2027-06-30T00:00:00", "00:00:00"] {
            assert!(
                read(wrong).is_err_and(|e| e.contains("2027-06-30T00:00:00Z")),
                "{wrong}"
            );
        }
        for right in [
            "1970-01-01T00:00:00Z",
            "1970-01-01T05:00:00+05:00",
            "9999-12-31T11:59:59-12:00",
        ] {
            assert!(read(right).is_ok(), "{right}");
        }
        for wrong in [
            "1969-01-01T00:00:00Z",
            "1970-01-01T00:00:00+05:00",
            "9999-12-31T23:59:59-12:00",
        ] {
            let range = "from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z";
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains(wrong) && error.contains(range), "{error}");
        }
    }
}
