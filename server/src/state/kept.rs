//! What is kept of a member.

use super::record::{Credential, Kept, Proof};
use crate::authority::bearer::Bearer;
use crate::authority::grant;
use crate::connection::hold::Tokens;
use crate::member::Member;

impl Kept {
    /// What is kept of a member with these tokens.
    pub(super) fn of(member: &Member, (token, before): Tokens) -> Kept {
        Kept {
            member: member.id,
            name: member.name.clone(),
            tier: member.tier,
            slots: member.slots,
            rank_news: member.rank_news,
            stdin: member.takes_input,
            tags: member.tags.clone(),
            address: member.connection.peer(),
            credential: member.bearer.as_deref().map(credential),
            token,
            before,
        }
    }
}

fn credential(bearer: &Bearer) -> Credential {
    Credential {
        identity: bearer.identity().into(),
        role: bearer.role().as_ref().into(),
        proof: match &bearer.grant().proof {
            grant::Proof::Token(hash) => Proof::Token(*hash),
            grant::Proof::Certificate(name) => Proof::Certificate(name.as_str().into()),
        },
    }
}
