//! An auth file, and the tokens of its credentials.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

use super::{Raw, Server};

/// The roles that most tests have.
pub(crate) const ROLES: &str = r#"version = 1
[roles.operator]
tier = 0
may = ["send", "list"]
allow = [{ to = "*", commands = ["*"] }]
[roles.deployer]
tier = 3
may = ["send"]
allow = [{ to = "web*", commands = ["deploy", "status"] }]
[roles.viewer]
tier = 3
may = ["send", "list"]
allow = [{ to = "web*", commands = ["deploy"] }]
[roles.agent]
tier = 9
may = ["execute"]
"#;

/// An auth file of a test's own, in a folder that goes with it.
pub(crate) struct Auth {
    folder: TempDir,
    text: String,
}

impl Auth {
    /// A file that begins with a text.
    pub(crate) fn new(text: &str) -> Auth {
        let auth = Auth {
            folder: tempfile::tempdir().expect("a folder"),
            text: text.to_owned(),
        };
        auth.replace(text);
        auth
    }

    /// The same with a credential; its token is that of [`token`].
    pub(crate) fn with(mut self, id: &str, role: &str, more: &str) -> Auth {
        self.add(id, role, more);
        self
    }

    pub(crate) fn add(&mut self, id: &str, role: &str, more: &str) {
        let hash = hash(&token(id));
        let entry = format!(
            "[[credentials]]\nid = \"{id}\"\nrole = \"{role}\"\ntoken = \"sha256:{hash}\"\n{more}\n"
        );
        self.text.push_str(&entry);
        self.replace(&self.text);
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("auth.toml")
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Puts another file in its place, as an editor and `pecking-server auth` do.
    pub(crate) fn replace(&self, text: &str) {
        super::put_file(&self.path(), text);
    }

    /// Puts the same file without a credential in its place.
    pub(crate) fn without(&self, id: &str) {
        let is_other = |entry: &&str| !entry.contains(&format!("\nid = \"{id}\"\n"));
        let entries = self.text.split("[[credentials]]").filter(is_other);
        let text: Vec<&str> = entries.collect();
        self.replace(&text.join("[[credentials]]"));
    }

    /// A server that asks this file, for at most so many clients.
    #[track_caller]
    pub(crate) fn server(&self, clients: usize, options: &[&str]) -> Server {
        let path = self.path();
        let path = path.to_str().expect("a path in UTF-8");
        Server::start(clients, &[&["--auth", path], options].concat())
    }

    /// Joins with the token of a credential.
    #[track_caller]
    pub(crate) fn join(&self, server: &Server, id: &str, mut params: Value) -> Raw {
        params["token"] = json!(token(id));
        Raw::join_with(server, params)
    }
}

/// The token of a credential: it has the form of those that the server makes.
pub(crate) fn token(id: &str) -> String {
    let secret = format!("{id}{}", "-canary_".repeat(6));
    format!("po1_testkey1_{}", &secret[..43])
}

fn hash(token: &str) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(token) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
