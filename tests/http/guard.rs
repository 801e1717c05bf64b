//! What is refused, and what is never said.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::auth::{Auth, ROLES, token};
use crate::support::pki::Pki;
use crate::support::{PATIENCE, Server, dial_plain, ranked, write_secret};
use crate::visitor::Shown;

const PATHS: [&str; 9] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/server",
    "/api/v1/members",
    "/api/v1/commands",
    "/api/v1/commands/1",
    "/nothing",
];

#[test]
fn every_answer_is_safe_in_a_browser() {
    let shown = Shown::start(9, &[]);
    for path in PATHS {
        let headers = shown.get(path).headers;
        let policy = &headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(
            headers["cross-origin-resource-policy"], "same-origin",
            "{path}"
        );
        for never in ["set-cookie", "access-control-allow-origin"] {
            assert!(!headers.contains_key(never), "{path}: {never}");
        }
    }
}

#[test]
fn nothing_can_be_commanded_and_no_other_site_is_answered() {
    let shown = Shown::start(9, &["--http-host", "relay.example"]);
    let host = shown.address;
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW",
    ] {
        let request = format!(
            "{method} /api/v1/members HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = shown.ask(&request);
        assert_eq!(
            (answer.status, answer.headers["allow"].as_str()),
            (405, "GET"),
            "{method}"
        );
    }
    for (hosts, path, status) in [
        ("Host: localhost\r\n", "/healthz", 200),
        ("Host: relay.example:5580\r\n", "/healthz", 200),
        ("Host: evil.example\r\n", "/healthz", 421),
        ("Host: evil.example\r\n", "/api/v1/members", 421),
        ("Host: relay.example.evil\r\n", "/", 421),
        ("", "/", 400),
        ("Host: localhost\r\nHost: localhost\r\n", "/", 400),
        ("Host: localhost\r\n", "http://evil.example/metrics", 421),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        assert_eq!(shown.ask(&request).status, status, "{hosts:?} {path}");
    }
    for (site, path, status) in [
        ("cross-site", "/api/v1/members", 403),
        ("same-site", "/metrics", 403),
        ("same-origin", "/api/v1/members", 200),
        ("none", "/api/v1/members", 200),
        ("cross-site", "/", 200),
    ] {
        let answer = shown.get_with(path, &[&format!("Sec-Fetch-Site: {site}")]);
        assert_eq!(answer.status, status, "{site} {path}");
    }
}

#[test]
fn a_server_with_a_token_shows_nothing_without_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        write_secret(&path, text);
        path.to_str().expect("UTF-8").to_owned()
    };
    let (join, look) = (
        file("join", "to-join-canary\n"),
        file("look", "to-look-canary\n"),
    );
    let shown = Shown::start(9, &["--token-file", &join, "--http-token-file", &look]);
    for (path, open) in [("/", 200), ("/healthz", 200), ("/readyz", 200)] {
        assert_eq!(shown.get(path).status, open, "{path}");
    }
    for path in [
        "/metrics",
        "/api/v1/server",
        "/api/v1/members",
        "/api/v1/commands",
        "/api/v1/events",
    ] {
        let answer = shown.get(path);
        assert_eq!(
            (answer.status, answer.headers["www-authenticate"].as_str()),
            (401, "Bearer"),
            "{path}"
        );
        for basic in [
            "Authorization: Basic dG8tbG9vay1jYW5hcnk6",
            "Authorization: to-look-canary",
        ] {
            assert_eq!(shown.get_with(path, &[basic]).status, 401, "{path}");
        }
    }
    for right in ["to-look-canary", "to-join-canary"] {
        let answer = shown.get_with(
            "/api/v1/members",
            &[&format!("Authorization: bearer {right}")],
        );
        assert_eq!(answer.status, 200, "{right}");
    }
    // A wrong one is answered a second later, and after 20 of them for a while not heard.
    let asked = Instant::now();
    let wrong =
        |n: usize| shown.get_with("/metrics", &[&format!("Authorization: Bearer wrong-{n}")]);
    assert_eq!(wrong(0).status, 401);
    assert!(asked.elapsed() >= Duration::from_millis(900));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..30)
            .map(|n| scope.spawn(move || wrong(n).status))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("an answer"))
            .collect()
    });
    assert!(
        statuses.contains(&429) && statuses.contains(&401),
        "{statuses:?}"
    );
    let log = shown.server.stderr_lines().join("\n");
    assert!(!log.contains("canary") && !log.contains("wrong-"), "{log}");
}

