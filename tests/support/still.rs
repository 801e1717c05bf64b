//! A client that reads nothing by itself and has no thread: for tests of what happens to
//! one that does not keep up, does not answer, or goes without a word.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, Server, dial, left, tunnel};

/// A way to go, with what a failed test calls it.
pub(crate) type Way = (&'static str, fn(Still));

/// A joined client that lies still.
pub(crate) struct Still {
    stream: TcpStream,
    /// The result of its `join`.
    pub(crate) joined: Value,
}

impl Still {
    /// Connects and joins, and reads nothing more.
    #[track_caller]
    pub(crate) fn join(server: &Server, name: &str, slots: u32) -> Self {
        let stream = dial(server.address());
        Self::join_over(
            stream,
            &json!({"protocol": 1, "name": name, "slots": slots}),
        )
    }

    /// Connects and joins with these parameters, and the protocol's version.
    #[track_caller]
    pub(crate) fn join_with(server: &Server, mut params: Value) -> Self {
        params["protocol"] = 1.into();
        Self::join_over(dial(server.address()), &params)
    }

    #[track_caller]
    fn join_over(stream: TcpStream, params: &Value) -> Self {
        let mut still = Self {
            stream,
            joined: Value::Null,
        };
        still.send(&json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "join",
            "params": params,
        }));
        let answer: Value = serde_json::from_str(&still.read_line()).expect("an answer to join");
        still.joined = answer["result"].clone();
        assert!(still.joined.is_object(), "join was answered with {answer}");
        still
    }

    /// [`Still::join`] with a buffer of so many bytes for what it does not read, so that the
    /// server soon has to keep the rest.
    #[track_caller]
    pub(crate) fn join_narrow(server: &Server, name: &str, slots: u32, bytes: usize) -> Self {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        // What is set later is not what the other end was told at first.
        sockopt::set_socket_recv_buffer_size(&socket, bytes).expect("a socket has a buffer");
        connect(&socket, &server.address()).expect("the server accepts");
        let params = json!({"protocol": 1, "name": name, "slots": slots});
        let socket = TcpStream::from(socket);
        let socket = match tunnel::is_carrier() {
            true => tunnel::through_narrow(socket, bytes).expect("a tunnel"),
            false => socket,
        };
        Self::join_over(socket, &params)
    }

    /// Writes one message.
    #[track_caller]
    pub(crate) fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stream
            .write_all(line.as_bytes())
            .expect("the server takes what is written");
    }

    /// Reads one line, and not a byte beyond it.
    #[track_caller]
    pub(crate) fn read_line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            self.wait_readable(deadline);
            match self.stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                other => panic!("waited for the rest of a line, got {other:?} after {line:?}"),
            }
        }
        String::from_utf8(line).expect("the server writes UTF-8")
    }

    /// Reads one line, in pieces as large as what is there: for lines after which nothing
    /// comes, or that are too long to be read byte by byte.
    #[track_caller]
    pub(crate) fn read_line_quickly(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut line = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while line.last() != Some(&b'\n') {
            self.wait_readable(deadline);
            let there = self.stream.peek(&mut buffer).expect("it comes in time");
            assert!(there > 0, "the connection ended within a line");
            let end = buffer[..there].iter().position(|byte| *byte == b'\n');
            let wanted = end.map_or(there, |at| at + 1);
            let read = self
                .stream
                .read(&mut buffer[..wanted])
                .expect("it is there");
            line.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(line).expect("the server writes UTF-8")
    }

    /// Reads lines up to the one that is the last, which is part of what this gives. What came
    /// right behind it is read as well, and dropped.
    #[track_caller]
    pub(crate) fn read_lines(&mut self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = BufReader::with_capacity(64 << 10, &self.stream);
        let mut lines = Vec::new();
        loop {
            self.wait_readable(deadline);
            let mut line = String::new();
            let read = stream.read_line(&mut line).expect("it comes in time");
            assert!(read > 0, "the connection ended after {:?}", lines.last());
            let is_over = is_last(&line);
            lines.push(line);
            if is_over {
                return lines;
            }
        }
    }

    /// Reads all that there is at this moment.
    #[track_caller]
    pub(crate) fn read_there(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        self.stream.set_nonblocking(true).expect("an open socket");
        while let Ok(read @ 1..) = self.stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..read]);
        }
        self.stream.set_nonblocking(false).expect("an open socket");
        all
    }

    /// Reads all that comes before a deadline.
    #[track_caller]
    pub(crate) fn read_until(&mut self, deadline: Instant) {
        let mut buffer = vec![0; 256 << 10];
        while Instant::now() < deadline {
            self.wait_readable(deadline);
            // An error says that nothing came in time.
            let read = self.stream.read(&mut buffer);
            assert!(!matches!(read, Ok(0)), "the connection ended");
        }
    }

    /// Reads of what there is at this moment so many bytes at most; says how many.
    #[track_caller]
    pub(crate) fn take(&mut self, most: usize) -> usize {
        self.stream.set_nonblocking(true).expect("an open socket");
        let taken = self.stream.read(&mut vec![0; most]).unwrap_or(0);
        self.stream.set_nonblocking(false).expect("an open socket");
        taken
    }

    /// Reads all that comes until the connection ends, however it ends.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        let mut buffer = [0; 64 << 10];
        loop {
            assert!(Instant::now() < deadline, "waited for the connection's end");
            self.wait_readable(deadline);
            match self.stream.read(&mut buffer) {
                Ok(0) => return all,
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("waited for the connection's end: {error}"),
            }
        }
    }

    /// Breaks the connection off with a reset instead of a regular end.
    pub(crate) fn reset(self) {
        let at_once = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, at_once)
            .expect("a socket can be told not to linger");
    }

    /// Closes both halves regularly.
    pub(crate) fn close(self) {
        // The server may have been quicker; either way it is closed afterwards.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    #[track_caller]
    fn wait_readable(&self, deadline: Instant) {
        self.stream
            .set_read_timeout(Some(left(deadline)))
            .expect("a socket has a read time-out");
    }
}
