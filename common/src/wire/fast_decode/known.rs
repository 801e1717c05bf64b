//! The ids of lines of which no more is read, as their reader knows what they are.

use super::rest::natural;
use crate::wire::encode::HEAD;
use memchr::memmem;

/// The id of the `send` whose result says `done` with exit code 0, if a line is such a result.
pub fn done(line: &[u8]) -> Option<u64> {
    let (id, rest) = numbered(line)?;
    let rest = rest.strip_prefix(b",\"result\":{\"member\":")?;
    // In a string its quotes would be escaped, so it stands nowhere else.
    memmem::find(rest, b"\"status\":\"done\",\"exit_code\":0").map(|_| id)
}

/// The id of the `send` that an `outcome` notification belongs to, if a line is one.
pub fn outcome_of_many(line: &[u8]) -> Option<u64> {
    const START: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"outcome\",\"params\":{\"send\":";
    natural(line.strip_prefix(START)?).map(|(id, _)| id)
}

/// The id of an `execute` request from a client whose name begins like this, if a line is one.
pub fn execute_from(line: &[u8], name: &[u8]) -> Option<u64> {
    const FROM: &[u8] = b",\"method\":\"execute\",\"params\":{\"from\":{\"member\":";
    let (id, rest) = numbered(line)?;
    let (_, rest) = natural(rest.strip_prefix(FROM)?)?;
    let from = rest.strip_prefix(b",\"name\":\"")?;
    from.starts_with(name).then_some(id)
}

/// The id that a line begins with, and what comes after it.
pub(in crate::wire) fn numbered(line: &[u8]) -> Option<(u64, &[u8])> {
    natural(line.strip_prefix(HEAD.as_bytes())?)
}