#[test]
fn what_a_credential_shows_is_what_its_role_gives() {
    let auth = Auth::new(ROLES)
        .with("ops", "operator", "names = [\"*\"]")
        .with("web1", "agent", "names = [\"*\"]")
        .with("dep", "deployer", "names = [\"*\"]");
    let shown = Shown::of(auth.server(9, &["--http", "127.0.0.1:0"]));
    let answer = |id: &str, path: &str| {
        let header = format!("Authorization: Bearer {}", token(id));
        shown.get_with(path, &[&header])
    };
    let get = |id: &str, path: &str| answer(id, path).status;
    for path in ["/api/v1/members", "/api/v1/commands", "/api/v1/events"] {
        assert_eq!(get("web1", path), 403, "{path}");
        assert_eq!(get("dep", path), 403, "{path}");
        assert_eq!(shown.get(path).status, 401, "{path}");
    }
    assert_eq!(
        (
            get("ops", "/api/v1/members"),
            get("ops", "/api/v1/commands")
        ),
        (200, 200)
    );
    assert_eq!(
        (get("dep", "/metrics"), get("web1", "/api/v1/server")),
        (200, 200)
    );
    // Members that left are members.
    for (id, has_departed) in [("web1", false), ("ops", true)] {
        let server = answer(id, "/api/v1/server").body;
        assert_eq!(server.contains("\"departed\""), has_departed, "{server}");
    }
    auth.without("ops");
    let deadline = Instant::now() + PATIENCE;
    while get("ops", "/api/v1/members") == 200 {
        assert!(
            Instant::now() < deadline,
            "a revoked credential still shows members"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_address_that_others_can_reach_takes_tls_and_a_token_or_a_word() {
    use crate::support::programs::{Process, server};
    let pki = Pki::new();
    let pair = pki.server("server");
    let token = pki.write("token", "s3cret-canary\n");
    write_secret(&token, "s3cret-canary\n");
    for (options, expected) in [
        (&[][..], "nothing would be encrypted"),
        (
            &["--cert", &pair.cert, "--key", &pair.key],
            "any visitor there would see",
        ),
        (&["--http-token-file", &token], "nothing would be encrypted"),
    ] {
        let words = [&["--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"], options].concat();
        let ended = Process::start(&mut server(&words)).end();
        assert_eq!(ended.code(), Some(2), "{options:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(expected),
            "{options:?}: {}",
            ended.stderr
        );
    }
    let all = [
        "--cert",
        &pair.cert,
        "--key",
        &pair.key,
        "--http-token-file",
        &token,
        "--http",
        "0.0.0.0:0",
        "--listen",
        "127.0.0.1:0",
    ];
    let server = Process::start(&mut server(&all));
    server.stdout.wait_for("Shown at https://0.0.0.0:");
}

#[test]
fn a_server_that_encrypts_shows_itself_by_tls_alone_with_any_clients_certificate_or_none() {
    let (pki, pair) = &*crate::support::pki::SHARED;
    let ca = pki.ca();
    let options = [
        "--cert",
        &pair.cert,
        "--key",
        &pair.key,
        "--client-ca",
        &ca,
        "--client-cert",
        "required",
    ];
    let shown = Shown::start(9, &options);
    assert_eq!(shown.get("/healthz").body, "ok\n");
    let mut plain = dial_plain(shown.address).expect("it accepts");
    plain.set_read_timeout(Some(PATIENCE)).expect("a time");
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it is taken");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("ok"), "{said:?}");
}

#[test]
fn an_address_in_use_names_its_option() {
    use crate::support::programs::{Process, server};
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("it is bound").to_string();
    let ended = Process::start(&mut server(&[
        "--listen",
        "127.0.0.1:0",
        "--http",
        &address,
    ]))
    .end();
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("{address} is in use")) && ended.stderr.contains("--http"),
        "{}",
        ended.stderr
    );
}

#[test]
fn without_the_option_nothing_listens_and_with_it_the_version_is_said() {
    let server = Server::start(9, &[]);
    let [mut boss, _web] = ranked(&server, [("boss", 0), ("web", 1)]);
    boss.sync();
    assert!(
        !server
            .stderr_lines()
            .iter()
            .any(|line| line.contains("http: listening"))
    );
    let shown = Shown::start(9, &[]);
    let facts = shown.json("/api/v1/server");
    let ended = crate::support::programs::Process::start(&mut crate::support::programs::server(&[
        "--version",
    ]))
    .end();
    let said = String::from_utf8(ended.stdout).expect("a text");
    let expected = format!(
        "pecking-server {} ({})\n",
        facts["version"].as_str().expect("a text"),
        facts["commit"].as_str().expect("a text")
    );
    assert_eq!(said, expected);
}
