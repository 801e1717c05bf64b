//! The rights that a server grants to an identity.

use serde::{Deserialize, Serialize};

/// What a client may do at a server that knows identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Right {
    /// Commands others.
    Send,
    /// Executes what others command.
    Execute,
    /// Sees every client that is here.
    List,
}

impl Right {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_written_as_it_is_named() {
        for right in [Right::Send, Right::Execute, Right::List] {
            let json = serde_json::to_string(&right).expect("a word");
            assert_eq!(json, format!("{:?}", right.name()));
            assert_eq!(right.name().parse(), Ok(right));
        }
        assert!("Send".parse::<Right>().is_err());
    }
}
