//! `pecking-server init`: makes what a server needs that other machines reach, and prints the
//! lines that start it and its first clients.

use crate::ended::{Ended, print};
use anyhow::Context;
use clap::Args;
use common::terminal::args;
use server::pki::{self, AGENT_TOKEN, AUTH, OPERATOR_TOKEN, PORT, ServerNames};
use std::path::{Path, PathBuf};

/// The audit log of the printed lines, in the folder that the server's user owns.
const AUDIT: &str = "audit.log";

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder; it is made if there is none, and nothing in it is overwritten
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The host names and addresses that clients dial, such as relay.example,10.0.0.5
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    name: ServerNames,
    /// The port that they dial, and at which the server listens
    #[arg(long, value_name = "PORT", default_value_t = PORT, value_parser = args::number(1..=u16::MAX), allow_hyphen_values = true)]
    port: u16,
}

impl Init {
    pub(crate) fn run(self) -> Ended {
        let server = pki::init(&self.folder, &self.name, self.port)?;
        let folder = absolute(&self.folder)?;
        let lines = Lines {
            folder: &folder,
            names: &self.name,
            server,
            port: self.port,
        };
        print(&lines.text()?)
    }
}

/// What is printed: each line that is to be pasted is indented by four blanks.
struct Lines<'a> {
    folder: &'a Path,
    names: &'a ServerNames,
    server: String,
    port: u16,
}

impl Lines<'_> {
    fn text(&self) -> anyhow::Result<String> {
        let (folder, names, server) = (word(self.folder), self.names, &self.server);
        let (auth, port) = (word(&self.folder.join(AUTH)), self.port);
        let audit = word(&self.folder.join(AUDIT));
        let unit = self.unit()?;
        Ok(format!(
            "\
{folder} has an authority, a server's certificate for {names}, and two tokens.

The server:
    pecking-server 500 --listen 0.0.0.0:{port} --dir {folder} --audit {audit}

As a service, in /etc/systemd/system/pecking-server.service (`systemctl enable --now pecking-server`):
{unit}
An operator, on a machine that has {OPERATOR_TOKEN}:
    pecking --server {server} --token-file {OPERATOR_TOKEN} members

A machine that executes what its policy names, and has {AGENT_TOKEN}:
    pecking work --wait --server {server} --token-file {AGENT_TOKEN} --name web1 --policy policy.toml

Better, as it can be revoked by itself: such a machine with a certificate of its own, of which this
prints what comes next:
    pecking-server tls issue {folder} web2

The two tokens are for the first try: a client with {AGENT_TOKEN} may take any name that no credential
has, that of a machine that was revoked included. When each machine and each person has a credential
of their own, take them away; their clients end within seconds:
    pecking-server auth revoke {auth} agent
    pecking-server auth revoke {auth} operator
"
        ))
    }

    /// A unit that runs the server as the user that has made the folder, and may read it.
    fn unit(&self) -> anyhow::Result<String> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let quoted = |path: &Path| word(path).replace('%', "%%").replace('$', "$$");
        Ok(format!(
            "    [Unit]
    Description=Pecking Order: the server
    Wants=network-online.target
    After=network-online.target

    [Service]
    ExecStart={} 500 --quiet --listen 0.0.0.0:{} --dir {} --audit {}
    User={}
    Restart=always
    RestartSec=1

    [Install]
    WantedBy=multi-user.target
",
            quoted(&program),
            self.port,
            quoted(self.folder),
            quoted(&self.folder.join(AUDIT)),
            user()
        ))
    }
}

/// A path that is right in any folder where the line is pasted.
pub(super) fn absolute(folder: &Path) -> anyhow::Result<PathBuf> {
    let absolute = folder.canonicalize();
    absolute.with_context(|| format!("cannot find {}", folder.display()))
}

/// A path as one word of a shell. One that no shell can take is shown as it is.
pub(super) fn word(path: &Path) -> String {
    let path = path.to_string_lossy();
    match shlex::try_quote(&path) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => path.into_owned(),
    }
}

/// The user that runs this program, by name if it has one.
fn user() -> String {
    let user = nix::unistd::geteuid();
    let known = nix::unistd::User::from_uid(user).ok().flatten();
    known.map_or_else(|| user.to_string(), |user| user.name)
}
