//! Which requests are answered: by the name under which the server was asked, by where a browser
//! comes from, and by the token that it shows.

use crate::authority::grant::Proof;
use crate::authority::{Authority, Rules};
use crate::clock::wall_clock;
use crate::hub::Hub;
use crate::join::throttle::ANSWER_DELAY_MS;
use common::net::tls::certificate;
use common::net::tls::files::certificates;
use common::wire::Right;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use hyper::http::uri;
use hyper::{StatusCode, Uri};
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::extensions::GeneralName;

/// Names by which the server is known. A page of another name whose address is this server's (DNS
/// rebinding) could read what the server shows if it answered to that name. An address is never such
/// a name.
pub(super) struct Hosts(Vec<String>);

/// What a client may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Viewer {
    /// Members, commands and their words.
    pub(super) lists: bool,
}

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// How long the answer waits, so that tokens are not guessed any faster than at a `join`.
    pub(super) delay: Duration,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            delay: Duration::ZERO,
        }
    }
}

impl Hosts {
    /// `localhost`, what the options name, and the names of the certificate as it is when the
    /// server starts.
    pub(super) fn of(hub: &Hub) -> Hosts {
        let mut names = vec!["localhost".to_owned()];
        if let Some(http) = &hub.config.http {
            let host = http.listen.rsplit_once(':').map(|(host, _)| host);
            names.extend(host.map(str::to_owned));
            names.extend(http.hosts.iter().cloned());
        }
        if let Some(tls) = &hub.config.tls {
            names.extend(names_of(&tls.cert).unwrap_or_default());
        }
        for name in &mut names {
            name.make_ascii_lowercase();
        }
        Hosts(names)
    }

    /// Checks the name under which a request was sent: of a target that names one, too.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            let message = "a request has one Host header";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        };
        let host: Option<uri::Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
        let is_known =
            |host: &uri::Authority| !host.as_str().contains('@') && self.know(host.host());
        match host {
            Some(host) if is_known(&host) && uri.authority().is_none_or(is_known) => Ok(()),
            _ => Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not go by the name in Host; if it should, start it with \
                 --http-host NAME",
            )),
        }
    }

    fn know(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if address.unwrap_or(host).parse::<IpAddr>().is_ok() {
            return true;
        }
        let host = host.to_ascii_lowercase();
        let is_it = |name: &String| match name.strip_prefix("*.") {
            // A star stands for one label (RFC 6125 §6.4.3).
            Some(rest) => host
                .split_once('.')
                .is_some_and(|(_, parent)| parent == rest),
            None => *name == host,
        };
        self.0.iter().any(is_it)
    }
}

/// The DNS names of the first certificate in a file.
fn names_of(file: &std::path::Path) -> Option<Vec<String>> {
    let chain = certificates(file).ok()?;
    let certificate = certificate::parse(chain.first()?).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let dns = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    Some(dns.collect())
}

/// Whether a browser says that another site's page asks: such a page reads no answer, and has no
/// business to ask.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// Whether the server asks for a token.
pub(super) fn asks(hub: &Hub) -> bool {
    let config = &hub.config;
    let own = config
        .http
        .as_ref()
        .is_some_and(|http| http.token.is_some());
    own || config.token.is_some() || config.authority.is_some()
}

/// What a client may see, by the token that it shows.
pub(super) fn viewer(hub: &Hub, headers: &HeaderMap, peer: IpAddr) -> Result<Viewer, Refusal> {
    if !asks(hub) {
        return Ok(Viewer { lists: true });
    }
    let shown = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| token.trim())
    });
    let Some(shown) = shown else {
        let message = "this server asks for a token: Authorization: Bearer TOKEN";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
    };
    let now = hub.timers.now();
    // Before the throttle, which has a lock of its own.
    let rules = hub.config.authority.as_ref().map(Authority::rules);
    let prove = || prove(hub, rules.as_deref(), shown, peer);
    let proven = hub.throttle.look(peer, now, prove);
    proven.map_err(|(refused, _)| {
        let what = format_args!("http: {peer} showed a token that is not right");
        hub.token_log.log(now, what);
        if refused.was_heard {
            Refusal {
                delay: Duration::from_millis(ANSWER_DELAY_MS),
                ..Refusal::new(StatusCode::UNAUTHORIZED, "the token is not right")
            }
        } else {
            let message = "too many wrong tokens came from your address; try again later";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    })
}

/// What a token gives, by the rules that are in force.
fn prove(hub: &Hub, rules: Option<&Rules>, shown: &str, peer: IpAddr) -> Result<Viewer, ()> {
    let config = &hub.config;
    let own = config.http.as_ref().and_then(|http| http.token.as_ref());
    if own.is_some_and(|token| token.is(shown)) {
        return Ok(Viewer { lists: true });
    }
    let Some(rules) = rules else {
        let is_it = config.token.as_ref().is_some_and(|token| token.is(shown));
        return is_it.then_some(Viewer { lists: true }).ok_or(());
    };
    let proof = Proof::of(Some(shown), None);
    let grant = rules.authenticate(proof, peer, wall_clock());
    let grant = grant.map_err(|_| ())?;
    let lists = grant.role().may(Right::List).is_ok();
    Ok(Viewer { lists })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_localhost_or_a_name_that_the_server_was_told() {
        let hosts = Hosts(vec![
            "localhost".into(),
            "relay.example".into(),
            "*.lab.example".into(),
        ]);
        let check = |uri: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(HOST, line.parse().expect("a value"));
            }
            let uri = uri.parse().expect("a target");
            hosts.check(&uri, &headers).map_err(|e| e.status.as_u16())
        };
        for host in [
            "localhost",
            "LOCALHOST:5580",
            "127.0.0.1:5580",
            "[::1]:5580",
            "10.1.2.3",
            "relay.example:5580",
            "a.lab.example",
        ] {
            assert_eq!(check("/", &[host]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "a.b.lab.example",
            "lab.example",
            "user@localhost",
            "",
            "a b",
        ] {
            assert_eq!(check("/", &[host]), Err(421), "{host}");
        }
        assert_eq!(check("/", &[]), Err(400));
        assert_eq!(check("/", &["localhost", "localhost"]), Err(400));
        assert_eq!(check("http://evil.example/", &["localhost"]), Err(421));
        assert_eq!(check("http://localhost/", &["localhost"]), Ok(()));
    }
}
