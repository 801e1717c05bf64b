//! What each request is answered with.

use super::connections::Visit;
use super::drive::{Answer, Wants};
use super::guard::{self, Refusal, Viewer};
use super::running::Shared;
use super::{api, events, metrics, page};
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::http::response::Builder;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What no answer but the page needs: an answer that a browser shows by itself runs nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const TEXT: &str = "text/plain; charset=utf-8";

const JSON: &str = "application/json";

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
    let viewer = guard::viewer(&shared.hub, headers, visit.stream.peer().ip())?;
    let query = uri.query().unwrap_or_default();
    match uri.path() {
        "/metrics" => {
            let metrics = metrics::text(shared);
            Ok(whole(builder(StatusCode::OK, PROMETHEUS), metrics))
        }
        "/api/v1/server" => json(&api::server(shared, viewer)),
        "/api/v1/members" => {
            lists(viewer)?;
            json(&api::members(shared, query)?)
        }
        "/api/v1/commands" => {
            lists(viewer)?;
            json(&api::commands(shared, query)?)
        }
        "/api/v1/events" => {
            lists(viewer)?;
            stream(shared, visit, wants)
        }
        path => match path.strip_prefix("/api/v1/commands/") {
            Some(id) => {
                lists(viewer)?;
                json(&api::command(shared, id)?)
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
    let frames = events::stream(shared, place, Rc::clone(wants));
    let head = builder(StatusCode::OK, "text/event-stream");
    Ok(finish(head, Answer::Frames(frames)))
}

fn json(value: &impl Serialize) -> Result<Response<Answer>, Refusal> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(whole(builder(StatusCode::OK, JSON), body)),
        Err(e) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            e.to_string(),
        )),
    }
}

fn refused(refusal: &Refusal) -> Response<Answer> {
    let status = refusal.status;
    let body = serde_json::json!({
        "error": { "status": status.as_u16(), "message": refusal.message }
    });
    let head = match status {
        StatusCode::METHOD_NOT_ALLOWED => builder(status, JSON).header(header::ALLOW, "GET"),
        StatusCode::UNAUTHORIZED => {
            builder(status, JSON).header(header::WWW_AUTHENTICATE, "Bearer")
        }
        _ => builder(status, JSON),
    };
    whole(head, body.to_string())
}

fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    whole(builder(status, TEXT), text)
}

/// The head of any answer but the page.
fn builder(status: StatusCode, content: &'static str) -> Builder {
    with_safety(Response::builder().status(status))
        .header(header::CONTENT_TYPE, content)
        .header(header::CONTENT_SECURITY_POLICY, NOTHING)
}

/// The headers of every answer: it is what it says, for no other site, in no frame, and kept by no
/// cache.
pub(super) fn with_safety(builder: Builder) -> Builder {
    builder
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header("cross-origin-resource-policy", "same-origin")
        .header("cross-origin-opener-policy", "same-origin")
}

pub(super) fn whole(head: Builder, body: impl Into<Bytes>) -> Response<Answer> {
    finish(head, Answer::Whole(Some(body.into())))
}

fn finish(head: Builder, body: Answer) -> Response<Answer> {
    head.body(body)
        .expect("all names and values are this module's own, and right")
}
