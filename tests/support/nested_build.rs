//! A call of cargo by a program that cargo itself has started: the tests, and the demo.

use escargot::CargoBuild;

/// A build without what cargo tells the program of its own package. Build scripts would take it for theirs,
/// run again, and have the program and half of the libraries built again.
pub(crate) fn as_a_user(build: CargoBuild) -> CargoBuild {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    names
        .filter(|name| is_of_package(name))
        .fold(build, CargoBuild::env_remove)
}

/// Whether cargo sets a variable for a program of one package. `PECKING_COMMIT` is set by the build
/// script of that.
fn is_of_package(name: &str) -> bool {
    ["OUT_DIR", "PECKING_COMMIT"].contains(&name)
        || name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
}
