//! `pecking-server tls`: makes, renews and shows certificates.

use super::init::{absolute, word};
use crate::ended::{Ended, print};
use clap::{Args, Subcommand};
use common::terminal::escape::one_line;
use server::pki::{
    AUTH, CA_CERT, ClientName, Days, Description, Issuer, SERVER, Signature, address, cert_of,
    key_of, show,
};
use server::wall_clock;
use std::path::PathBuf;
use std::str::FromStr;

/// What is done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Make a key and a certificate for a client, and print what to do with them
    ///
    /// Its identity is pecking:NAME. It can do nothing until a line of the auth file gives it a role.
    Issue(Issue),
    /// Make a new certificate for the same key; a running server takes its own within seconds
    Renew(Renew),
    /// Print what certificates say: names, dates, the pin of the key, and whether the authority in
    /// the same folder has signed it
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The folder that `pecking-server init` has made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The client's name; the files are NAME.pem and NAME.key
    #[arg(value_name = "NAME")]
    name: ClientName,
    /// For how many days it is valid; a year if left out
    #[arg(long, value_name = "DAYS", value_parser = days, allow_hyphen_values = true)]
    days: Option<Days>,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The folder that `pecking-server init` has made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The client's name, or `server`
    #[arg(value_name = "NAME")]
    name: Renewed,
    /// For how many days it is valid; for as many as the old one if left out
    #[arg(long, value_name = "DAYS", value_parser = days, allow_hyphen_values = true)]
    days: Option<Days>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A file with certificates, or a folder of such
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

/// Which certificate is renewed.
#[derive(Clone, Debug)]
enum Renewed {
    Server,
    Client(ClientName),
}

impl FromStr for Renewed {
    type Err = String;

    fn from_str(text: &str) -> Result<Renewed, String> {
        match text == SERVER {
            true => Ok(Renewed::Server),
            false => text.parse().map(Renewed::Client),
        }
    }
}

/// How long is too long depends on the authority, which is looked at later.
fn days(text: &str) -> Result<Days, String> {
    let days = text.parse().ok().filter(|days| *days > 0);
    days.ok_or_else(|| "expected a whole number of days, such as 90".to_owned())
}

impl Tls {
    pub(crate) fn run(self) -> Ended {
        let text = match self {
            Tls::Issue(issue) => issue.run()?,
            Tls::Renew(renew) => renew.run()?,
            Tls::Show(Show { path }) => {
                let shown = show(&path)?;
                let shown: Vec<String> = shown.iter().map(description).collect();
                let server = address(&path).map_or_else(String::new, |address| {
                    format!("\nClients dial {}\n", one_line(&address))
                });
                shown.join("\n") + &server
            }
        };
        print(&text)
    }
}

impl Issue {
    fn run(self) -> anyhow::Result<String> {
        let issuer = Issuer::load(&self.folder)?;
        issuer.issue(&self.folder, &self.name, self.days)?;
        let folder = absolute(&self.folder)?;
        let (name, identity) = (self.name.as_str(), self.name.identity());
        let auth = word(&folder.join(AUTH));
        let (cert, key) = (cert_of(&folder, name), key_of(&folder, name));
        // Without a certificate of the server here, its address is known elsewhere.
        let server =
            address(&folder).unwrap_or_else(|| format!("tls://HOST:PORT#{}", issuer.pin()));
        Ok(format!(
            "\
Copy these to the machine {name}, and delete the key here: it is a secret, and nothing else needs it:
    {}
    {}

Let it in, as an agent or in another role of the file (a running server knows it within three seconds):
    pecking-server auth add {auth} --id {name} --role agent --cert {identity} --name {name} --connections 1 --replace

On the machine, where the two files are:
    pecking work --wait --server {server} --cert {name}.pem --key {name}.key --name {name} --policy policy.toml
",
            word(&cert),
            word(&key),
        ))
    }
}

impl Renew {
    fn run(self) -> anyhow::Result<String> {
        let issuer = Issuer::load(&self.folder)?;
        let file = match &self.name {
            Renewed::Server => {
                issuer.renew_server(&self.folder, self.days)?;
                cert_of(&self.folder, SERVER)
            }
            Renewed::Client(name) => {
                issuer.renew(&self.folder, name, self.days)?;
                cert_of(&self.folder, name.as_str())
            }
        };
        let shown = show(&file)?;
        Ok(shown.first().map(description).unwrap_or_default())
    }
}

/// A certificate in lines, each safe for a terminal.
fn description(shown: &Description) -> String {
    let date = |moment| humantime::format_rfc3339_seconds(moment).to_string();
    let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
    let from = match shown.signature {
        Signature::Own => "itself".to_owned(),
        Signature::ThisAuthority => format!("{}, in {CA_CERT} beside it", shown.issuer),
        Signature::Another => format!("{}, which is not in {CA_CERT} beside it", shown.issuer),
    };
    let lines = [
        ("subject", shown.subject.clone()),
        ("names", or_none(shown.names.join(", "))),
        ("for", or_none(shown.purposes.join(", "))),
        ("from", date(shown.from)),
        ("until", format!("{} ({})", date(shown.until), left(shown))),
        ("pin", shown.pin.to_string()),
        ("signed by", from),
    ];
    let mut text = format!("{}\n", one_line(&shown.file.to_string_lossy()));
    for (what, value) in lines {
        text.push_str(&format!("  {what:9}  {}\n", one_line(&value)));
    }
    text
}

/// How long it is still valid.
fn left(shown: &Description) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let now = wall_clock();
    if now < shown.from {
        return "not yet valid".into();
    }
    match shown.until.duration_since(now) {
        Ok(left) => format!("{} days left", left.as_secs() / DAY),
        Err(_) => "expired".into(),
    }
}
