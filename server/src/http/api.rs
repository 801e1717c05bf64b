//! The API: what `/api/v1/…` says, as JSON. `docs/http.md` describes it.

use super::guard::{Refusal, Viewer};
use super::running::Shared;
use crate::hub::Hub;
use crate::telemetry::Departed;
use crate::telemetry::counters::quantile;
use crate::telemetry::feed::{AtTarget, Summary};
use crate::telemetry::history::Sample;
use crate::version;
use common::limits::MAX_MEMBERS_PAGE;
use common::sys::sync::atomic::Ordering;
use common::wire;
use common::wire::Status;
use hyper::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;

/// Commands of one answer, unless it asks for fewer or more.
const COMMANDS: usize = 100;

/// `/api/v1/server`, and a part of each event.
#[derive(Serialize)]
pub(super) struct ServerFacts {
    version: &'static str,
    commit: &'static str,
    /// What tells this start of the server from others.
    run: String,
    address: String,
    started_ms: u64,
    members: u32,
    max: u32,
    draining: bool,
    commands: u64,
    outcomes: BTreeMap<&'static str, u64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// `/api/v1/server`.
#[derive(Serialize)]
pub(super) struct ServerAnswer {
    #[serde(flatten)]
    facts: ServerFacts,
    /// For those that may list, as members are.
    #[serde(skip_serializing_if = "Option::is_none")]
    departed: Option<Vec<Departed>>,
    history: Vec<Sample>,
}

/// Whether the server is about to stop.
pub(super) fn is_draining(hub: &Hub) -> bool {
    hub.drain_requested.load(Ordering::Acquire) || hub.roster.look(|view| view.is_draining())
}

pub(super) fn facts(shared: &Shared) -> ServerFacts {
    let hub = &shared.hub;
    let totals = shared.telemetry.counters.totals();
    let outcomes = Status::ALL.iter().zip(totals.outcomes);
    ServerFacts {
        version: version::VERSION,
        commit: version::COMMIT,
        run: hub.run.to_string(),
        address: shared.address.to_string(),
        started_ms: shared.started_ms,
        members: hub.roster.len() as u32,
        max: hub.config.max_clients,
        draining: is_draining(hub),
        commands: totals.taken,
        outcomes: outcomes.map(|(status, n)| (status.name(), n)).collect(),
        p50_ms: quantile(&totals.durations, 0.5),
        p99_ms: quantile(&totals.durations, 0.99),
    }
}

pub(super) fn server(shared: &Shared, viewer: Viewer) -> ServerAnswer {
    ServerAnswer {
        facts: facts(shared),
        departed: viewer.lists.then(|| shared.telemetry.departed.after(0).1),
        history: shared.telemetry.history.samples.after(0).1,
    }
}

/// `/api/v1/members?from=N&limit=N`: what `members` of the wire says to a client that may list.
pub(super) fn members(shared: &Shared, query: &str) -> Result<wire::Members, Refusal> {
    let [from, limit] = numbers(query, ["from", "limit"])?;
    let limit = limit.unwrap_or(MAX_MEMBERS_PAGE).min(MAX_MEMBERS_PAGE);
    let hub = &shared.hub;
    Ok(hub.roster.page(from.unwrap_or(0), limit, hub.timers.now()))
}

/// `/api/v1/commands?limit=N`: the newest ones, the newest first.
pub(super) fn commands(shared: &Shared, query: &str) -> Result<serde_json::Value, Refusal> {
    let [limit] = numbers(query, ["limit"])?;
    let kept = shared.telemetry.feed.newest(limit.unwrap_or(COMMANDS));
    let summaries: Vec<Summary<'_>> = kept.iter().rev().map(|shown| shown.summary()).collect();
    let taken = shared.telemetry.counters.totals().taken;
    Ok(serde_json::json!({ "commands": summaries, "total": taken }))
}

/// `/api/v1/commands/ID`: one command, with its targets.
pub(super) fn command(shared: &Shared, id: &str) -> Result<serde_json::Value, Refusal> {
    let shown = id
        .parse()
        .ok()
        .and_then(|id| shared.telemetry.feed.find(id));
    let Some(shown) = shown else {
        let message = "this command is not among those that are kept";
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    };
    let at_targets: Vec<AtTarget> = shown.at_targets();
    Ok(serde_json::json!({ "command": shown.summary(), "at": at_targets }))
}

/// The numbers of a query, by their names; each once at most, and nothing else.
fn numbers<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<usize>; N], Refusal> {
    let mut numbers = [None; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let at = names.iter().position(|known| *known == name);
        let number = value.parse().ok();
        match (at, number) {
            (Some(at), Some(number)) if numbers[at].is_none() => numbers[at] = Some(number),
            _ => {
                let message = format!(
                    "the query has whole numbers, each once: {}",
                    names.join(", ")
                );
                return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
            }
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_known_numbers_once_each() {
        let read = |query| numbers(query, ["from", "limit"]).map_err(|e| e.status.as_u16());
        assert_eq!(read(""), Ok([None, None]));
        assert_eq!(read("limit=7&from=0"), Ok([Some(0), Some(7)]));
        for wrong in [
            "from",
            "from=",
            "from=-1",
            "from=1&from=1",
            "x=1",
            "from=%31",
            "from=1;x",
        ] {
            assert_eq!(read(wrong), Err(400), "{wrong}");
        }
    }
}
