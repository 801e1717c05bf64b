//! Which program this is: the package's version, and the commit that it was built from.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, as far as the build could tell; `unknown` if not.
pub const COMMIT: &str = env!("PECKING_COMMIT");

/// Both, as `--version` shows them.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PECKING_COMMIT"), ")");
