//! The server's program: reads the command line, serves until it is told to stop, and turns
//! how that went into an exit code.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod ended;
mod exposure;
mod server_config;
mod service;

use anyhow::Context;
use clap::CommandFactory;
use clap::error::ErrorKind;
use cli::Cli;
use common::audit::Audit;
use common::limits::{MAX_GREETED, MAX_UNJOINED};
use common::logging::logger::start_logging;
use common::sys::resources;
use common::sys::thread::on_main_thread;
use common::terminal::args;
use common::terminal::config_file::ConfigError;
use common::terminal::console::{Console, complain};
use common::terminal::escape::one_line;
use ended::{INTERRUPTED, USAGE, exit_code, print};
use exposure::Peers;
use server::authority::Authority;
use server::wall_clock;
use server::{Handle, Server, ServerError, Shutdown};
use server_config::Files;
use service::{Hangup, Service};
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The keys of certificates are in memory from here on.
    resources::forbid_core_dumps();
    let (cli, settings) = match Cli::read() {
        Ok(read) => read,
        Err(ConfigError::Usage(e)) if e.exit_code() == 0 => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(ConfigError::Usage(e)) => {
            let no_utf8 = match e.kind() {
                ErrorKind::InvalidUtf8 => args::no_utf8(std::env::args_os()),
                _ => None,
            };
            complain(&no_utf8.unwrap_or_else(|| args::one_line_error(&e.to_string())));
            return ExitCode::from(USAGE);
        }
        Err(ConfigError::File(why)) => {
            complain(&format!("error: {why}"));
            return ExitCode::from(USAGE);
        }
    };
    if let Some(command) = cli.command {
        return exit_code(command.run(&Cli::command()));
    }
    if let Some(shell) = cli.completions {
        return exit_code(print(&Cli::completions(shell)));
    }
    let format = cli.log_format;
    let wrong = |why: &dyn Display| {
        format.complain(&why.to_string());
        ExitCode::from(USAGE)
    };
    let files = match cli.files() {
        Ok(files) => files,
        Err(e) => return wrong(&e),
    };
    if cli.check_config {
        return exit_code(print(&settings.in_force(&Cli::command())));
    }
    let audit = match cli.audit.open(cli.audit_outcomes) {
        Ok(audit) => audit,
        Err(e) => return wrong(&e),
    };
    match serve(cli, files, audit) {
        Ok(Shutdown::Drained) => ExitCode::SUCCESS,
        Ok(Shutdown::Aborted) => ExitCode::from(INTERRUPTED),
        Err(e) => {
            format.complain(&one_line(&format!("{e:#}")));
            let is_usage = e.is::<exposure::Exposed>()
                || matches!(
                    e.downcast_ref(),
                    Some(ServerError::Tls(_) | ServerError::State(_))
                );
            match is_usage {
                true => ExitCode::from(USAGE),
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn serve(cli: Cli, files: Files, audit: Option<Audit>) -> anyhow::Result<Shutdown> {
    let (socket, hangup) = (service::socket()?, Hangup::keep()?);
    let stdout = Console::start("stdout", std::io::stdout()).context("cannot start a thread")?;
    let stderr = Console::start("stderr", std::io::stderr()).context("cannot start a thread")?;
    start_logging(stderr.clone(), "info", cli.log_format);
    log_panics();
    let limit = resources::raise_descriptor_limit();
    let clients = cli.clients;
    let any_port = cli.listen.ends_with(":0") && socket.is_none();
    if let Some(rules) = files.authority.as_ref().map(Authority::rules) {
        let warnings = rules.warnings(wall_clock()).into_iter();
        for warning in warnings.chain(rules.keeps_all_seats(clients)) {
            log::warn!("{}", one_line(&warning));
        }
    }
    let http = files.http.as_ref();
    let any_http_port = http.is_some_and(|http| http.listen.ends_with(":0"));
    let (guard, http_guard) = (cli.guard(), cli.http_guard());
    let config = cli.into_config(files, audit, &stdout);
    let server = match socket {
        Some(socket) => Server::adopt(config, socket)?,
        None => Server::bind(config)?,
    };
    // Before anything is printed that a script may wait for.
    stop_on_signals(server.handle())?;
    for (level, said) in exposure::look(server.address(), guard, Peers::Clients)? {
        log::log!(level, "{said}");
    }
    if let Some(address) = server.http_address() {
        for (level, said) in exposure::look(address, http_guard, Peers::Visitors)? {
            log::log!(level, "{said}");
        }
        if any_http_port {
            let scheme = if guard.encrypts { "https" } else { "http" };
            stdout.print(format!("Shown at {scheme}://{address}/\n").into_bytes());
        }
    }
    if any_port {
        // The port is unknown until now, so it is printed even with --quiet.
        stdout.print(format!("Listening on {}\n", server.address()).into_bytes());
    }
    if let Some(limit) = limit {
        warn_of_shortage(limit, clients, guard.encrypts);
    }
    let service = Service::start(hangup, &server.handle(), clients)?;
    let ended = on_main_thread(|| server.run());
    drop(service);
    Console::close_all([&stdout, &stderr]);
    Ok(ended?)
}

/// Descriptors besides one for each client: as many connections may be on their way in or out.
/// So a server that is full still tells newcomers that it is.
fn other_connections(encrypts: bool) -> u64 {
    let greeted = if encrypts { MAX_GREETED } else { 0 };
    (MAX_UNJOINED + greeted) as u64
}

/// Warns if the system allows too few open files for so many clients: a failure later would look like
/// the fault of the client that dials in then. The server has opened all of its own by now.
fn warn_of_shortage(limit: u64, clients: u32, encrypts: bool) {
    let others_wanted = other_connections(encrypts);
    let open = resources::open_descriptors().unwrap_or_default();
    let taken = open.iter().filter(|number| **number < limit).count() as u64;
    let free = limit.saturating_sub(taken);
    let clients = u64::from(clients);
    let wanted = clients + others_wanted;
    if free >= wanted {
        return;
    }
    let what_fits = match free.checked_sub(clients) {
        None => format!("no more than {free} clients of {clients} fit"),
        Some(others) => format!(
            "{clients} clients fit, and only {others} of {others_wanted} connections \
             besides, which are told that it is full"
        ),
    };
    log::warn!(
        "the system allows this process {limit} open files: {what_fits}; raise the hard limit \
         to {} (ulimit -Hn, LimitNOFILE=)",
        wanted + open.len() as u64
    );
}

/// The first SIGINT, SIGTERM or SIGHUP drains; the next one ends at once. A service keeps SIGHUP for
/// itself.
fn stop_on_signals(handle: Handle) -> anyhow::Result<()> {
    let stop = move || {
        if handle.is_stopping() {
            handle.abort();
        } else {
            handle.stop();
        }
    };
    ctrlc::set_handler(stop).context("cannot handle signals")
}

/// A panic is logged like everything else: standard error may have no reader.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        log::error!(
            "thread {}: {panic}",
            thread.name().unwrap_or("without a name")
        );
    }));
}
