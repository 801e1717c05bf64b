//! Authority beyond rank: which identity a client has proven, and what that gives it.
//!
//! An auth file names roles and the credentials that have them. `parse` makes immutable [`Rules`]
//! of its text, `grant` decides by them: which credential a client proves, and whether it may take
//! a tier, take a name, or have a target execute a command. Each decision is a function of the
//! rules and of what is asked for. What is not granted is refused.
//!
//! Nothing in here knows connections or ranks, or reads a line of the wire: `join` and `dispatch`
//! ask. Arguments of commands are not looked at either: they are for the policy of the machine
//! that executes them.

pub(crate) mod bearer;
mod certificate;
mod edit;
mod error;
pub(crate) mod grant;
mod in_force;
mod load;
mod names;
mod overlap;
mod parse;
pub(crate) mod rules;
#[cfg(test)]
mod testing;
pub(crate) mod token;
mod values;

pub use edit::{NewCredential, revoke};
pub use error::AuthError;
pub use grant::Decision;
pub use in_force::Authority;
pub use rules::Rules;
pub(crate) use token::redact;
