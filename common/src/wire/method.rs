//! The names of the methods.

use strum::{EnumString, IntoStaticStr, VariantArray};

pub const JOIN: &str = "join";
pub const SEND: &str = "send";
pub const SELECT: &str = "select";
pub const JOBS: &str = "jobs";
pub const JOB: &str = "job";
pub const CANCEL_JOB: &str = "cancel_job";
pub const CANCEL: &str = "cancel";
pub const MEMBERS: &str = "members";
pub const WATCH: &str = "watch";
pub const LEAVE: &str = "leave";
pub const PING: &str = "ping";
pub const EXECUTE: &str = "execute";
pub const OUTPUT: &str = "output";
pub const CONSUMED: &str = "consumed";
pub const INPUT: &str = "input";
pub const INPUT_CONSUMED: &str = "input_consumed";
pub const ACCEPTED: &str = "accepted";
pub const STARTED: &str = "started";
pub const OUTCOME: &str = "outcome";
pub const WATCHED: &str = "watched";
pub const RANK: &str = "rank";
pub const REFUSED: &str = "refused";
pub const BYE: &str = "bye";
pub const ACK: &str = "ack";

/// What a client asks of a server, or tells it: the server dispatches by this, so a method that is
/// added here is one that it has to handle, and to say which clients may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ClientMethod {
    // Requests.
    Join,
    Send,
    Select,
    Jobs,
    Job,
    CancelJob,
    Members,
    Watch,
    Ping,
    // Notifications.
    Cancel,
    Output,
    Consumed,
    Ack,
    Input,
    InputConsumed,
    Leave,
}

impl ClientMethod {
    /// Every one of them.
    pub const ALL: [ClientMethod; ClientMethod::VARIANTS.len()] = *ClientMethod::VARIANTS
        .first_chunk()
        .expect("as many as there are");

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The method of a name.
    pub fn from_name(name: &str) -> Option<ClientMethod> {
        name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name() {
        for (at, method) in ClientMethod::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, at, "ALL has every method once, in order");
            assert_eq!(ClientMethod::from_name(method.name()), Some(method));
        }
        assert_eq!(ClientMethod::ALL.len() - 1, ClientMethod::Leave as usize);
        assert_eq!(ClientMethod::from_name("execute"), None);
    }
}
