//! What a server puts on record: what each client did, by what its connection proved.
//!
//! A server without an audit log pays one look at an `Option`. Each record is made in a frame of
//! its own: it takes more of a session's stack than the command does.

pub(crate) mod on_record;

use crate::authority::AuthError;
use crate::authority::grant::{self, AllowLine};
use crate::authority::rules::Changes;
use crate::connection::Connection;
use crate::dispatch::command::{Command, Missed, Target};
use crate::dispatch::selection::Found;
use crate::member::Member;
use crate::version::VERSION;
use common::audit::record::{
    Cancel, Denied, Join, Leave, Names, Record, Reload, Send, Start, Stop, Via, Who,
};
use common::audit::{Audit, CLOSE_PATIENCE, Unavailable, clipped};
use common::sys::sync::atomic::Ordering;
use common::wire::message::{Code, RpcError, params};
use common::wire::{self, Credential};
use on_record::{OnRecord, keeps_named};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The program, as the log calls it.
const PROGRAM: &str = "pecking-server";

/// How long a server waits for its first record before it serves: a disk that stands still keeps
/// commands from running, and not the server.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// Ids of credentials in each list of a `reload`: with the longest ones 16 KiB, as much as its
/// record may have of other texts; a file may have ten thousand.
const MOST_IDS: usize = 64;

/// The server begins; it waits for that record, and not long.
pub(crate) fn start(audit: &Audit, address: SocketAddr) {
    audit.note(&Record::Start(Start {
        program: PROGRAM,
        version: VERSION,
        address: &address.to_string(),
    }));
    audit.settle(START_PATIENCE);
}

/// The server has ended.
pub(crate) fn stop(audit: &Audit, why: &str) {
    audit.note(&Record::Stop(Stop { why }));
    audit.close(CLOSE_PATIENCE);
}

/// The auth file was read anew, or could not be.
pub(crate) fn reload(
    audit: &Audit,
    file: Option<&Path>,
    error: Option<&AuthError>,
    changes: &Changes,
) {
    let file = file.map(Path::to_string_lossy).unwrap_or_default();
    let error = error.map(ToString::to_string);
    let [added, removed, changed] = [&changes.added, &changes.removed, &changes.changed]
        .map(|ids| ids.split_at(ids.len().min(MOST_IDS)));
    audit.note(&Record::Reload(Reload {
        file: &file,
        error: error.as_deref(),
        added: added.0,
        removed: removed.0,
        changed: changed.0,
        more: [added, removed, changed]
            .iter()
            .map(|ids| ids.1.len())
            .sum(),
    }));
}

/// A client has joined.
#[inline(never)]
pub(crate) fn join(audit: &Audit, member: &Member) {
    audit.note(&Record::Join(Join {
        who: known(member),
        slots: member.slots,
    }));
}

/// A client has left.
#[inline(never)]
pub(crate) fn leave(audit: &Audit, member: &Member, why: &str) {
    let who = known(member);
    audit.note(&Record::Leave(Leave {
        who,
        why: clipped(why),
    }));
}

/// A connection was not let in, after it asked for this or before it came to that.
#[cold]
#[inline(never)]
pub(crate) fn join_denied(
    audit: &Audit,
    connection: &Connection,
    asked: Option<&RawValue>,
    error: &RpcError,
) {
    let showed = showed(asked, connection.identity());
    audit.deny(Denied {
        method: wire::method::JOIN,
        reason: error.reason(),
        rule: error.data.rule.as_deref(),
        message: Some(clipped(&error.message)),
        showed: showed.as_deref(),
        who: None,
        address: connection.peer(),
        to: None,
        words: None,
    });
}

/// What a client showed with its `join`, or before that; if it showed anything.
fn showed(asked: Option<&RawValue>, certificate: Option<&str>) -> Option<String> {
    let join = params::<wire::Join<'_>>(asked).ok();
    let token = join.as_ref().and_then(|join| join.token.as_ref());
    let token = token.map(Credential::reveal);
    let shows = token.is_some() || certificate.is_some();
    shows.then(|| grant::showed(token.as_deref(), certificate))
}

/// What a client asked for, as much of it as was read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'static str,
    pub(crate) to: Option<&'a wire::Text<'a>>,
    pub(crate) command: Option<wire::Words<'a>>,
}

/// A client is told that it may not do this.
#[cold]
#[inline(never)]
pub(crate) fn denied(audit: &Audit, member: &Member, asked: &Asked<'_>, error: &RpcError) {
    let to = asked.to.map(|to| to.decoded());
    audit.deny(Denied {
        method: asked.method,
        reason: error.reason(),
        rule: error.data.rule.as_deref(),
        message: None,
        showed: None,
        who: Some(known(member)),
        address: member.connection.peer(),
        to: to.as_deref().map(clipped),
        words: asked.command.map(|command| audit.words().of_line(command)),
    });
}

/// Whether an error says that something is not allowed, and not that it does not work.
pub(crate) fn is_denial(error: &RpcError) -> bool {
    let denials = [Code::Unauthorized, Code::Forbidden, Code::Outranked];
    denials.iter().any(|code| error.is(*code))
}

/// Takes the places for a command's records.
///
/// # Errors
/// `audit_unavailable`: there is no room for them, or the log cannot be written.
#[inline(never)]
pub(crate) fn reserve(
    audit: &Audit,
    found: &Found,
    request: &wire::Send<'_>,
    now: u64,
) -> Result<OnRecord, RpcError> {
    let (texts, outcomes) = match found {
        Found::One(target) => (text_len(target), 0),
        Found::Many {
            execute,
            outranked,
            absent,
        } => {
            let names: usize = execute.iter().map(text_len).sum();
            let absent = absent.iter().filter(|one| match one.who {
                Missed::Here(_) => true,
                Missed::Named(_) => keeps_named(audit),
            });
            let absent = absent.count();
            (names, execute.len() + outranked.len() + absent)
        }
    };
    let texts =
        texts + request.command.as_json().len() + request.to.as_ref().map_or(0, wire::Text::len);
    // Of a command to several there is the end as well.
    let places = audit.reserve(texts, outcomes + 1).map_err(unavailable)?;
    Ok(OnRecord::new(places, now))
}

