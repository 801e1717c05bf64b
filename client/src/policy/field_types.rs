//! The values of an entry: each is a type that can only be made of a right value. The error for a
//! wrong one says what was found and what was expected; TOML adds the place.

use super::command::{Group, User};
use super::pattern::Pattern;
use common::limits::{MAX_IDENTITY, MAX_NAME};
use common::wire::Identity;
use common::wire::name::Name;
use common::wire::text::clip;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that a size may name: a pebibyte, more than any machine moves for one command,
/// and far from where sums of sizes overflow.
const MAX_SIZE: usize = 1 << 50;

/// The least address space: less does not even hold a program and its loader.
pub(super) const MIN_MEMORY: usize = 1 << 20;

/// What begins the names of variables that the executor sets.
const RESERVED: &str = "PECKING_";

/// What can be made of a text.
pub(super) trait FromText: Sized {
    /// What kind of text that is.
    const EXPECTED: &'static str;

    /// Makes it, or says what would be right: "expected ...".
    fn from_text(text: &str) -> Result<Self, String>;
}

/// A string of the file, made into what it means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<T>, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                let wrong = |expected| E::custom(format!("found {:?}, {expected}", clip(text)));
                T::from_text(text).map(Text).map_err(wrong)
            }
        }
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

/// What stands in a table of the file.
pub(super) trait InTable {
    /// What such a table looks like: "a table such as ...".
    const EXPECTED: &'static str;
}

/// A table of the file. What serde derives for its content would take an array as well, whose
/// values have no keys.
#[derive(Debug)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + InTable> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Table<T>, D::Error> {
        struct TableVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + InTable> Visitor<'de> for TableVisitor<T> {
            type Value = Table<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Table<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(Table)
            }
        }
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for NumberVisitor<MIN, MAX> {
            type Value = Number<MIN, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                let number = u64::try_from(number).map_err(|_| found(number, &self))?;
                self.visit_u64(number)
            }
            fn visit_i128<E: Error>(self, number: i128) -> Result<Self::Value, E> {
                Err(found(number, &self))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                match (MIN..=MAX).contains(&number) {
                    true => Ok(Number(number)),
                    false => Err(found(number, &self)),
                }
            }
        }
        deserializer.deserialize_u64(NumberVisitor)
    }
}

fn found<E: Error>(number: impl fmt::Display, expected: &dyn serde::de::Expected) -> E {
    E::custom(format!("found {number}, expected {expected}"))
}

impl FromText for Pattern {
    const EXPECTED: &'static str = "a pattern such as \"[a-z]+\"";

    fn from_text(text: &str) -> Result<Pattern, String> {
        Pattern::new(text).map_err(|why| format!("expected a regular expression ({why})"))
    }
}

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"5s\" or \"2m\"";

    fn from_text(text: &str) -> Result<Duration, String> {
        common::terminal::args::positive_duration(text)
    }
}

#[derive(Debug)]
pub(super) struct Size<const MIN: usize>(pub(super) u64);

impl<const MIN: usize> FromText for Size<MIN> {
    const EXPECTED: &'static str = "a size such as \"256 MiB\"";

    fn from_text(text: &str) -> Result<Size<MIN>, String> {
        let size = common::terminal::args::size(MIN..=MAX_SIZE)(text)?;
        Ok(Size(size as u64))
    }
}

/// A word of a command or the value of a variable: the system takes none with a NUL character.
impl FromText for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<String, String> {
        match text.contains('\0') {
            true => Err("expected a string without NUL characters".into()),
            false => Ok(text.to_owned()),
        }
    }
}

/// The path of a folder, which is the same wherever the client was started.
impl FromText for PathBuf {
    const EXPECTED: &'static str = "the absolute path of a folder";

    fn from_text(text: &str) -> Result<PathBuf, String> {
        match text.starts_with('/') && !text.contains('\0') {
            true => Ok(PathBuf::from(text)),
            false => Err("expected the absolute path of a folder, such as \"/var/tmp\"".into()),
        }
    }
}

