//! Auth files for the tests of reading them and of deciding by them.

use super::grant::{Grant, Proof};
use super::rules::Rules;
use super::token::TokenHash;
use crate::clock::wall_clock;
use std::path::Path;

/// The roles that the files of these tests begin with.
pub(super) const ROLES: &str = r#"version = 1
[roles.operator]
tier = 0
may = ["send", "list"]
allow = [{ to = "*", commands = ["*"] }]
[roles.deployer]
tier = 3
may = ["send"]
allow = [{ to = "web*", commands = ["deploy", "status"] }, { to = "db1", commands = ["*"] }]
max_sends = 64
[roles.agent]
tier = 9
may = ["execute"]
"#;

/// A token's hash for each letter.
pub(super) fn hash(letter: char) -> String {
    TokenHash::of(&letter.to_string()).to_string()
}

pub(super) fn credential(id: &str, role: &str, proof: char, more: &str) -> String {
    let hash = hash(proof);
    format!("[[credentials]]\nid = \"{id}\"\nrole = \"{role}\"\ntoken = \"{hash}\"\n{more}\n")
}

pub(super) fn rules(credentials: &[String]) -> Rules {
    let text = format!("{ROLES}{}", credentials.concat());
    Rules::read(text.as_bytes(), Path::new("auth.toml")).unwrap_or_else(|e| panic!("{e}"))
}

pub(super) fn prove(rules: &Rules, token: &str) -> Grant {
    let address = "127.0.0.1".parse().expect("an address");
    let proof = Proof::of(Some(token), None);
    rules
        .authenticate(proof, address, wall_clock())
        .unwrap_or_else(|e| panic!("{e}"))
}