/// Bytes of a target in a record: its name, quotes and a comma.
fn text_len(target: &Target) -> usize {
    target.member.name.len() + 3
}

#[cold]
fn unavailable(why: Unavailable) -> RpcError {
    let mut error = RpcError::new(Code::AuditUnavailable, why.to_string());
    error.data.retry_ms = Some(why.retry_after().as_millis() as u64);
    error
}

/// A command is taken.
#[inline(never)]
pub(crate) fn send(
    on_record: &OnRecord,
    command: &Command,
    sender_rank: u32,
    request: &wire::Send<'_>,
    outcomes: usize,
) {
    let names = match &command.targets[..] {
        [only] => Names::One([&only.member.name]),
        several => Names::Many(several.iter().map(|target| &*target.member.name).collect()),
    };
    let to = request.to.as_ref().map(|to| to.decoded());
    on_record.places.begin(&Record::Send(Send {
        cmd: command.id,
        who: who(&command.sender, sender_rank),
        to: to.as_deref(),
        targets: outcomes,
        names,
        rule: rule(&command.sender, &command.targets).as_deref(),
        words: on_record.places.audit().words().of_line(request.command),
    }));
}

/// A client no longer wants a command.
#[inline(never)]
pub(crate) fn cancel(on_record: &OnRecord, command: &Command, member: &Member, why: &str) {
    if !on_record.is_cancelled.swap(true, Ordering::Relaxed) {
        on_record.places.audit().note(&Record::Cancel(Cancel {
            cmd: command.id,
            who: known(member),
            why,
        }));
    }
}

/// The lines of its role's `allow` that let the sender have the targets execute this, as they were
/// when the targets were found: the rules may have changed since.
fn rule(sender: &Member, targets: &[Target]) -> Option<String> {
    let role = sender.bearer.as_ref()?.role();
    let lines: BTreeSet<AllowLine> = targets.iter().filter_map(|target| target.allow).collect();
    let rules: Vec<String> = lines.into_iter().map(|line| line.rule(&role)).collect();
    (!rules.is_empty()).then(|| rules.join(","))
}

/// A client, with the rank that it was told last.
fn known(member: &Member) -> Who<'_> {
    who(member, member.told_rank.load(Ordering::Relaxed))
}

/// A client, by what its connection proved.
fn who(member: &Member, rank: u32) -> Who<'_> {
    Who {
        identity: member.bearer.as_ref().map(|bearer| bearer.identity()),
        role: member.bearer.as_ref().map(|bearer| bearer.role()),
        tier: Some(member.tier),
        member: member.id,
        name: &member.name,
        rank: Some(rank),
        address: Some(member.connection.peer()),
        via: Some(match member.connection.stream.is_encrypted() {
            true => Via::Tls,
            false => Via::Plain,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Rules;
    use crate::authority::bearer::Bearer;
    use crate::authority::grant::{Grant, Proof};
    use crate::dispatch::scope::Scope;
    use crate::dispatch::selection::select;
    use crate::testing;
    use common::sys::sync::Arc;
    use std::time::SystemTime;

    /// What a certificate is granted by a role with these lines of `allow`.
    fn grant(allow: &str) -> Grant {
        let text = format!(
            "version = 1\n[roles.r]\nmay = [\"send\"]\nallow = [{allow}]\n\
             [[credentials]]\nid = \"boss\"\nrole = \"r\"\ncert = \"pecking:boss\"\n"
        );
        let rules = Rules::read(text.as_bytes(), "auth.toml".as_ref()).expect("it is right");
        let proof = Proof::of(None, Some("pecking:boss"));
        let address = [127, 0, 0, 1].into();
        let grant = rules.authenticate(proof, address, SystemTime::UNIX_EPOCH);
        grant.expect("it is its own")
    }

    #[test]
    fn the_rule_on_record_is_the_one_that_decided_though_the_rules_have_changed() {
        let roster = testing::roster(9);
        let before = grant(
            "{ to = \"w*\", commands = [\"x\"] }, { to = \"no\", commands = [\"*\"] }, { to = \"d*\", commands = [\"*\"] }",
        );
        let make = |id, name| {
            let mut member = testing::member(id, name, 0);
            let bearer = Some(Box::new(Bearer::new(before.clone())));
            Arc::get_mut(&mut member).expect("it is new").bearer = bearer;
            member
        };
        let joined = roster.join(Some("boss"), make, |_, _| {});
        let boss = joined.expect("there is room").member;
        for name in ["web1", "db", "web2"] {
            testing::join(&roster, name, 1);
        }
        for (to, expected) in [
            ("below", "r.allow[0],r.allow[2]"),
            ("db", "r.allow[2]"),
            ("next:db,web2", "r.allow[2]"),
            ("least-loaded", "r.allow[0]"),
        ] {
            let selector = to.parse().expect("a selector");
            let scope = Scope::of(before.role(), Some("x"));
            let selection = select(&roster, &boss, &selector, scope).expect("targets");
            let bearer = boss.bearer.as_ref().expect("it has one");
            bearer.set_grant(grant("{ to = \"none\", commands = [\"y\"] }"));
            let targets = match selection.found {
                Found::One(target) => vec![target],
                Found::Many { execute, .. } => execute,
            };
            assert_eq!(rule(&boss, &targets).as_deref(), Some(expected), "{to}");
        }
    }
}
