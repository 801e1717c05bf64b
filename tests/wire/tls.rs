//! TLS at the server: which handshakes it takes, what it says to the others, and what comes of
//! what follows.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::pki::{Pair, Pki, Says};
use crate::support::tunnel::config;
use crate::support::{PATIENCE, Server, checked, dial_plain, set_mode, skipped};

pub(crate) const ALPN: &[u8] = b"pecking-order/1";

const JOIN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1}}"#;

pub(crate) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

fn start(pair: &Pair, options: &[&str]) -> Server {
    let tls = ["--cert", &pair.cert, "--key", &pair.key];
    Server::start(9, &[&tls, options].concat())
}

/// Dials, and begins with TLS.
pub(crate) fn encrypted(server: &Server, config: ClientConfig) -> Encrypted {
    let socket = dial_plain(server.address()).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let name = "localhost".try_into().expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, socket)
}

/// A client's configuration that shows a certificate.
pub(crate) fn showing(pki: &Pki, pair: &Pair) -> ClientConfig {
    let mut config = config(&pki.ca(), &[ALPN]);
    let chain = CertificateDer::pem_file_iter(&pair.cert).expect("a file");
    let chain: Vec<_> = chain.map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = rustls::crypto::ring::default_provider();
    let signer = provider.key_provider.load_private_key(key).expect("a key");
    let certified = rustls::sign::CertifiedKey::new(chain, signer);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}

/// Everything that a connection says until its end, after one line; an error at its end is no
/// part of it.
pub(crate) fn said_after(mut stream: impl Read + Write, line: &str) -> (Vec<Value>, String) {
    let written = stream.write_all(format!("{line}\n").as_bytes());
    let mut bytes = Vec::new();
    let how = match written.and_then(|()| stream.read_to_end(&mut bytes)) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    (
        lines.map(|line| checked(line).expect("a line")).collect(),
        how,
    )
}

/// The first line of what is said after one.
fn answer(mut stream: impl Read + Write, line: &str) -> Result<Value, String> {
    let written = stream.write_all(format!("{line}\n").as_bytes());
    written.map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err("the end".into()),
            Ok(_) => bytes.push(byte[0]),
            Err(e) => return Err(e.to_string()),
        }
    }
    checked(&bytes)
}

#[test]
fn a_plain_line_at_a_tls_port_is_told_to_encrypt_and_nothing_else() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    for first in [JOIN, "GET / HTTP/1.1", "\u{15}\u{3}"] {
        let plain = dial_plain(server.address()).expect("the server accepts");
        plain.set_read_timeout(Some(PATIENCE)).expect("a time");
        let (lines, how) = said_after(plain, &format!("{first}\n{JOIN}"));
        let [line] = &lines[..] else {
            panic!("{first:?}: {lines:?} {how}");
        };
        assert_eq!(
            (&line["id"], &line["error"]["code"]),
            (&json!(null), &json!(13))
        );
    }
    let client = encrypted(&server, config(&pki.ca(), &[ALPN]));
    assert_eq!(
        answer(client, JOIN).expect("an answer")["result"]["rank"],
        0
    );
}

#[test]
fn tls_at_a_plain_port_is_told_so_by_an_alert() {
    let pki = Pki::new();
    let server = Server::start(9, &["--plain"]);
    let client = encrypted(&server, config(&pki.ca(), &[ALPN]));
    let (lines, how) = said_after(client, JOIN);
    assert!(
        lines.is_empty() && how.contains("ProtocolVersion"),
        "{lines:?} {how}"
    );
    server.wait_stderr("a line about it", |line| {
        line.contains(" WARN ") && line.contains("TLS, refused")
    });
}

#[test]
fn a_client_must_name_the_protocol() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    let other = encrypted(&server, config(&pki.ca(), &[b"h2", b"http/1.1"]));
    let (lines, how) = said_after(other, JOIN);
    assert!(
        lines.is_empty() && how.contains("NoApplicationProtocol"),
        "{lines:?} {how}"
    );
    let none = encrypted(&server, config(&pki.ca(), &[]));
    let (lines, _) = said_after(none, JOIN);
    let [line] = &lines[..] else {
        panic!("one line: {lines:?}");
    };
    assert_eq!(line["error"]["code"], -32600);
    assert!(
        line["error"]["message"]
            .to_string()
            .contains("pecking-order/1"),
        "{line}"
    );
    let among_others = encrypted(&server, config(&pki.ca(), &[b"h2", ALPN]));
    assert!(answer(among_others, JOIN).is_ok());
}

