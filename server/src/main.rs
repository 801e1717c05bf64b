//! The server's program: reads the command line, serves until it is told to stop, and turns
//! how that went into an exit code.

mod cli;

use anyhow::Context;
use cli::Cli;
use common::args;
use common::console::{Console, complain, start_logging};
use common::descriptors;
use common::escape::one_line;
use common::thread::on_main_thread;
use server::{Ended, Handle, Server};
use std::io::Write;
use std::process::ExitCode;

/// The exit code for a wrong command line.
const USAGE: u8 = 2;

/// The exit code after a second signal: as a shell shows one that ended by SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(e) if e.exit_code() == 0 => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            complain(&args::one_line_error(&e.to_string()));
            return ExitCode::from(USAGE);
        }
    };
    if let Some(shell) = cli.completions {
        let script = Cli::completions(shell);
        return match std::io::stdout().write_all(&script) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                complain(&format!("error: cannot write to standard output: {e}"));
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        };
    }
    let token = match cli.token() {
        Ok(token) => token,
        Err(e) => {
            complain(&format!("error: {}", one_line(&format!("{e:#}"))));
            return ExitCode::from(USAGE);
        }
    };
    match serve(cli, token) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Aborted) => ExitCode::from(INTERRUPTED),
        Err(e) => {
            complain(&format!("error: {}", one_line(&format!("{e:#}"))));
            ExitCode::FAILURE
        }
    }
}

fn serve(cli: Cli, token: Option<String>) -> anyhow::Result<Ended> {
    let stdout = Console::start("stdout", std::io::stdout()).context("cannot start a thread")?;
    let stderr = Console::start("stderr", std::io::stderr()).context("cannot start a thread")?;
    start_logging(stderr.clone(), "info");
    log_panics();
    make_room_for(cli.clients);
    let any_port = cli.listen.ends_with(":0");
    let server = Server::bind(cli.into_config(token, &stdout))?;
    if any_port {
        // Whoever asked for any port has to learn which, whatever else is printed.
        stdout.print(format!("Listening on {}\n", server.address()).into_bytes());
    }
    stop_on_signals(server.handle())?;
    let ended = on_main_thread(|| server.run());
    Console::close_all([&stdout, &stderr]);
    Ok(ended?)
}

/// Descriptors besides one for each client, with as many again for those who are on their way
/// in or out: a server that is full still tells newcomers so.
const OTHER_DESCRIPTORS: u64 = 64;

/// Has the system allow as many sockets as it may, and says where those do not do: what fails
/// later would look like the fault of whoever dials in then.
fn make_room_for(clients: u32) {
    let Some(limit) = descriptors::raise_limit() else {
        return;
    };
    let wanted = u64::from(clients) + OTHER_DESCRIPTORS;
    if limit < wanted {
        log::warn!(
            "the system allows this process {limit} open files: no more than {} clients of \
             {clients} fit; raise the hard limit to {wanted} (ulimit -Hn, LimitNOFILE=)",
            limit.saturating_sub(OTHER_DESCRIPTORS)
        );
    }
}

/// The first SIGINT, SIGTERM or SIGHUP drains; the next one ends at once.
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

/// A panic is logged like everything else: standard error may be what nobody reads.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        log::error!(
            "thread {}: {panic}",
            thread.name().unwrap_or("without a name")
        );
    }));
}
