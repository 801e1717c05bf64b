//! TLS as an operator and a user meet it: which servers the client trusts, what it says of the
//! others, and what neither program does in the clear by itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::support::dialled::{accept, nowhere};
use crate::support::pki::{Pair, Pki, Says};
use crate::support::programs::{Process, Server, client, server};
use crate::support::{PATIENCE, skipped};

fn encrypting(pair: &Pair) -> Server {
    Server::start(&["--cert", &pair.cert, "--key", &pair.key])
}

/// The command line of a client that dials a server that encrypts.
fn to(server: &Server, words: &[&str]) -> Command {
    to_host("127.0.0.1", server, words)
}

fn to_host(host: &str, server: &Server, words: &[&str]) -> Command {
    let address = format!("tls://{host}:{}", server.address().port());
    let mut command = client(&["--server", &address]);
    command.args(words);
    command
}

fn says<'a>(names: &'a [&'a str]) -> Says<'a> {
    Says {
        names,
        for_servers: true,
        ..Says::default()
    }
}

#[test]
fn a_server_is_trusted_for_its_authority_or_a_pin_and_for_nothing_else() {
    let (pki, others) = (Pki::new(), Pki::new());
    let own = pki.server("server");
    let server = encrypting(&own);
    let address = |pin: &str| format!("tls://{}#{pin}", server.address());
    let (ca, other_ca) = (pki.ca(), others.ca());
    let (ca_pin, other_pin) = (pki.ca_pin(), others.ca_pin());
    let cases: [(&[&str], Result<(), &str>); 9] = [
        (&["--ca", &ca], Ok(())),
        (&["--server", &address(&ca_pin)], Ok(())),
        (&["--server", &address(&own.pin)], Ok(())),
        (
            &["--pin", &other_pin, "--pin", &ca_pin, "--ca", &ca],
            Ok(()),
        ),
        (
            &["--ca", &other_ca],
            Err("no authority that this client trusts"),
        ),
        (
            &["--ca", &ca, "--pin", &other_pin],
            Err("has the pin of its address"),
        ),
        (&["--ca", &other_ca, "--pin", &own.pin], Err("no authority")),
        (
            &["--server", &address(&other_pin)],
            Err("has the pin of its address"),
        ),
        (
            &["--ca", &ca, "--server-name", "other.example"],
            Err("\"other.example\""),
        ),
    ];
    for (options, expected) in cases {
        let mut command = match options.contains(&"--server") {
            true => client(options),
            false => to(&server, options),
        };
        let ended = Process::start(command.arg("members")).end();
        match expected {
            Ok(()) => ended.expect_code(0),
            Err(why) => {
                // A pin that it has told itself is not there to be pasted.
                assert!(!ended.stderr.contains(&own.pin[7..]), "{}", ended.stderr);
                ended
                    .expect_code(255)
                    .expect_one_line(&["error: ", "is not trusted", why])
            }
        };
    }
}

#[test]
fn what_is_wrong_with_a_servers_certificate_is_named() {
    let pki = Pki::new();
    let expired = Says {
        from: -9,
        until: -1,
        ..says(&["localhost", "127.0.0.1"])
    };
    let early = Says {
        from: 1,
        until: 9,
        ..says(&["localhost", "127.0.0.1"])
    };
    let common_name: &[&str] = &[];
    let of_clients = pki.client("client", &["localhost", "127.0.0.1"]);
    for (pair, why, pinned) in [
        (pki.issue("expired", &expired), "expired", 0),
        (pki.issue("early", &early), "not valid yet", 0),
        (
            pki.issue("elsewhere", &says(&["relay.example"])),
            "not valid for name",
            0,
        ),
        (
            pki.issue("127.0.0.1", &says(common_name)),
            "not valid for",
            0,
        ),
        (of_clients, "is not one for servers", 0),
    ] {
        let server = encrypting(&pair);
        for by in [["--ca", &pki.ca()], ["--pin", &pki.ca_pin()]] {
            let ended = Process::start(to(&server, &by).arg("members")).end();
            ended
                .expect_code(255)
                .expect_one_line(&["error: ", "is not trusted", why]);
        }
        // Whose own key is pinned is known, as by `known_hosts`.
        let ended = Process::start(to(&server, &["--pin", &pair.pin]).arg("members")).end();
        ended.expect_code(pinned);
    }
}

#[test]
fn files_that_are_no_pair_are_told_at_both_ends() {
    let (pki, folder) = (Pki::new(), tempfile::tempdir().expect("a folder"));
    let (one, other) = (pki.server("one"), pki.client("other", &["pecking:other"]));
    let nothing = pki.write("nothing", "no certificate\n");
    let broken = pki.write("broken", "-----BEGIN CERTIFICATE-----\n!\n");
    let readable = pki.write(
        "readable",
        &std::fs::read_to_string(&one.key).expect("a key"),
    );
    crate::support::set_mode(&readable, 0o644);
    let missing = folder.path().join("missing").to_string_lossy().into_owned();
    let is_folder = folder.path().to_string_lossy().into_owned();
    let (nowhere, ca) = (format!("tls://{}", nowhere()), pki.ca());
    for (cert, key, why) in [
        (
            &one.cert,
            &other.key,
            "is not the key of the certificate in",
        ),
        (&one.cert, &readable, "every user can read it"),
        (&one.cert, &nothing, "no PRIVATE KEY in PEM form"),
        (&one.cert, &one.cert, "no PRIVATE KEY in PEM form"),
        (&nothing, &one.key, "no CERTIFICATE in PEM form"),
        (&broken, &one.key, "PEM form is broken"),
        (&missing, &one.key, "cannot be read"),
        (&is_folder, &one.key, "is no regular file"),
    ] {
        let pair = ["--cert", cert, "--key", key];
        let at_server = server(&[&pair[..], &["--listen", "127.0.0.1:0"]].concat());
        let trusting = [&pair[..], &["--server", &nowhere, "--ca", &ca]].concat();
        let at_client = client(&[&trusting[..], &["members"]].concat());
        for mut command in [at_server, at_client] {
            Process::start(&mut command)
                .end()
                .expect_code(2)
                .expect_one_line(&["error: ", why]);
        }
    }
    for (words, why) in [
        (
            &["--ca", "f"][..],
            "--ca needs an address with tls://, or --tls",
        ),
        (&["--pin", &pki.ca_pin()], "--pin needs"),
        (&["--cert", &one.cert, "--key", &one.key], "--cert needs"),
        (&["--server-name", "h"], "--server-name needs"),
        (
            &["--tls", "--plain"],
            "--plain is for connections without TLS",
        ),
        (&["--tls", "--cert", &one.cert], "--key <FILE>"),
        (
            &["--tls", "--pin", "sha256:0"],
            "expected sha256: and 64 hex digits",
        ),
        (&["--tls", "--ca", &missing], "cannot be read"),
        (&["--tls", "--server-name", "a b"], "is no host name"),
    ] {
        let ended = Process::start(client(words).arg("members")).end();
        ended.expect_code(2).expect_one_line(&["error: ", why]);
    }
}

#[test]
fn everything_works_encrypted() {
    let pki = Pki::new();
    let server_pair = pki.server("server");
    let tls = ["--cert", &server_pair.cert, "--key", &server_pair.key];
    let clients = ["--client-ca", &pki.ca(), "--client-cert", "required"];
    let server = Server::start(&[&tls[..], &clients, &["20"]].concat());
    let own = |name: &str| {
        let pair = pki.client(name, &[&format!("pecking:{name}")]);
        let options = ["--cert", &pair.cert, "--key", &pair.key, "--ca", &pki.ca()];
        to_host("localhost", &server, &options)
    };
    let run = Process::start(own("alice").args(["run", "--wait-for", "1", "--", "print"]));
    run.stderr.wait_for("waiting for clients below");
    let worker = Process::start(own("web1").args(["work", "--name", "web1"]));
    worker.stderr.wait_for("joined as web1");
    run.end().expect_code(0);
    let bench = [
        "bench", "--count", "2000", "--window", "64", "--json", "--pairs", "3",
    ];
    let ended = Process::start(own("bench").args(bench)).end();
    ended.expect_code(0);
    let payload = [
        "bench",
        "--count",
        "20",
        "--payload",
        "500KiB",
        "--result",
        "500KiB",
    ];
    Process::start(own("bench2").args(payload))
        .end()
        .expect_code(0);
    // Without its certificate no client gets in, and is told why.
    let without = to(&server, &["--ca", &pki.ca(), "members"]);
    let ended = Process::start(&mut { without }).end();
    ended
        .expect_code(255)
        .expect_one_line(&["error: ", "it asks for this client's certificate (--cert"]);
}

#[test]
fn neither_program_says_anything_in_the_clear_by_mistake() {
    let pki = Pki::new();
    let token = pki.write("token", "s3cret\n");
    // Each says hello to a listener that records what comes.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let tls = format!("tls://{address}");
    let options = ["--server", &tls, "--token-file", &token, "--ca", &pki.ca()];
    for answer in [
        &b"{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        // The alert of a server that does not encrypt.
        &[21, 3, 3, 0, 2, 2, 70],
        b"",
    ] {
        let dialling = Process::start(client(&options).arg("members"));
        let mut heard = accept(&listener);
        heard.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut first = [0; 5];
        heard.read_exact(&mut first).expect("a ClientHello");
        let length = usize::from(u16::from_be_bytes([first[3], first[4]]));
        let mut hello = vec![0; length];
        heard.read_exact(&mut hello).expect("a ClientHello");
        heard.write_all(answer).expect("it listens");
        heard
            .shutdown(std::net::Shutdown::Write)
            .expect("it listens");
        let mut rest = Vec::new();
        let _ = heard.read_to_end(&mut rest);
        let said = [&first[..], &hello, &rest].concat();
        assert!(!said.windows(6).any(|part| part == b"s3cret"), "{answer:?}");
        let is_alert = rest.is_empty() || rest.starts_with(&[21, 3]);
        assert!(is_alert, "no line: {rest:?}");
        dialling
            .end()
            .expect_code(255)
            .expect_one_line(&["error: "]);
    }
    // A plain client at a server that encrypts is told what it needs.
    let server = encrypting(&pki.server("server"));
    let ended = Process::start(&mut server.client(&["members"])).end();
    ended.expect_code(255).expect_one_line(&["tls://HOST:PORT"]);
    // And the other way round.
    let server = Server::start(&["--plain"]);
    let ended = Process::start(&mut to(&server, &["--ca", &pki.ca(), "members"])).end();
    ended
        .expect_code(255)
        .expect_one_line(&["no encrypted connection", "leave tls:// and --tls out"]);
}

/// An address of this machine that is not loopback.
fn other_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only looks which way it would go.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn a_client_shows_no_token_and_runs_no_program_in_the_clear_for_another_machine() {
    let Some(address) = other_address() else {
        return skipped("this machine has no address but loopback");
    };
    let pki = Pki::new();
    let (token, policy) = (
        pki.write("token", "s3cret\n"),
        pki.write("policy.toml", "[commands.up]\nrun = [\"/bin/true\"]\n"),
    );
    let mut command = server(&["--plain", "--token-file", &token, "--listen", "0.0.0.0:0"]);
    let open = Process::start(&mut command);
    let port = open.stdout.wait("the address it listens on", |text| {
        let (line, _) = text.split_once('\n')?;
        line.rsplit_once(':')?.1.parse::<u16>().ok()
    });
    let there = format!("{address}:{port}");
    let root = ["--allow-any", "--allow-root"];
    for options in [&["--token-file", &token][..], &["--policy", &policy], &root] {
        let words = [&["--server", &there], options].concat();
        let ended = Process::start(client(&words).arg("members")).end();
        ended.expect_code(2);
        // As root it warns before, of what programs may do here.
        for part in ["is another machine", "tls://", "--plain"] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
    let words = [
        "--server",
        &there,
        "--plain",
        "--token-file",
        &token,
        "members",
    ];
    Process::start(&mut client(&words)).end().expect_code(0);
    open.signal(rustix::process::Signal::TERM);
    open.end().expect_code(0);
}

#[test]
fn a_service_outlives_a_change_of_its_servers_certificate() {
    let (pki, others) = (Pki::new(), Pki::new());
    let (own, other) = (pki.server("server"), others.server("server"));
    // Without a hold: a service that loses its server looks for it at once, not once that is over.
    let options = |pair: &Pair| {
        let words = ["--hold", "0s", "--cert", &pair.cert, "--key", &pair.key];
        words.map(str::to_owned)
    };
    let words = options(&own);
    let mut server = Server::start(&words.each_ref().map(String::as_str));
    let words = ["--ca", &pki.ca(), "work", "--name", "web1"];
    let worker = Process::start(&mut to(&server, &words));
    worker.stderr.wait_for("joined as web1");
    let mut replace = |pair: &Pair| {
        let words = options(pair);
        server.replace(&words.each_ref().map(String::as_str));
    };
    replace(&other);
    worker.stderr.wait_for("is not trusted");
    std::thread::sleep(Duration::from_millis(10));
    replace(&own);
    worker.stderr.wait_for("joined again as");
    // One that was never connected does not wait.
    let impostor = encrypting(&other);
    let words = ["--ca", &pki.ca(), "--wait", "work"];
    let ended = Process::start(&mut to(&impostor, &words)).end();
    ended.expect_code(255).expect_one_line(&["is not trusted"]);
}
