//! The command line of the server.

use crate::commands::Command;
use crate::exposure::Guard;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use common::audit::{AuditOptions, KeptOutcomes};
use common::logging::format::LogFormat;
use common::terminal::args;
use common::terminal::config_file::{self, ConfigError, Settings};
use common::wire::selector::Selector;
use rustls::pki_types::ServerName;
use server::pki;
use server::{HEARTBEAT_RANGE, MAX_LINE_RANGE, MAX_MEMORY_RANGE, MOST_CLIENTS};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Ranks clients by tier, then in the order in which they dial in, and relays their commands to
/// lower-ranked clients.
///
/// The first client of the highest tier has rank 0, the highest. Lower-ranked clients execute what
/// a client sends, higher-ranked clients never do; the outcome comes back to the sender. When a
/// client leaves, every client below it moves up.
#[derive(Debug, Parser)]
#[command(name = "pecking-server", version = server::version::LONG, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The most clients at a time, from 1 to 1000000
    #[arg(value_name = "N", default_value_t = 5, value_parser = clients, allow_negative_numbers = true)]
    pub(crate) clients: u32,

    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5555", value_parser = args::address, allow_hyphen_values = true)]
    pub(crate) listen: String,

    /// The targets of a command that names none: next, least-loaded, below, all, or a list such
    /// as 1-3,web*
    #[arg(
        long,
        value_name = "SELECTOR",
        default_value = "next",
        allow_hyphen_values = true
    )]
    pub(crate) dispatch: Selector<'static>,

    /// After how long a silence a client is asked for a sign of life, and how long it then has
    /// to give one; below 1.5s, clients that read slowly may be taken for silent
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = heartbeat, allow_hyphen_values = true)]
    pub(crate) heartbeat: Duration,

    /// How long a client that has asked for it keeps its rank, and what it runs, after its connection
    /// broke; 0s keeps nothing
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = args::duration, allow_hyphen_values = true)]
    pub(crate) hold: Duration,

    /// Keep the ranks of these clients in this file, so that they have them again when the server is
    /// started anew: each for the time of --hold
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// How long running commands may take to end once the server is told to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = args::duration, allow_hyphen_values = true)]
    pub(crate) drain: Duration,

    /// The longest line a client may send once it has joined
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = args::size(MAX_LINE_RANGE), allow_hyphen_values = true)]
    pub(crate) max_line: usize,

    /// The most commands that wait for one client; at most half of them from one sender
    #[arg(long, value_name = "COMMANDS", default_value_t = 1024, value_parser = args::number(1..=MOST_COMMANDS), allow_hyphen_values = true)]
    pub(crate) max_queue: usize,

    /// The most bytes of commands that wait for one client; at most half of them from one
    /// sender
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = args::size(1..=1 << 30), allow_hyphen_values = true)]
    pub(crate) max_queue_bytes: usize,

    /// The most commands that one client may have open
    #[arg(long, value_name = "COMMANDS", default_value_t = 4096, value_parser = args::number(1..=MOST_COMMANDS), allow_hyphen_values = true)]
    pub(crate) max_sends: usize,

    /// The most memory that is kept for all clients together: past it commands are refused as
    /// busy, and the clients go that keep most; a quarter of the machine's if left out
    #[arg(long, value_name = "SIZE", value_parser = args::size(MAX_MEMORY_RANGE), allow_hyphen_values = true)]
    pub(crate) max_memory: Option<usize>,

    /// How long what became of a detached command is kept after its end
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = args::duration, allow_hyphen_values = true)]
    pub(crate) keep_jobs: Duration,

    /// Admit only clients that show the token on the first line of this file, which only
    /// its owner may be able to write
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Take certificate, key, auth file and the authority of clients from this folder, as
    /// `pecking-server init` makes it
    #[arg(
        long,
        value_name = "DIR",
        group = "authority_of_clients",
        conflicts_with_all = ["cert", "key", "auth", "token_file", "plain"]
    )]
    pub(crate) dir: Option<PathBuf>,

    /// Encrypt, with this certificate (PEM; those between it and its authority behind it)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the certificate (PEM), which only its owner may be able to read
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Take certificates of clients that these authorities have signed (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        group = "authority_of_clients"
    )]
    pub(crate) client_ca: Option<PathBuf>,

    /// Whether a client must show such a certificate
    #[arg(
        long,
        value_name = "WHEN",
        requires = "authority_of_clients",
        default_value = "optional",
        allow_hyphen_values = true
    )]
    pub(crate) client_cert: ClientCert,

    /// Do not encrypt, also where other machines can reach the server: a tunnel does
    #[arg(long, conflicts_with = "cert")]
    pub(crate) plain: bool,

    /// Admit only clients with a credential of this file, and let each do what its role may; it is
    /// read again when it changes (see `pecking-server auth`)
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    pub(crate) auth: Option<PathBuf>,

    /// Machines that ought to be here, for `pecking members --missing`, `run`, `top` and the page: a file
    /// such as names = ["web[01-20]", "db1"], which is read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) expected: Option<PathBuf>,

    /// Admit any client that can connect, also from other machines
    #[arg(long, conflicts_with_all = ["auth", "dir", "token_file"])]
    pub(crate) open: bool,

    /// Show members and commands to browsers, and metrics to monitoring, over HTTP at this
    /// address, such as 127.0.0.1:5580; port 0 takes a free one and prints it
    #[arg(long, value_name = "HOST:PORT", value_parser = args::address)]
    pub(crate) http: Option<String>,

    /// Show them to visitors with the token on the first line of this file, besides those with a
    /// token that clients join with
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) http_token_file: Option<PathBuf>,

    /// A name under which browsers reach the server, besides its address, localhost and the names
    /// of its certificate; may be repeated
    #[arg(long, value_name = "NAME", requires = "http", value_parser = host, allow_hyphen_values = true)]
    pub(crate) http_host: Vec<String>,

    #[command(flatten)]
    pub(crate) audit: AuditOptions,

    /// Which outcomes of a command to several clients are on record: notable (those that are not
    /// done with exit code 0), or all; the tally always is
    #[arg(
        long,
        value_name = "OUTCOMES",
        default_value = "notable",
        requires = "audit",
        allow_hyphen_values = true
    )]
    pub(crate) audit_outcomes: KeptOutcomes,

    /// Take options from this file, too: its keys are the names of options (`quiet = true`). The
    /// command line wins over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print every option with its value and where that is from, and end
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Print no transcript of arrivals and departures
    #[arg(long)]
    pub(crate) quiet: bool,

    /// How the log is written: text, or json, an object a line
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,

    /// Print a completion script for a shell, and end
    #[arg(long, value_name = "SHELL", allow_hyphen_values = true)]
    pub(crate) completions: Option<clap_complete::Shell>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ClientCert {
    /// A client without one is turned away.
    Required,
    /// A client without one is taken for what its token says.
    Optional,
}

