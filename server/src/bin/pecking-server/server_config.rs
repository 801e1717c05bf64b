//! What the server is told: what the command line says, and the contents of the files that it names, as
//! they are at the start. The library reads some of them again when they change (`reloading.rs`), and
//! those that the server encrypts with.

use crate::cli::{Cli, ClientCert};
use common::audit::Audit;
use common::terminal::console::Console;
use common::token::{self, TokenError};
use server::authority::Authority;
use server::{
    ClientCertificates, Config, ExpectedMachines, HttpConfig, ServerTls, Token, Transcript,
};

/// The contents of the files that the command line names.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) token: Option<Token>,
    pub(crate) authority: Option<Authority>,
    pub(crate) expected: Option<ExpectedMachines>,
    pub(crate) http: Option<HttpConfig>,
}

impl Cli {
    /// Reads the files that the command line names, apart from what it encrypts with.
    pub(crate) fn files(&self) -> anyhow::Result<Files> {
        self.check_state()?;
        Ok(Files {
            token: self.token()?,
            authority: self.auth.as_deref().map(Authority::load).transpose()?,
            expected: self
                .expected
                .as_deref()
                .map(ExpectedMachines::load)
                .transpose()?,
            http: self.http()?,
        })
    }

    /// Checks that the state can be kept, before anything is changed.
    fn check_state(&self) -> anyhow::Result<()> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        if self.hold.is_zero() {
            anyhow::bail!(
                "--state keeps places for the time of --hold, which is 0s; give a longer one"
            );
        }
        Ok(server::check_state(state)?)
    }

    /// The token on the first line of the file.
    fn token(&self) -> Result<Option<Token>, TokenError> {
        let token = self.token_file.as_deref().map(token::read).transpose()?;
        Ok(token.map(|token| token.reveal().into()))
    }

    /// Where the server shows itself over HTTP, if it does.
    fn http(&self) -> Result<Option<HttpConfig>, TokenError> {
        let Some(listen) = &self.http else {
            return Ok(None);
        };
        let token = self.http_token_file.as_deref().map(token::read);
        let token = token.transpose()?.map(|token| token.reveal().into());
        Ok(Some(HttpConfig {
            listen: listen.clone(),
            hosts: self.http_host.clone(),
            token,
        }))
    }

    /// What it encrypts with, if it does.
    fn tls(&self) -> Option<ServerTls> {
        let (cert, key) = (self.cert.clone()?, self.key.clone()?);
        let clients = self.client_ca.clone().map(|ca| ClientCertificates {
            ca,
            required: self.client_cert == ClientCert::Required,
        });
        Some(ServerTls { cert, key, clients })
    }

    /// What the server is told; the transcript goes to a console unless `--quiet`.
    pub(crate) fn into_config(
        self,
        files: Files,
        audit: Option<Audit>,
        stdout: &Console,
    ) -> Config {
        let transcript = match self.quiet {
            true => Transcript::default(),
            false => Transcript::to(stdout.clone()),
        };
        let (default, tls) = (Config::default(), self.tls());
        Config {
            listen: self.listen,
            max_clients: self.clients,
            dispatch: self.dispatch,
            heartbeat: self.heartbeat,
            hold: self.hold,
            state: self.state,
            drain: self.drain,
            max_line: self.max_line,
            max_queue: self.max_queue,
            max_queue_bytes: self.max_queue_bytes,
            max_sends: self.max_sends,
            max_memory: self.max_memory.unwrap_or(default.max_memory),
            keep_jobs: self.keep_jobs,
            token: files.token,
            tls,
            authority: files.authority,
            expected: files.expected,
            audit,
            http: files.http,
            transcript,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let cli = Cli::try_parse_from(["server"]).expect("no words are right");
        let console = Console::start("test", std::io::sink()).expect("a thread");
        let (config, default) = (
            cli.into_config(Files::default(), None, &console),
            Config::default(),
        );
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
