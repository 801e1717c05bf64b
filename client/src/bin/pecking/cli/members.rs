//! The options of `pecking members`.

use clap::{Args, ValueEnum};

/// How `members` shows them.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// wide: with number, tags, identity and role; json; name: one name a line
    #[arg(long = "output", short, value_name = "FORM")]
    output: Option<Form>,

    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,

    /// Only the expected machines that are not here (of ~/.config/pecking/expected.toml or, without it,
    /// of the server's --expected); exit code 4 if there are any
    #[arg(long)]
    pub(crate) missing: bool,
}

/// The forms in which `members` shows clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A table with the columns that most people want
    #[value(skip)]
    Narrow,
    /// A table with every column
    Wide,
    /// JSON, as the server tells it
    Json,
    /// One name a line
    Name,
}

impl Shown {
    pub(crate) fn form(&self) -> Form {
        match self.json {
            true => Form::Json,
            false => self.output.unwrap_or(Form::Narrow),
        }
    }
}
