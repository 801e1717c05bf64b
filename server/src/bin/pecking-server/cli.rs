//! The command line of the server.

use clap::{CommandFactory, Parser};
use common::terminal::args;
use common::terminal::console::Console;
use common::token::{self, TokenError};
use common::wire::selector::Selector;
use server::{
    Config, HEARTBEAT_RANGE, MAX_LINE_RANGE, MAX_MEMORY_RANGE, MOST_CLIENTS, Token, Transcript,
};
use std::path::PathBuf;
use std::time::Duration;

/// Ranks clients in the order in which they dial in, and relays their commands to lower-ranked
/// clients.
///
/// The first client has rank 0, the highest. Lower-ranked clients execute what a client sends,
/// higher-ranked clients never do; the outcome comes back to the sender. When a client leaves,
/// every client below it moves up.
#[derive(Debug, Parser)]
#[command(name = "pecking-server", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// The most clients at a time, from 1 to 1000000
    #[arg(value_name = "N", default_value_t = 5, value_parser = args::number(1..=MOST_CLIENTS), allow_negative_numbers = true)]
    pub(crate) clients: u32,

    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5555", value_parser = args::address)]
    pub(crate) listen: String,

    /// The targets of a command that names none: next, least-loaded, below, all, or a list such
    /// as 1-3,web*
    #[arg(long, value_name = "SELECTOR", default_value = "next")]
    pub(crate) dispatch: Selector<'static>,

    /// After how long a silence a client is asked for a sign of life, and how long it then has
    /// to give one; below 1.5s, clients that read slowly may be taken for silent
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = heartbeat, allow_hyphen_values = true)]
    pub(crate) heartbeat: Duration,

    /// How long running commands may take to end once the server is told to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = args::duration, allow_hyphen_values = true)]
    pub(crate) drain: Duration,

    /// The longest line a client may send once it has joined
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = args::size(MAX_LINE_RANGE))]
    pub(crate) max_line: usize,

    /// The most commands that wait for one client; at most half of them from one sender
    #[arg(long, value_name = "COMMANDS", default_value_t = 1024, value_parser = args::number(1..=MOST_COMMANDS))]
    pub(crate) max_queue: usize,

    /// The most bytes of commands that wait for one client; at most half of them from one
    /// sender
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = args::size(1..=1 << 30))]
    pub(crate) max_queue_bytes: usize,

    /// The most commands that one client may have open
    #[arg(long, value_name = "COMMANDS", default_value_t = 4096, value_parser = args::number(1..=MOST_COMMANDS))]
    pub(crate) max_sends: usize,

    /// The most memory that is kept for all clients together: past it commands are refused as
    /// busy, and the clients go that keep most; a quarter of the machine's if left out
    #[arg(long, value_name = "SIZE", value_parser = args::size(MAX_MEMORY_RANGE))]
    pub(crate) max_memory: Option<usize>,

    /// Admit only clients that show the token on the first line of this file, which only
    /// its owner may be able to write
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Admit any client that can connect, also from other machines; without this, and without a
    /// token, the server listens on loopback only
    #[arg(long)]
    pub(crate) open: bool,

    /// Print no transcript of arrivals and departures
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Print a completion script for a shell, and end
    #[arg(long, value_name = "SHELL")]
    pub(crate) completions: Option<clap_complete::Shell>,
}

/// The most commands that an option lets wait or be open.
const MOST_COMMANDS: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  pecking-server 10                    ten clients, on this machine only
  pecking-server 500 --listen 0.0.0.0:5555 --token-file /etc/pecking-order/token
                                       reachable from other machines; nothing is encrypted,
                                       so rather put it behind a tunnel (ssh -L, WireGuard)
  pecking-server --dispatch least-loaded
                                       spread commands instead of passing them down
  RUST_LOG=warn pecking-server --quiet say nothing but what is wrong

Arrivals and departures are printed to standard output; everything else is logged to standard
error (RUST_LOG: error, warn, info, debug): of a command the first word and a count, and at
most 100 lines a second about one client, the rest counted; all of it with debug, where words
may be passwords. Ctrl-C drains: nothing new is taken, running commands get --drain to end,
and every client is told. A second Ctrl-C ends at once.

Exit codes: 0 drained, 1 it could not listen or serve, 2 usage, 130 ended at once.";

fn heartbeat(text: &str) -> Result<Duration, String> {
    let range = HEARTBEAT_RANGE;
    match args::duration(text)? {
        duration if range.contains(&duration) => Ok(duration),
        _ => Err("expected a duration from 10ms to 1day".into()),
    }
}

impl Cli {
    /// The completion script for a shell.
    pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "pecking-server", &mut script);
        script
    }

    /// The token on the first line of the file.
    pub(crate) fn token(&self) -> Result<Option<Token>, TokenError> {
        let token = self.token_file.as_deref().map(token::read).transpose()?;
        Ok(token.map(|token| token.reveal().into()))
    }

    /// What the server is told; the transcript goes to a console unless `--quiet`.
    pub(crate) fn into_config(self, token: Option<Token>, stdout: &Console) -> Config {
        let transcript = match self.quiet {
            true => Transcript::default(),
            false => Transcript::to(stdout.clone()),
        };
        let default = Config::default();
        Config {
            listen: self.listen,
            max_clients: self.clients,
            dispatch: self.dispatch,
            heartbeat: self.heartbeat,
            drain: self.drain,
            max_line: self.max_line,
            max_queue: self.max_queue,
            max_queue_bytes: self.max_queue_bytes,
            max_sends: self.max_sends,
            max_memory: self.max_memory.unwrap_or(default.max_memory),
            token,
            transcript,
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
                "'0' for '[N]': expected a whole number from 1 to 1000000",
            ),
            (&["ten"], "'ten' for '[N]'"),
            (&["-1"], "'-1' for '[N]'"),
            (&["--drain", "-1s"], "'-1s' for"),
            (&["1000001"], "from 1 to 1000000"),
            (&["--listen", "5555"], "expected HOST:PORT"),
            (&["--dispatch", "7-3"], "reversed"),
            (&["--heartbeat", "0s"], "from 10ms to 1day"),
            (&["--drain", "soon"], "expected a duration"),
            (&["--max-line", "1KiB"], "from 16.0 KiB to 16.0 MiB"),
            (&["--max-queue", "0"], "from 1 to"),
            (&["--max-memory", "1MiB"], "from 16.0 MiB to 1.0 PiB"),
        ] {
            let words = ["server"].iter().chain(words);
            let error = Cli::try_parse_from(words).expect_err(expected);
            let line = args::one_line_error(&error.to_string());
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let cli = Cli::try_parse_from(["server"]).expect("no words are right");
        let console = Console::start("test", std::io::sink()).expect("a thread");
        let (config, default) = (cli.into_config(None, &console), Config::default());
        let shown = |c: &Config| {
            let c = Config {
                transcript: Transcript::default(),
                ..c.clone()
            };
            format!("{c:?}")
        };
        assert_eq!(shown(&config), shown(&default));
    }
}