/// The permissions that a program's new files do not get.
#[derive(Clone, Debug)]
pub(super) struct Umask(pub(super) u32);

impl FromText for Umask {
    const EXPECTED: &'static str = "octal digits in quotes such as \"027\"";

    fn from_text(text: &str) -> Result<Umask, String> {
        let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let mask = u32::from_str_radix(text, 8).ok();
        let mask = mask.filter(|mask| is_octal && *mask <= 0o777);
        let expected = "expected octal digits from 0 to 777, such as \"027\"";
        mask.map(Umask).ok_or_else(|| expected.into())
    }
}

/// The system's "no change" of a user or group (setresuid(2)), which setgroups(2) refuses: with it a
/// program would go on as root.
const NO_ID: u32 = u32::MAX;

const NO_ID_SAID: &str = "which has the number 4294967295, and that changes nothing";

impl FromText for Group {
    const EXPECTED: &'static str = "a group's name or number in quotes such as \"adm\"";

    fn from_text(text: &str) -> Result<Group, String> {
        let group = |id| Group {
            name: text.to_owned(),
            id,
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let id = text.parse().ok().filter(|id| *id < NO_ID);
            let expected = format!("expected a group's number from 0 to {}", NO_ID - 1);
            return id.map(group).ok_or(expected);
        }
        match nix::unistd::Group::from_name(text) {
            Ok(Some(found)) if found.gid.as_raw() == NO_ID => Err(NO_ID_SAID.into()),
            Ok(Some(found)) => Ok(group(found.gid.as_raw())),
            Ok(None) => Err("expected a group of this machine (getent group)".into()),
            Err(error) => Err(format!("which cannot be looked up: {error}")),
        }
    }
}

impl FromText for User {
    const EXPECTED: &'static str = "a user's name in quotes such as \"deploy\"";

    fn from_text(text: &str) -> Result<User, String> {
        let unknown = |error| format!("which cannot be looked up: {error}");
        let Some(found) = nix::unistd::User::from_name(text).map_err(unknown)? else {
            return Err("expected a user of this machine (getent passwd)".into());
        };
        if [found.uid.as_raw(), found.gid.as_raw()].contains(&NO_ID) {
            return Err(NO_ID_SAID.into());
        }
        let name = CString::new(text).expect("the system knows no name with a NUL character");
        let groups = nix::unistd::getgrouplist(&name, found.gid).map_err(unknown)?;
        Ok(User {
            name: found.name,
            id: found.uid.as_raw(),
            group: found.gid.as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
            home: found.dir,
        })
    }
}

/// The role of a sender.
impl FromText for Name<'static> {
    const EXPECTED: &'static str = "a role such as \"operator\"";

    fn from_text(text: &str) -> Result<Name<'static>, String> {
        let role = Name::told(text.to_owned());
        role.map_err(|_| {
            format!("expected a role, which has the form of a name: 1 to {MAX_NAME} letters, digits, \".\", \"_\" and \"-\"")
        })
    }
}

impl FromText for Identity<'static> {
    const EXPECTED: &'static str = "an identity such as \"alice\"";

    fn from_text(text: &str) -> Result<Identity<'static>, String> {
        let identity = Identity::new(text.to_owned());
        identity.map_err(|_| {
            format!("expected 1 to {MAX_IDENTITY} printable ASCII characters without quotes and backslashes")
        })
    }
}

/// The name of a variable that a policy may set.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VariableName(pub(super) String);

impl FromText for VariableName {
    const EXPECTED: &'static str = "the name of a variable";

    fn from_text(text: &str) -> Result<VariableName, String> {
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err("expected a variable's name, without \"=\" and NUL characters".into());
        }
        if text.starts_with(RESERVED) {
            return Err(format!(
                "expected a name that does not begin with {RESERVED}; those the client sets itself"
            ));
        }
        Ok(VariableName(text.to_owned()))
    }
}

#[cfg(test)]
#[path = "field_types_tests.rs"]
mod tests;
