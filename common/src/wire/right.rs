//! The rights that a server grants to an identity.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a client may do at a server that knows identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Commands others.
    Send,
    /// Executes what others command.
    Execute,
    /// Sees every client that is here.
    List,
}

impl Right {
    /// Every right, in the order in which a `join` is answered with them.
    pub const ALL: [Right; 3] = [Right::Send, Right::Execute, Right::List];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Right::Send => "send",
            Right::Execute => "execute",
            Right::List => "list",
        }
    }

    /// The right of a word.
    pub fn from_name(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_written_as_it_is_named() {
        for right in Right::ALL {
            let json = serde_json::to_string(&right).expect("a word");
            assert_eq!(json, format!("{:?}", right.name()));
            assert_eq!(Right::from_name(right.name()), Some(right));
        }
        assert_eq!(Right::from_name("Send"), None);
    }
}
