//! The contents of files that the command line names, read once at the start; of those that are read again
//! when they change, `server::files` has the clock. What the server encrypts with is read elsewhere.

use crate::cli::Cli;
use common::token::{self, TokenError};
use server::authority::Authority;
use server::{ExpectedMachines, HttpConfig, Token};

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
}