/// The most commands that an option lets wait or be open.
const MOST_COMMANDS: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  pecking-server 10                    ten clients, on this machine only
  pecking-server init /etc/pecking-order/relay --name relay.example
                                       make certificates, tokens and an auth file, once
  pecking-server 500 --listen 0.0.0.0:5555 --dir /etc/pecking-order/relay
                                       reachable from other machines, encrypted
  pecking-server --dispatch least-loaded
                                       spread commands instead of passing them down
  pecking-server --http 127.0.0.1:5580 show members and commands to browsers on this machine
  pecking-server --audit /var/log/pecking-order/audit.log
                                       put on record what clients do
  RUST_LOG=warn pecking-server --quiet say nothing but what is wrong

Arrivals and departures are printed to standard output; everything else is logged to standard
error (RUST_LOG: error, warn, info, debug): of a command the first word and a count, and at
most 100 lines a second about one client, the rest counted; all of it with debug, where words
may be passwords. Ctrl-C drains: nothing new is taken, running commands get --drain to end,
and every client is told. A second Ctrl-C ends at once.

Exit codes: 0 drained, 1 it could not listen or serve, 2 usage, 130 ended at once.";

/// A word there may be a subcommand that is misspelt.
fn clients(text: &str) -> Result<u32, String> {
    args::number(1..=MOST_CLIENTS)(text).map_err(|why| {
        if !text.contains(char::is_alphabetic) {
            return why;
        }
        let commands = Command::augment_subcommands(clap::Command::new("pecking-server"));
        let names: Vec<&str> = commands
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        format!("{why}, or a subcommand ({})", names.join(", "))
    })
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let range = HEARTBEAT_RANGE;
    match args::duration(text)? {
        duration if range.contains(&duration) => Ok(duration),
        _ => Err("expected a duration from 10ms to 1day".into()),
    }
}

/// A name as browsers send it; a star in front stands for one label, as in certificates.
fn host(text: &str) -> Result<String, String> {
    match ServerName::try_from(text.strip_prefix("*.").unwrap_or(text)) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a host name without a port, such as status.example".into()),
    }
}

