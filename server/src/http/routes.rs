//! What each request is answered with.

use super::connections::{Connections, Visit};
use super::drive::{Answer, Wants};
use super::guard::{self, Hosts, Refusal, Viewer};
use super::response::{builder, finish, json, refused, text, whole};
use super::{api, events, metrics, page};
use crate::hub::Hub;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What all threads of the HTTP side share, and every answer is made from.
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) hosts: Hosts,
    pub(super) connections: Arc<Connections>,
}

/// Answers a request; a wrong token a second later.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    visit: &Arc<Visit>,
    wants: &Rc<Wants>,
    request: Request<Incoming>,
) -> Response<Answer> {
    match route(shared, visit, wants, &request) {
        Ok(response) => response,
        Err(refusal) => {
            if refusal.delay > Duration::ZERO {
                wants.until(Instant::now() + refusal.delay).await;
            }
            refused(&refusal)
        }
    }
}

fn route(
    shared: &Arc<Shared>,
    visit: &Arc<Visit>,
    wants: &Rc<Wants>,
    request: &Request<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    shared.hosts.check(uri, headers)?;
    if request.method() != Method::GET {
        let message = "nothing can be commanded here: GET only";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    match uri.path() {
        "/" => return Ok(page::answer()),
        "/healthz" => return Ok(text(StatusCode::OK, "ok\n")),
        "/readyz" => return Ok(ready(shared)),
        _ => {}
    }
    if guard::is_cross_site(headers) {
        let message = "a page of another site has no business here";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    let hub = &shared.hub;
    let viewer = guard::viewer(hub, headers, visit.stream.peer().ip())?;
    let query = uri.query().unwrap_or_default();
    match uri.path() {
        "/metrics" => {
            let metrics = metrics::text(hub, &shared.connections);
            Ok(whole(builder(StatusCode::OK, PROMETHEUS), metrics))
        }
        "/api/v1/server" => json(&api::server(hub, viewer)),
        "/api/v1/members" => {
            lists(viewer)?;
            json(&api::members(hub, query)?)
        }
        "/api/v1/commands" => {
            lists(viewer)?;
            json(&api::commands(hub, query)?)
        }
        "/api/v1/events" => {
            lists(viewer)?;
            stream(shared, visit, wants)
        }
        path => match path.strip_prefix("/api/v1/commands/") {
            Some(id) => {
                lists(viewer)?;
                json(&api::command(hub, id)?)
            }
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such page")),
        },
    }
}

/// Members, commands and their words are for those that may list.
fn lists(viewer: Viewer) -> Result<(), Refusal> {
    match viewer.lists {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "your credential does not give the right to list",
        )),
    }
}

fn ready(shared: &Shared) -> Response<Answer> {
    match shared.hub.is_draining() {
        true => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        false => text(StatusCode::OK, "ready\n"),
    }
}

fn stream(
    shared: &Arc<Shared>,
    visit: &Arc<Visit>,
    wants: &Rc<Wants>,
) -> Result<Response<Answer>, Refusal> {
    let Some(place) = shared.connections.events(visit) else {
        let message = "as many streams of events are open as may be; close a page";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    let frames = events::stream(&shared.hub, place, Rc::clone(wants));
    let head = builder(StatusCode::OK, "text/event-stream");
    Ok(finish(head, Answer::Frames(frames)))
}
