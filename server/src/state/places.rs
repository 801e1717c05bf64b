//! What has to be written so that the file says which places are held, and how the next start of the
//! server holds them.

use super::record::{Credential, Kept, Line, Proof, Replay};
use crate::authority::bearer::Bearer;
use crate::authority::grant::{self, Grant};
use crate::clock::wall_clock;
use crate::connection::Connection;
use crate::connection::hold::Hold;
use crate::eviction;
use crate::giving_up;
use crate::hub::Hub;
use crate::member::{Member, Terms};
use crate::timers::timer_queue::Timer;
use common::sys::sync::{Arc, lock};
use common::terminal::escape::one_line;
use common::wire::Right;
use std::collections::{BTreeMap, HashSet};

/// The lines that make what is written what is so.
pub(super) fn changes(hub: &Hub, written: &BTreeMap<u64, Kept>) -> Vec<Line> {
    let members = hub.roster.look(|view| view.ranked().to_vec());
    // Behind the roster: a member is put here before it leaves that.
    let told_to_go = hub.state.as_ref().map(|state| lock(&state.kept).clone());
    let mut held = HashSet::with_capacity(members.len());
    let mut lines = Vec::new();
    for place in &members {
        let member = &place.member;
        let Some(tokens) = member.connection.hold().and_then(Hold::to_keep) else {
            continue;
        };
        held.insert(member.id);
        let is_written = written.get(&member.id).is_some_and(|written| {
            (written.token, written.before) == tokens && written.address == member.connection.peer()
        });
        if !is_written {
            lines.push(Line::Place(Box::new(Kept::of(member, tokens))));
        }
    }
    for kept in told_to_go.into_iter().flatten() {
        held.insert(kept.member);
        if written.get(&kept.member) != Some(&kept) {
            lines.push(Line::Place(Box::new(kept)));
        }
    }
    let gone = written.keys().filter(|number| !held.contains(number));
    // First: another member may have the name of one of them.
    let mut all: Vec<Line> = gone.copied().map(Line::Gone).collect();
    all.append(&mut lines);
    all
}

/// Holds the places that a file has, for a while; those that are not held are taken out of it.
pub(super) fn restore(hub: &Hub, replay: &mut Replay) {
    let Some(hold_ms) = giving_up::hold_ms(hub) else {
        return replay.places.clear();
    };
    let mut ranked: Vec<_> = replay.places.values().cloned().collect();
    ranked.sort_by_key(|kept| (kept.tier, kept.member));
    for (rank, kept) in ranked.iter().enumerate() {
        let restored = match rank < hub.config.max_clients as usize {
            true => restore_one(hub, kept, hold_ms),
            false => Err(format!(
                "it has rank {rank}, beyond the clients that are accepted"
            )),
        };
        if let Err(why) = restored {
            let why = one_line(&why);
            log::warn!("the place of {} is not held: {why}", kept.name);
            replay.places.remove(&kept.member);
        }
    }
    hub.roster.begin_numbers(replay.next);
}

fn restore_one(hub: &Hub, kept: &Kept, hold_ms: u64) -> Result<(), String> {
    let bearer = bearer(hub, kept)?.map(Box::new);
    let now = hub.timers.now();
    let due = now.saturating_add(hold_ms);
    let hold = Hold::restored((kept.token, kept.before), now, due);
    let connection = Connection::away(kept.address, &hub.budget.all, hold, now);
    let connection = Arc::new(connection.counted(&hub.telemetry));
    let terms = Terms {
        tier: kept.tier,
        slots: kept.slots,
        rank_news: kept.rank_news,
        takes_input: kept.stdin,
        tags: kept.tags.clone(),
    };
    let name = kept.name.clone();
    let member = Member::new(kept.member, name, terms, bearer, now, connection);
    if !hub.roster.restore(&member) {
        return Err("another one has its name".into());
    }
    let over = Timer::HoldOver(member.rank_key(), due);
    hub.timers.schedule(due, over);
    eviction::watch_expiry(hub, &member);
    hub.telemetry.counters.joined();
    Ok(())
}

/// What the rules in force give a member, if that is what it had.
fn bearer(hub: &Hub, kept: &Kept) -> Result<Option<Bearer>, String> {
    let (credential, authority) = match (&kept.credential, &hub.config.authority) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err("it was held without a credential".into()),
        (Some(_), None) => return Err("it belongs to a credential (--auth)".into()),
        (Some(credential), Some(authority)) => (credential, authority),
    };
    let proof = match &credential.proof {
        Proof::Token(hash) => grant::Proof::Token(*hash),
        Proof::Certificate(name) => grant::Proof::Certificate(name.to_string()),
    };
    let rules = authority.rules();
    let grant = rules.authenticate(Some(proof), kept.address.ip(), wall_clock());
    let grant = grant.map_err(|why| format!("its credential does not count any more: {why}"))?;
    let may_have_name = kept.has_given_name() || rules.may_take(&grant, &kept.name).is_ok();
    if !may_have_name || !gives_as_much(&grant, credential, kept) {
        return Err("its credential gives less than it did".into());
    }
    Ok(Some(Bearer::new(grant)))
}

fn gives_as_much(grant: &Grant, credential: &Credential, kept: &Kept) -> bool {
    let role = grant.role();
    grant.credential.id == *credential.identity
        && *role.name == *credential.role
        && grant.credential.connections != Some(0)
        && role.tier <= kept.tier
        && (kept.slots == 0 || role.may(Right::Execute).is_ok())
}

impl Kept {
    fn has_given_name(&self) -> bool {
        let number = self.name.strip_prefix(common::wire::name::GIVEN);
        number.is_some_and(|number| number.parse() == Ok(self.member))
    }
}
