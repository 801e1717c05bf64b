//! The API: what `/api/v1/…` says, as JSON. `docs/http.md` describes it.

use super::guard::{Refusal, Viewer};
use crate::hub::Hub;
use crate::telemetry::feed::AtTarget;
use common::limits::MAX_MEMBERS_PAGE;
use common::wire;
use common::wire::watch::{Departed, Sample, ServerFacts, WatchedCommand};
use hyper::StatusCode;
use serde::Serialize;

/// Commands of one answer, unless it asks for fewer or more.
const COMMANDS: usize = 100;

/// `/api/v1/server`.
#[derive(Serialize)]
pub(super) struct ServerAnswer {
    #[serde(flatten)]
    facts: ServerFacts,
    /// For those that may list, as members are.
    #[serde(skip_serializing_if = "Option::is_none")]
    departed: Option<Vec<Departed>>,
    /// The machines that ought to be here, for the same, if the server was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Vec<String>>,
    history: Vec<Sample>,
}

pub(super) fn server(hub: &Hub, viewer: Viewer) -> ServerAnswer {
    let expected = hub.config.expected.as_ref();
    let expected = expected.filter(|_| viewer.lists).map(|expected| {
        let known = expected.known();
        known.machines.names().map(ToOwned::to_owned).collect()
    });
    ServerAnswer {
        expected,
        facts: hub.facts(),
        departed: viewer.lists.then(|| hub.telemetry.departed.after(0).1),
        history: hub.telemetry.history.samples.after(0).1,
    }
}

/// `/api/v1/members?from=N&limit=N`: what `members` of the wire says to a client that may list.
pub(super) fn members(hub: &Hub, query: &str) -> Result<wire::Members, Refusal> {
    let [from, limit] = numbers(query, ["from", "limit"])?;
    let limit = limit.unwrap_or(MAX_MEMBERS_PAGE).min(MAX_MEMBERS_PAGE);
    Ok(hub.roster.page(from.unwrap_or(0), limit, hub.timers.now()))
}

/// `/api/v1/commands?limit=N`: the newest ones, the newest first.
pub(super) fn commands(hub: &Hub, query: &str) -> Result<serde_json::Value, Refusal> {
    let [limit] = numbers(query, ["limit"])?;
    let kept = hub.telemetry.feed.newest(limit.unwrap_or(COMMANDS));
    let summaries: Vec<WatchedCommand<'_>> =
        kept.iter().rev().map(|shown| shown.summary()).collect();
    let taken = hub.telemetry.counters.totals().taken;
    Ok(serde_json::json!({ "commands": summaries, "total": taken }))
}

/// `/api/v1/commands/ID`: one command, with its targets.
pub(super) fn command(hub: &Hub, id: &str) -> Result<serde_json::Value, Refusal> {
    let shown = id.parse().ok().and_then(|id| hub.telemetry.feed.find(id));
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