impl Cli {
    /// Reads the command line, and the file that it names. The error says what is wrong, or is the
    /// help that was asked for.
    pub(crate) fn read() -> Result<(Cli, Settings), ConfigError> {
        let words: Vec<_> = std::env::args_os().collect();
        Cli::of(&words)
    }

    fn of(words: &[OsString]) -> Result<(Cli, Settings), ConfigError> {
        let settings = config_file::read(&Cli::command(), words, None)?;
        let cli = Cli::from_arg_matches(&settings.matches).map_err(ConfigError::Usage)?;
        Ok((cli.with_files_of_dir(), settings))
    }

    /// The same, with the files of `--dir` as if they had been named.
    fn with_files_of_dir(mut self) -> Cli {
        if let Some(dir) = &self.dir {
            let file = |name| Some(dir.join(name));
            (self.cert, self.key) = (file(pki::SERVER_CERT), file(pki::SERVER_KEY));
            (self.auth, self.client_ca) = (file(pki::AUTH), file(pki::CA_CERT));
        }
        self
    }

    /// The completion script for a shell.
    pub(crate) fn completions(shell: clap_complete::Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "pecking-server", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }

    /// How the server guards the address where it shows itself.
    pub(crate) fn http_guard(&self) -> Guard {
        let tokens = [&self.http_token_file, &self.token_file, &self.auth];
        Guard {
            asks: tokens.iter().any(|file| file.is_some()),
            ..self.guard()
        }
    }

    /// How the server guards the address where it listens.
    pub(crate) fn guard(&self) -> Guard {
        let asks_for_certificate =
            self.client_ca.is_some() && self.client_cert == ClientCert::Required;
        Guard {
            encrypts: self.cert.is_some(),
            asks: self.token_file.is_some() || self.auth.is_some() || asks_for_certificate,
            plain: self.plain,
            open: self.open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_named_on_one_line() {
        for (words, expected) in [
            (
                &["0"][..],
                "'0' for '[N]': expected a whole number from 1 to 1000000 (--help",
            ),
            (&["ten"], "'ten' for '[N]'"),
            (&["ten"], "to 1000000, or a subcommand (auth"),
            (&["-1"], "'-1' for '[N]'"),
            (&["--drain", "-1s"], "'-1s' for"),
            (&["--hold", "long"], "expected a duration"),
            (&["--keep-jobs", "-1h"], "'-1h' for"),
            (&["1000001"], "from 1 to 1000000"),
            (&["--listen", "5555"], "expected HOST:PORT"),
            (&["--dispatch", "7-3"], "reversed"),
            (&["--heartbeat", "0s"], "from 10ms to 1day"),
            (&["--drain", "soon"], "expected a duration"),
            (&["--max-line", "1KiB"], "from 16.0 KiB to 16.0 MiB"),
            (&["--max-queue", "0"], "from 1 to"),
            (&["--audit-keep", "3"], "--audit <FILE>"),
            (&["--audit", "a", "--audit-rotate", "1"], "from 64.0 KiB to"),
            (
                &["--audit", "a", "--audit-words", "no"],
                "expected full or first",
            ),
            (
                &["audit", "show", "a", "--since", "soon"],
                "expected a time such as",
            ),
            (&["--cert", "c"], "--key <FILE>"),
            (&["--client-ca", "c"], "--cert <FILE>"),
            (&["--http", "5580"], "expected HOST:PORT"),
            (&["--http-host", "a"], "--http <HOST:PORT>"),
            (&["--http-token-file", "f"], "--http <HOST:PORT>"),
            (&["--client-cert", "optional"], "--client-ca <FILE>"),
            (&["--plain", "--cert", "c", "--key", "k"], "'--cert"),
            (&["--dir", "d", "--auth", "f"], "'--dir"),
            (
                &["--open", "--auth", "f"],
                "'--open' cannot be used with '--auth <FILE>'",
            ),
            (
                &["--open", "--dir", "d"],
                "'--open' cannot be used with '--dir <DIR>'",
            ),
            (
                &["--open", "--token-file", "f"],
                "'--open' cannot be used with '--token-file <FILE>'",
            ),
            (&["--dir", "d", "--client-ca", "f"], "'--dir"),
            (&["--max-memory", "1MiB"], "from 16.0 MiB to 1.0 PiB"),
        ] {
            let words = ["server"].iter().chain(words);
            let error = Cli::try_parse_from(words).expect_err(expected);
            let line = args::one_line_error(&error.to_string());
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
