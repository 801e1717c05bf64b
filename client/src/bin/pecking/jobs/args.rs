//! The options of `pecking jobs` and `pecking job`.

use crate::output::args::ShowOptions;
use clap::{Args, ValueEnum};
use client::JobId;

/// How `jobs` lists them.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    /// json; name: one id a line
    #[arg(long = "output", short, value_name = "FORM")]
    output: Option<ListForm>,

    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// The forms in which `jobs` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListForm {
    /// A table
    #[value(skip)]
    Table,
    /// JSON, as the server tells it
    Json,
    /// One id a line
    Name,
}

impl Listed {
    pub(crate) fn form(&self) -> ListForm {
        match self.json {
            true => ListForm::Json,
            false => self.output.unwrap_or(ListForm::Table),
        }
    }
}

/// What `job` takes.
#[derive(Debug, Args)]
pub(crate) struct Job {
    /// The job, as `run --detach` and `jobs` print it
    #[arg(value_name = "JOB")]
    pub(crate) job: JobId,

    /// Go on until it has ended
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,

    /// Come back if the connection breaks and go on, for as long as the server holds the place
    #[arg(long)]
    pub(crate) hold: bool,

    #[command(flatten)]
    pub(crate) show: ShowOptions,
}
