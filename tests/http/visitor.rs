//! A visitor: asks a server over HTTP, with a socket and nothing else.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;

use crate::support::pki::SHARED;
use crate::support::{PATIENCE, Server, dial_plain, tunnel};

/// A server, and where it shows itself.
pub(crate) struct Shown {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    is_encrypted: bool,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// A stream of events.
pub(crate) struct Events(BufReader<TcpStream>);

impl Shown {
    /// Starts a server that shows itself on loopback.
    #[track_caller]
    pub(crate) fn start(clients: usize, options: &[&str]) -> Shown {
        let server = Server::start(clients, &[&["--http", "127.0.0.1:0"], options].concat());
        Shown::of(server)
    }

    /// A server that was started with `--http` and port 0.
    #[track_caller]
    pub(crate) fn of(server: Server) -> Shown {
        let line = server.wait_stdout("where it shows itself", |line| {
            line.starts_with("Shown at ")
        });
        let url = line.trim_start_matches("Shown at ");
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let address = rest.trim_end_matches('/').parse().expect("an address");
        Shown {
            server,
            address,
            is_encrypted: scheme == "https",
        }
    }

    /// A connection, through TLS if the server encrypts.
    #[track_caller]
    pub(crate) fn dial(&self) -> TcpStream {
        static CONFIG: LazyLock<Arc<rustls::ClientConfig>> =
            LazyLock::new(|| Arc::new(tunnel::config(&SHARED.0.ca(), &[b"h2", b"http/1.1"])));
        let socket = dial_plain(self.address).expect("the server accepts");
        let socket = match self.is_encrypted {
            true => tunnel::through_with(socket, Arc::clone(&CONFIG)).expect("loopback"),
            false => socket,
        };
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        socket
    }

    /// Asks for a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// Asks for a path, with more headers.
    #[track_caller]
    pub(crate) fn get_with(&self, path: &str, headers: &[&str]) -> Answer {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        self.ask(&format!("{request}Connection: close\r\n\r\n"))
    }

    /// Sends a request as it is, and reads to the end.
    #[track_caller]
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut socket = self.dial();
        socket.write_all(request.as_bytes()).expect("it is taken");
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).expect("an answer");
        Answer::read(&String::from_utf8(bytes).expect("a text"))
    }

    /// What an API path says.
    #[track_caller]
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Asks until something is so.
    #[track_caller]
    pub(crate) fn wait_json(
        &self,
        path: &str,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let value = self.json(path);
            if is_it(&value) {
                return value;
            }
            let is_late = std::time::Instant::now() > deadline;
            assert!(!is_late, "waited for {what}; last: {value}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Begins a stream of events; of HTTP/1.0, so that it comes in one piece.
    #[track_caller]
    pub(crate) fn events(&self) -> Events {
        let mut socket = self.dial();
        let host = self.address;
        let request = format!("GET /api/v1/events HTTP/1.0\r\nHost: {host}\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("it is taken");
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a head");
            assert!(
                !line.starts_with("HTTP/") || line.contains(" 200 "),
                "{line}"
            );
        }
        Events(reader)
    }
}

impl Answer {
    fn read(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        Answer {
            status: status.and_then(|s| s.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

impl Events {
    /// The next event.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("an event comes in time");
            assert!(read > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }

    /// Waits for an event.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let event = self.next();
            if is_it(&event) {
                return event;
            }
            let is_late = std::time::Instant::now() > deadline;
            assert!(!is_late, "waited for {what}; last: {event}");
        }
    }
}
