//! A browser without a window, through its driver (WebDriver, a W3C recommendation).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::support::{PATIENCE, skipped};

/// How WebDriver names a key: <https://www.w3.org/TR/webdriver2/#keyboard-actions>.
pub(crate) mod key {
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const HOME: &str = "\u{e011}";
    pub(crate) const UP: &str = "\u{e013}";
    pub(crate) const DOWN: &str = "\u{e015}";
    pub(crate) const PAGE_DOWN: &str = "\u{e00f}";
}

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// A picture.
pub(crate) struct Picture {
    pub(crate) colours: usize,
    /// From 0, black, to 255.
    pub(crate) brightness: u64,
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let all = std::env::split_paths(&path);
    all.flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

/// How often the driver is started until it has a port.
const TRIES: usize = 5;

/// Starts the driver, and waits until it says which port it has; `None` if it ends without one.
fn start(driver: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(driver)
        .arg("--port=0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the driver starts");
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
    let port = lines.find_map(|line| {
        let line = line.ok()?;
        let (_, port) = line.rsplit_once("on port ")?;
        // First it says that it starts on port 0.
        let port = port.trim_end_matches('.').parse().ok();
        port.filter(|port| *port > 0)
    });
    std::thread::spawn(move || lines.for_each(drop));
    if port.is_none() {
        driver.wait().expect("it has ended");
    }
    Some((driver, port?))
}

impl Browser {
    /// Opens a page in a window; `None`, which says so, without a browser.
    #[track_caller]
    pub(crate) fn open(url: &str) -> Option<Browser> {
        let browser = program(&["chromium", "chromium-browser", "google-chrome"]);
        let (Some(browser), Some(driver)) = (browser, program(&["chromedriver"])) else {
            skipped("there is no chromium with chromedriver");
            return None;
        };
        // It takes the port of one family of addresses first, and ends if that of the other is not free.
        let started = (0..TRIES).find_map(|_| start(&driver));
        let (driver, port) = started.expect("a port");
        let mut opened = Browser {
            driver,
            port,
            session: String::new(),
        };
        let session = opened.call("POST", "", &json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {
                "binary": browser,
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                    "--window-size=1280,860"],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }}}));
        opened.session = session["sessionId"].as_str().expect("a session").to_owned();
        opened.call("POST", "/url", &json!({ "url": url }));
        Some(opened)
    }

    /// Opens the page anew, as on a screen of this size.
    #[track_caller]
    pub(crate) fn open_again(&self, width: u32, height: u32) {
        let params =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let resize = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": params});
        self.call("POST", "/goog/cdp/execute", &resize);
        self.call("POST", "/refresh", &json!({}));
    }

    /// Has a script run in the page, and gives what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(script) != true {
            assert!(
                Instant::now() < deadline,
                "waited for {what}; the page: {}",
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text of the first element that a selector finds.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "return document.querySelector({selector:?}).innerText"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys, one after another.
    #[track_caller]
    pub(crate) fn press(&self, keys: &[&str]) {
        let pressed = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|what| json!({"type": what, "value": key})));
        let actions: Vec<Value> = pressed.collect();
        self.call(
            "POST",
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}),
        );
    }

    /// A picture of what is seen; its PNG goes into a file, too, if that is named in the environment.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str) -> Picture {
        let shot = self.call("GET", "/screenshot", &Value::Null);
        let png = BASE64_STANDARD
            .decode(shot.as_str().expect("a picture"))
            .expect("base64");
        if let Some(folder) = std::env::var_os("PECKING_TEST_PICTURES") {
            let file = PathBuf::from(folder).join(format!("{name}.png"));
            std::fs::write(file, &png).expect("the folder can be written");
        }
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a PNG");
        let pixels = pixels[..info.buffer_size()].chunks(info.color_type.samples());
        let (mut colours, mut sum, mut count) = (std::collections::HashSet::new(), 0, 0);
        let (mut last, mut parts) = (&[][..], 0);
        for pixel in pixels {
            // Most pixels are like the one before.
            if pixel != last {
                colours.insert([pixel[0], pixel[1], pixel[2]]);
                parts = pixel[..3].iter().map(|part| u64::from(*part)).sum();
                last = pixel;
            }
            sum += parts;
            count += 3;
        }
        Picture {
            colours: colours.len(),
            brightness: sum / count,
        }
    }

    /// What the browser has to complain about.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"}));
        let lines = log.as_array().cloned().unwrap_or_default();
        let bad = lines
            .iter()
            .filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        bad.map(|line| line["message"].to_string()).collect()
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let session = match self.session.as_str() {
            "" => "/session".to_owned(),
            session => format!("/session/{session}{path}"),
        };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        let head = format!(
            "{method} {session} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket
            .write_all(format!("{head}{body}").as_bytes())
            .expect("it is taken");
        let mut reader = BufReader::new(socket);
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            assert!(
                reader.read_line(&mut line).expect("an answer") > 0,
                "the driver hung up"
            );
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).expect("an answer");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(
            answer["value"]["error"].is_null(),
            "{method} {session}: {}",
            answer["value"]
        );
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with its session; a failed test may have none.
        if !self.session.is_empty() {
            let end = format!(
                "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n",
                self.session
            );
            if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) {
                let _ = socket.set_read_timeout(Some(PATIENCE));
                let _ = socket.write_all(end.as_bytes());
                let _ = socket.read(&mut [0; 1]);
            }
        }
        // What is left of both: they are one process group.
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}
