//! `pecking jobs` and `pecking cancel`: the detached commands that a server keeps.

mod args;
pub(crate) mod follow;

use args::ListForm;
pub(crate) use args::{Job, Listed};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{print, table};
use crate::settings::Settings;
use client::{Code, JobId, RequestError};
use common::terminal::console::Console;

/// Prints the jobs that the server shows, in this form.
pub(crate) fn list(
    settings: &Settings,
    form: ListForm,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, _signals) = settings.join(console)?;
    let jobs = client.detached()?;
    client.leave();
    match form {
        ListForm::Json => {
            let json = serde_json::json!({"jobs": jobs, "total": jobs.len()});
            print(&format!("{json:#}\n"))
        }
        ListForm::Name => {
            let ids = jobs.iter().map(|job| format!("{}\n", job.job));
            print(&ids.collect::<String>())
        }
        ListForm::Table if jobs.is_empty() => {
            print("the server keeps no detached command of yours\n")
        }
        ListForm::Table => print(&table::jobs(&jobs)),
    }
}

/// Ends a job early.
pub(crate) fn cancel(
    settings: &Settings,
    job: JobId,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, _signals) = settings.join(console)?;
    client
        .cancel_detached(job)
        .map_err(|error| not_there(job, error))?;
    client.leave();
    Ok(ExitCode::Done)
}

/// Why a job cannot be asked for.
fn not_there(job: JobId, error: RequestError) -> Failure {
    let message = match error.code() {
        Some(Code::InvalidParams) => {
            format!(
                "there is no job {job}, or it is another identity's; pecking jobs lists those that are kept"
            )
        }
        _ => error.to_string(),
    };
    Failure::NotSent { message, error }
}
