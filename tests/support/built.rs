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

fn build_server() -> PathBuf {
    let build = as_all_tests(CargoBuild::new()).args(["--example", "demo"]);
    let built = build.bin("pecking-server").run();
    built.expect("cargo builds the server").path().to_owned()
}

/// The command line of an example of the client's package.
pub(crate) fn command_of_example(name: &str) -> Command {
    let build = as_all_tests(CargoBuild::new()).args(["--bin", "pecking"]);
    let built = build.example(name).run();
    command(built.expect("cargo builds the example").path(), &[])
}

/// A build that takes the libraries of `cargo test --workspace`, if that has built them: an example has
/// cargo count the features that the tests of all packages ask for, and with others it builds them
/// again.
fn as_all_tests(build: CargoBuild) -> CargoBuild {
    as_a_user(build.args(["--workspace", "--locked"]).current_release())
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
