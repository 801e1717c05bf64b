//! The page: one file, with its style and its script in it. It uses the API and nothing else.
//!
//! Its policy names the style and the script by their hashes, so nothing else runs, with any name
//! that a client gives itself.

use super::drive::Answer;
use super::response::{whole, with_safety};
use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::{Response, StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The page itself.
const PAGE: &str = include_str!("page.html");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (hash("style"), hash("script"));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
});

/// What a policy calls an element of the page: by the hash of its text.
fn hash(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let text = PAGE
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close));
    let text = text.map_or("", |(text, _)| text);
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// The page, for any visitor: it says nothing of members.
pub(super) fn answer() -> Response<Answer> {
    let head = with_safety(Response::builder().status(StatusCode::OK))
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, POLICY.as_str());
    whole(head, PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_style_and_one_script_and_loads_nothing() {
        for element in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert_eq!(
                PAGE.matches(&format!("<{element}>")).count(),
                1,
                "{element}"
            );
        }
        for outside in [
            "http://",
            "https://",
            " src=",
            "innerHTML",
            "eval(",
            "style=",
            "onclick=",
        ] {
            let found = PAGE
                .replace("http://www.w3.org/2000/svg", "")
                .contains(outside);
            assert!(!found, "{outside}");
        }
        assert!(!POLICY.contains(&format!("{:?}", "")), "no hash of nothing");
    }
}
