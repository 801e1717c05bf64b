//! Tiers: what clients are ranked by before the order of their arrival.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::str::FromStr;

/// A tier, from 0, the highest, to 9. Clients of a lower number rank above all of a higher one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, derive_more::Display,
)]
pub struct Tier(u8);

impl Tier {
    /// The highest tier.
    pub const HIGHEST: Tier = Tier(0);
    /// The tier of a client that asks for none, if its credential gives none.
    pub const DEFAULT: Tier = Tier(5);
    /// The lowest tier, which services that execute commands take.
    pub const LOWEST: Tier = Tier(9);

    /// The tier of this number.
    ///
    /// # Errors
    /// The number is none from 0 to 9; the message repeats it.
    pub fn new(number: u64) -> Result<Tier, String> {
        let tier = u8::try_from(number).ok().map(Tier);
        let in_range = tier.filter(|tier| *tier <= Tier::LOWEST);
        in_range.ok_or_else(|| format!("{number} is no tier; a tier is from 0 (the highest) to 9"))
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Tier {
    fn default() -> Tier {
        Tier::DEFAULT
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Tier, String> {
        let number = text
            .parse()
            .map_err(|_| format!("{text:?} is no tier; a tier is from 0 (the highest) to 9"))?;
        Tier::new(number)
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tier, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Tier::new(number).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_from_0_to_9() {
        for number in 0..=9 {
            let tier = Tier::new(number).expect("a tier");
            assert_eq!(tier.to_string().parse(), Ok(tier));
            let json = serde_json::to_string(&tier).expect("a number");
            assert_eq!(serde_json::from_str::<Tier>(&json).ok(), Some(tier));
        }
        for wrong in ["10", "-1", "1.0", "256", "", "5 ", "x"] {
            let error = wrong.parse::<Tier>().expect_err(wrong);
            assert!(error.contains("from 0 (the highest) to 9"), "{error}");
            assert!(serde_json::from_str::<Tier>(wrong).is_err() || wrong == "5 ");
        }
    }
}
