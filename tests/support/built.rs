//! Where the programs are, and their command lines. Cargo builds them, so that no test starts an old one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use escargot::CargoBuild;

use crate::support::nested_build::as_a_user;

/// The client's program.
pub(crate) fn client_program() -> &'static Path {
    match option_env!("CARGO_BIN_EXE_pecking") {
        Some(program) => Path::new(program),
        None => panic!("cargo builds the client for the tests of its own package only"),
    }
}

/// The server's program: cargo builds it for the tests of its own package, and the first test
/// of another package that asks for it has cargo build it, so that no test starts an old one.
pub(crate) fn server_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match option_env!("CARGO_BIN_EXE_pecking-server") {
        Some(program) => program.into(),
        None => build_server(),
    })
}

/// The whole workspace decides on features, as in a plain `cargo build`: what that has built is
/// not built again.
fn build_server() -> PathBuf {
    let build = CargoBuild::new()
        .args(["--workspace", "--locked"])
        .bin("pecking-server")
        .current_release();
    let built = as_a_user(build).run().expect("cargo builds the server");
    built.path().to_owned()
}

/// The command line of an example of the client's package. Cargo builds it with the client's program, as
/// if a user had asked for both.
pub(crate) fn command_of_example(name: &str) -> Command {
    let build = CargoBuild::new().args(["--package", "client", "--bin", "pecking", "--locked"]);
    let build = as_a_user(build.example(name).current_release());
    let built = build.run().expect("cargo builds the example");
    command(built.path(), &[])
}

/// A command line, without the variables of the tests' own environment that the two programs read.
fn command(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    for variable in ["RUST_LOG", "RUST_LOG_STYLE", "PECKING_SERVER"] {
        command.env_remove(variable);
    }
    // Nor with the settings of the user that runs them.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// The command line of a client.
pub(crate) fn client(words: &[&str]) -> Command {
    command(client_program(), words)
}

/// The command line of a server.
pub(crate) fn server(words: &[&str]) -> Command {
    command(server_program(), words)
}