#[test]
fn a_client_is_known_by_the_one_name_of_its_certificate() {
    let (pki, others) = (Pki::new(), Pki::new());
    let says = |names, from, until| Says {
        names,
        for_clients: true,
        from,
        until,
        ..Says::default()
    };
    let uri: &[&str] = &["pecking:web1"];
    let for_servers = Says {
        names: uri,
        for_servers: true,
        ..Says::default()
    };
    let required = ["--client-ca", &pki.ca(), "--client-cert", "required"];
    let required = start(&pki.server("server"), &required);
    let cases = [
        ("uri", pki.client("uri", uri), Ok(())),
        ("dns", pki.client("dns", &["web1.example"]), Ok(())),
        (
            "uri-dns",
            pki.client("uri-dns", &["pecking:a", "a", "b"]),
            Ok(()),
        ),
        (
            "uris",
            pki.client("uris", &["pecking:a", "pecking:b"]),
            Err("2 subject alternative"),
        ),
        (
            "hosts",
            pki.client("hosts", &["a", "b"]),
            Err("2 subject alternative"),
        ),
        (
            "common-name",
            pki.client("common-name", &[]),
            Err("no subject alternative"),
        ),
        (
            "expired",
            pki.issue("expired", &says(uri, -9, -1)),
            Err("CertificateExpired"),
        ),
        (
            "early",
            pki.issue("early", &says(uri, 1, 9)),
            Err("CertificateExpired"),
        ),
        (
            "of-servers",
            pki.issue("of-servers", &for_servers),
            Err("UnsupportedCertificate"),
        ),
        (
            "of-others",
            others.client("of-others", uri),
            Err("UnknownCA"),
        ),
    ];
    for (name, pair, expected) in cases {
        let client = encrypted(&required, showing(&pki, &pair));
        let outcome = answer(client, JOIN).and_then(|answer| match &answer["error"] {
            Value::Null => Ok(()),
            error => Err(error["message"].to_string()),
        });
        match (&outcome, expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(part)) => assert!(why.contains(part), "{name}: {why}"),
            _ => panic!("{name}: {outcome:?} for {expected:?}"),
        }
    }
    let without = || config(&pki.ca(), &[ALPN]);
    let error = answer(encrypted(&required, without()), JOIN).expect_err("one is required");
    assert!(error.contains("CertificateRequired"), "{error}");
    let optional = ["--client-ca", &pki.ca(), "--client-cert", "optional"];
    let optional = start(&pki.server("server"), &optional);
    assert!(answer(encrypted(&optional, without()), JOIN).is_ok());
    let of_others = others.client("of-others", uri);
    let of_others = encrypted(&optional, showing(&pki, &of_others));
    assert!(
        answer(of_others, JOIN).is_err(),
        "one that is shown must be right"
    );
}

/// The first bytes that a client says.
fn hello(pki: &Pki) -> Vec<u8> {
    let config = Arc::new(config(&pki.ca(), &[ALPN]));
    let name = "localhost".try_into().expect("a name");
    let mut session = ClientConnection::new(config, name).expect("a session");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("memory takes it");
    bytes
}

#[test]
fn a_handshake_ends_in_time_whatever_drips() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    let hello = hello(&pki);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let dripped = |first: usize| {
            let (server, hello) = (&server, &hello);
            scope.spawn(move || {
                let mut socket = dial_plain(server.address()).expect("the server accepts");
                socket.write_all(&hello[..first]).expect("it takes it");
                let tick = Some(Duration::from_millis(500));
                socket.set_read_timeout(tick).expect("a time");
                let mut rest = hello[first..].iter();
                loop {
                    match socket.read(&mut [0; 4096]) {
                        Ok(0) => return,
                        Err(e) if e.kind() != ErrorKind::WouldBlock => return,
                        _ => {}
                    }
                    assert!(
                        began.elapsed() < Duration::from_secs(8),
                        "after {first} bytes"
                    );
                    if let Some(byte) = rest.next() {
                        let _ = socket.write_all(&[*byte]);
                    }
                }
            });
        };
        // Nothing, some of it, and all of it and then silence.
        [0, 1, 5, 100, hello.len()].into_iter().for_each(dripped);
        let newcomer = encrypted(&server, config(&pki.ca(), &[ALPN]));
        assert!(answer(newcomer, JOIN).is_ok());
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "it need not wait for those"
        );
    });
}

