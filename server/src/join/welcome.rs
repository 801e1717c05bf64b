//! The answer to a `join`, a first one or that of a client that comes back.

use crate::connection::hold::Hold;
use crate::hub::Hub;
use crate::member::Member;
use crate::millis;
use crate::ranking::Standing;
use common::wire::message::{Id, append_result};
use common::wire::name::Name;
use common::wire::{Joined, Resumable, Resumed};

/// Bytes that most answers to `join` have room in: a buffer that grows leaves pieces, which the
/// allocator keeps for the thread of each session, and takes more of its stack.
const WELCOME_BYTES: usize = 320;

/// The answer to a `join`: with what brings the client back, if that is held, and with what it is back
/// at, if it is.
#[inline(never)]
pub(super) fn welcome(
    hub: &Hub,
    id: &Id,
    member: &Member,
    standing: Standing,
    (resume, resumed): (Option<Resumable>, Option<Resumed>),
) -> Vec<u8> {
    let bearer = member.bearer.as_ref();
    let hold = member.connection.hold();
    let joined = Joined {
        member: member.id,
        name: Name::known(member.name.to_string()),
        rank: standing.rank,
        tier: member.tier,
        members: standing.members,
        heartbeat_ms: millis(hub.config.heartbeat),
        max_line: hub.config.max_line,
        run: Some(hub.run.to_string()),
        identity: bearer.and_then(|bearer| Some(bearer.wire_identity()?.into_owned())),
        role: bearer.map(|bearer| bearer.role().into_owned()),
        may: bearer.map(|bearer| bearer.grant().role().may.clone()),
        resume,
        resumed,
        received: hold
            .filter(|_| resumed == Some(Resumed::Lines))
            .map(Hold::received),
    };
    let mut line = Vec::with_capacity(WELCOME_BYTES);
    append_result(&mut line, id, &joined);
    line
}
