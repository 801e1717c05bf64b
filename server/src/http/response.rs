//! The form of answers: their headers, and JSON or text in them.

use super::drive::Answer;
use super::guard::Refusal;
use hyper::body::Bytes;
use hyper::header;
use hyper::http::response::Builder;
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What no answer but the page needs: an answer that a browser shows by itself runs nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

const JSON: &str = "application/json";

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response<Answer>, Refusal> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(whole(builder(StatusCode::OK, JSON), body)),
        Err(e) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            e.to_string(),
        )),
    }
}

/// Why a request is not answered.
pub(super) fn refused(refusal: &Refusal) -> Response<Answer> {
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

/// A line of text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    whole(builder(status, TEXT), text)
}

/// The head of any answer but the page.
pub(super) fn builder(status: StatusCode, content: &'static str) -> Builder {
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

/// An answer that is there as a whole.
pub(super) fn whole(head: Builder, body: impl Into<Bytes>) -> Response<Answer> {
    finish(head, Answer::Whole(Some(body.into())))
}

/// An answer with this head and this body.
pub(super) fn finish(head: Builder, body: Answer) -> Response<Answer> {
    head.body(body)
        .expect("all names and values are this module's own, and right")
}