#[test]
fn garbage_and_hellos_without_an_end_are_refused() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    let record = |bytes: &[u8]| {
        let length = (bytes.len() as u16).to_be_bytes();
        [&[22, 3, 1][..], &length, bytes].concat()
    };
    // A ClientHello of 60,000 bytes, in records of 10,000.
    let mut endless = vec![1, 0, 0xea, 0x60];
    endless.resize(60_000, 0);
    let endless: Vec<u8> = endless.chunks(10_000).flat_map(record).collect();
    for bytes in [record(b"no handshake at all"), record(&[]), endless] {
        let mut socket = dial_plain(server.address()).expect("the server accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        // It may be closed before it has taken all of that.
        let _ = socket.write_all(&bytes);
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said);
        assert!(
            said.is_empty() || said[0] == 21,
            "an alert, if anything: {said:?}"
        );
    }
    let client = encrypted(&server, config(&pki.ca(), &[ALPN]));
    assert!(answer(client, JOIN).is_ok());
}

#[test]
fn certificates_that_are_replaced_count_and_wrong_ones_do_not() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    let shown = || {
        let mut client = encrypted(&server, config(&pki.ca(), &[ALPN]));
        client.flush().expect("a handshake");
        let chain = client.conn.peer_certificates().expect("a certificate");
        chain[0].to_vec()
    };
    let mut member = encrypted(&server, config(&pki.ca(), &[ALPN]));
    assert!(answer(&mut member, JOIN).is_ok());
    let first = shown();
    // The key comes first, so for a moment the two do not fit.
    let other = pki.server("other");
    let text = |file: &str| std::fs::read_to_string(file).expect("a file");
    pki.write("server.key", &text(&other.key));
    let log = |part: &'static str| move |line: &str| line.contains(part);
    server.wait_stderr("that they do not fit", log("the old ones stay in use"));
    assert_eq!(shown(), first);
    let used = |count: usize| {
        let seen = Cell::new(0);
        server.wait_stderr("that they are used", |line| {
            seen.set(seen.get() + usize::from(line.contains("connections from now on use them")));
            seen.get() >= count
        });
    };
    pki.write("server.pem", &text(&other.cert));
    used(1);
    let second = shown();
    assert_ne!(second, first);
    // What could not be read counts once it can be.
    set_mode(pki.path(""), 0o770);
    let third = pki.server("third");
    pki.write("server.key", &text(&third.key));
    pki.write("server.pem", &text(&third.cert));
    server.wait_stderr("that the folder is not safe", log("0770"));
    assert_eq!(shown(), second);
    set_mode(pki.path(""), 0o700);
    used(2);
    assert_ne!(shown(), second);
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#;
    assert_eq!(answer(member, ping).expect("it is still here")["id"], 2);
}

#[test]
fn python_takes_part_and_its_tls_1_2_does_not() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &["--client-ca", &pki.ca()]);
    let client = pki.client("python", &["pecking:python"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wire/tls_client.py");
    let python = Command::new("python3")
        .arg(script)
        .arg(server.address().port().to_string())
        .args([&pki.ca(), &client.cert, &client.key])
        .output();
    let Ok(python) = python else {
        return skipped("python3 is not installed");
    };
    let printed = String::from_utf8_lossy(&python.stdout);
    let complained = String::from_utf8_lossy(&python.stderr);
    if printed.contains("no ssl module") {
        return skipped("python3 has no ssl module");
    }
    assert!(python.status.success(), "{printed}{complained}");
    assert!(printed.contains("all is well"), "{printed}{complained}");
}

#[test]
fn a_client_comes_back_to_its_lines_over_another_encrypted_connection() {
    let pki = Pki::new();
    let server = start(&pki.server("server"), &[]);
    let client = || encrypted(&server, config(&pki.ca(), &[ALPN]));
    let mut first = client();
    let join = r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1,"hold":true}}"#;
    let mut token = answer(&mut first, join).expect("it joins")["result"]["resume"]["token"].take();
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#;
    assert_eq!(
        answer(&mut first, ping).expect("a pong")["result"],
        json!({})
    );
    for received in 1..4 {
        // The connection before is still there, and goes.
        let mut back = client();
        let join = json!({"jsonrpc": "2.0", "id": 3, "method": "join", "params": {
            "protocol": 1, "resume": {"token": token, "received": received},
        }});
        let mut joined = answer(&mut back, &join.to_string()).expect("it is back");
        assert_eq!(joined["result"]["resumed"], "lines", "{joined}");
        token = joined["result"]["resume"]["token"].take();
        assert_eq!(
            answer(&mut back, ping).expect("a pong")["result"],
            json!({})
        );
        first = back;
    }
    drop(first);
}
