//! Every method, in every state of a client, with every right: one table, in which a method
//! without a row does not compile.

use crate::support::auth::{Auth, token};
use crate::support::{Raw, Server};
use common::wire::method::ClientMethod;
use serde_json::{Value, json};

/// What a client is when it calls a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotJoined,
    /// Joined, with a role that has these rights.
    Joined(Rights),
    /// Its credential was taken from the file.
    Revoked,
    /// Joined with all rights, and the server drains.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    send: bool,
    execute: bool,
    list: bool,
}

/// What a method is called for: one client, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    One,
    Many,
}

/// What becomes of a call.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The error with this code.
    Error(i64),
    /// The outcomes, in the order of their names.
    Outcomes(&'static [(&'static str, &'static str)]),
    /// The names of clients.
    Names(&'static [&'static str]),
    /// An empty object.
    Empty,
    /// None, and the client goes on.
    Nothing,
    /// The end of the connection, in good order or after a `bye`.
    End,
}

const INVALID_PARAMS: i64 = -32602;
const NOT_JOINED: i64 = 3;
const ALREADY_JOINED: i64 = 4;
const SHUTTING_DOWN: i64 = 10;
const FORBIDDEN: i64 = 11;

/// The table: what each method answers. Below the caller are `web1`, which its role covers, and
/// `db1`, which it does not.
fn expected(method: ClientMethod, state: State, to: To) -> Answer {
    if state == State::Revoked {
        return Answer::End;
    }
    let rights = match state {
        State::Joined(rights) => rights,
        _ => Rights {
            send: true,
            execute: true,
            list: true,
        },
    };
    let is_new = state == State::NotJoined;
    match method {
        ClientMethod::Join if is_new => Answer::Nothing,
        ClientMethod::Join => Answer::Error(ALREADY_JOINED),
        ClientMethod::Send
        | ClientMethod::Select
        | ClientMethod::Jobs
        | ClientMethod::Job
        | ClientMethod::CancelJob
        | ClientMethod::Members
        | ClientMethod::Watch
        | ClientMethod::Ping
            if is_new =>
        {
            Answer::Error(NOT_JOINED)
        }
        // The caller has none, and no right changes that.
        ClientMethod::Jobs => Answer::Names(&[]),
        ClientMethod::Job | ClientMethod::CancelJob => Answer::Error(INVALID_PARAMS),
        ClientMethod::Send | ClientMethod::Select if !rights.send => Answer::Error(FORBIDDEN),
        ClientMethod::Send | ClientMethod::Select if state == State::Draining => {
            Answer::Error(SHUTTING_DOWN)
        }
        ClientMethod::Select => match (to, rights.list) {
            (To::One, _) => Answer::Error(FORBIDDEN),
            (To::Many, true) => Answer::Names(&["web1", "db1"]),
            (To::Many, false) => Answer::Names(&["web1"]),
        },
        ClientMethod::Send => match (to, rights.list) {
            (To::One, _) => Answer::Error(FORBIDDEN),
            (To::Many, true) => Answer::Outcomes(&[("db1", "forbidden"), ("web1", "done")]),
            (To::Many, false) => Answer::Outcomes(&[("web1", "done")]),
        },
        ClientMethod::Members if rights.list => Answer::Names(&["boss", "caller", "web1", "db1"]),
        ClientMethod::Members => Answer::Names(&["caller", "web1"]),
        ClientMethod::Watch if !rights.list => Answer::Error(FORBIDDEN),
        // It ends it, so that nothing follows.
        ClientMethod::Watch | ClientMethod::Ping => Answer::Empty,
        // They are about what a client executes or has sent: of others' commands it can say nothing.
        ClientMethod::Cancel
        | ClientMethod::Output
        | ClientMethod::Consumed
        | ClientMethod::Ack
        | ClientMethod::Input
        | ClientMethod::InputConsumed => Answer::Nothing,
        ClientMethod::Leave if is_new => Answer::Nothing,
        ClientMethod::Leave => Answer::End,
    }
}

/// The parameters of a call; ids are those of a command that `boss` has sent to `web1`.
fn params(method: ClientMethod, to: To, sent: &Value, executed: &Value) -> Value {
    match method {
        ClientMethod::Join => json!({"protocol": 1, "token": token("other")}),
        ClientMethod::Send | ClientMethod::Select => match to {
            To::One => json!({"to": "db1", "command": ["x"]}),
            To::Many => json!({"to": "below", "command": ["x"]}),
        },
        ClientMethod::Jobs | ClientMethod::Members | ClientMethod::Ping | ClientMethod::Leave => {
            json!({})
        }
        ClientMethod::Watch => json!({"on": false}),
        ClientMethod::Job | ClientMethod::CancelJob => {
            json!({"job": "00112233445566778899aabbccddeeff", "wait": true})
        }
        ClientMethod::Cancel => json!({"send": sent}),
        ClientMethod::Output => json!({"id": executed, "stream": "stdout", "text": "forged"}),
        ClientMethod::Consumed => json!({"send": sent, "member": 3, "bytes": 1}),
        ClientMethod::Ack => json!({"received": 1}),
        ClientMethod::Input => json!({"send": sent, "text": "forged", "end": true}),
        ClientMethod::InputConsumed => json!({"id": executed, "bytes": 1}),
    }
}

fn is_request(method: ClientMethod) -> bool {
    match method {
        ClientMethod::Join
        | ClientMethod::Send
        | ClientMethod::Select
        | ClientMethod::Jobs
        | ClientMethod::Job
        | ClientMethod::CancelJob
        | ClientMethod::Members
        | ClientMethod::Watch
        | ClientMethod::Ping => true,
        ClientMethod::Cancel
        | ClientMethod::Output
        | ClientMethod::Consumed
        | ClientMethod::Input
        | ClientMethod::InputConsumed
        | ClientMethod::Leave
        | ClientMethod::Ack => false,
    }
}

/// A server with `boss` on top, the caller, and two executors; and what boss has open at `web1`.
struct Lab {
    auth: Auth,
    server: Server,
    boss: Raw,
    web1: Raw,
    db1: Raw,
    open: Value,
    running: crate::support::Execute,
}

impl Lab {
    fn start(rights: Rights, before: impl FnOnce(&Auth, &Server) -> Raw) -> (Lab, Raw) {
        let words = [
            ("send", rights.send),
            ("execute", rights.execute),
            ("list", rights.list),
        ];
        let may: Vec<&str> = words
            .iter()
            .filter(|(_, has)| *has)
            .map(|(word, _)| *word)
            .collect();
        let text = format!(
            "version = 1\n[roles.boss]\ntier = 0\nmay = [\"send\", \"list\"]\n\
             allow = [{{ to = \"*\", commands = [\"*\"] }}]\n\
             [roles.caller]\ntier = 3\nmay = {}\nallow = [{{ to = \"web*\", commands = [\"x\"] }}]\n\
             [roles.agent]\ntier = 9\nmay = [\"execute\"]\n",
            json!(may)
        );
        let auth = Auth::new(&text)
            .with("boss", "boss", "names = [\"boss\"]")
            .with("caller", "caller", "names = [\"caller\"]")
            .with("other", "caller", "")
            .with("fleet", "agent", "names = [\"*\"]");
        let server = auth.server(9, &["--drain", "30s"]);
        let mut boss = auth.join(&server, "boss", json!({"name": "boss"}));
        let caller = before(&auth, &server);
        let mut web1 = auth.join(
            &server,
            "fleet",
            json!({"name": "web1", "slots": 5, "rank_news": false}),
        );
        let db1 = auth.join(
            &server,
            "fleet",
            json!({"name": "db1", "slots": 5, "rank_news": false}),
        );
        let open = boss.command("web1", &["open"]);
        let running = web1.execute();
        let lab = Lab {
            auth,
            server,
            boss,
            web1,
            db1,
            open,
            running,
        };
        (lab, caller)
    }

    /// Calls a method, and checks what becomes of it.
    fn check(&mut self, caller: &mut Raw, method: ClientMethod, state: State, to: To) {
        let what = format!("{method:?} of {state:?} to {to:?}");
        let params = params(method, to, &self.open, &self.running.id);
        let id = match is_request(method) {
            true => Some(caller.request(method.name(), &params)),
            false => {
                caller.notify(method.name(), &params);
                None
            }
        };
        match expected(method, state, to) {
            Answer::Error(code) => {
                let error = caller.error_of(&id.expect("a request"));
                assert_eq!(error["code"], code, "{what}: {error}");
            }
            Answer::Outcomes(outcomes) => {
                let id = id.expect("a request");
                let execute = self.web1.execute();
                self.web1.reply(&execute, &json!({"exit_code": 0}));
                let tally = caller.result_of(&id);
                caller.notification("accepted");
                assert_eq!(tally["targets"], outcomes.len(), "{what}: {tally}");
                let mut told: Vec<(String, String)> = outcomes
                    .iter()
                    .map(|_| caller.notification("outcome"))
                    .map(|o| (text(&o["name"]), text(&o["status"])))
                    .collect();
                told.sort();
                let told: Vec<(&str, &str)> = told
                    .iter()
                    .map(|(name, status)| (&**name, &**status))
                    .collect();
                assert_eq!(told, outcomes, "{what}");
            }
            Answer::Names(names) => {
                let result = caller.result_of(&id.expect("a request"));
                let named = ["members", "targets"]
                    .iter()
                    .find_map(|of| result[*of].as_array());
                let members = named.cloned().unwrap_or_default();
                let told: Vec<String> =
                    members.iter().map(|member| text(&member["name"])).collect();
                assert_eq!(told, names, "{what}");
            }
            Answer::Empty => assert_eq!(caller.result_of(&id.expect("a request")), json!({})),
            Answer::Nothing if state == State::NotJoined => {
                if let Some(id) = id {
                    assert_eq!(caller.result_of(&id)["identity"], "other", "{what}");
                }
            }
            Answer::Nothing => caller.expect_nothing(&what),
            Answer::End => {
                caller.wait_end(&what);
            }
        }
        self.check_others(&what);
    }

    /// What boss has open goes on, and no other client was told anything.
    fn check_others(&mut self, what: &str) {
        self.db1.expect_nothing(what);
        self.web1.expect_nothing(what);
        let came = self.boss.fence();
        let is_of_open =
            |message: &Value| message["id"] == self.open || message["method"] == "output";
        assert!(!came.iter().any(is_of_open), "{what}: {came:?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

const ALL: Rights = Rights {
    send: true,
    execute: true,
    list: true,
};

fn joined(auth: &Auth, server: &Server) -> Raw {
    auth.join(server, "caller", json!({"name": "caller", "slots": 0}))
}

#[test]
fn each_method_does_what_the_rights_of_its_client_allow() {
    for bits in 0..8 {
        let rights = Rights {
            send: bits & 1 != 0,
            execute: bits & 2 != 0,
            list: bits & 4 != 0,
        };
        let (mut lab, mut caller) = Lab::start(rights, joined);
        // To leave comes last in the list.
        for method in ClientMethod::ALL {
            for to in [To::One, To::Many] {
                if method == ClientMethod::Leave && to == To::Many {
                    continue;
                }
                lab.check(&mut caller, method, State::Joined(rights), to);
            }
        }
    }
}

#[test]
fn before_join_no_method_does_anything_but_join() {
    let (mut lab, _caller) = Lab::start(ALL, joined);
    for method in ClientMethod::ALL {
        let mut stranger = Raw::connect(&lab.server);
        lab.check(&mut stranger, method, State::NotJoined, To::Many);
    }
}

#[test]
fn once_it_is_revoked_no_method_of_a_client_does_anything() {
    // Each waits for its server to look at the file again.
    std::thread::scope(|scope| {
        for method in ClientMethod::ALL {
            scope.spawn(move || expect_nothing_once_revoked(method));
        }
    });
}

fn expect_nothing_once_revoked(method: ClientMethod) {
    let (mut lab, mut caller) = Lab::start(ALL, joined);
    lab.auth.without("caller");
    caller.notification("bye");
    let params = params(method, To::Many, &lab.open, &lab.running.id);
    let id = is_request(method).then_some(json!("after bye"));
    let message = json!({"jsonrpc": "2.0", "id": id, "method": method.name(), "params": params});
    let _ = caller.try_send(format!("{message}\n").as_bytes());
    let rest = caller.wait_end("the end after bye");
    assert!(rest.is_empty(), "{method:?}: {rest:?}");
    lab.check_others(&format!("{method:?} of a revoked client"));
}

#[test]
fn while_the_server_drains_nothing_new_is_taken() {
    let (mut lab, mut caller) = Lab::start(ALL, joined);
    // Its own command keeps it here.
    caller.command("web1", &["x"]);
    let _open = lab.web1.execute();
    lab.server.terminate();
    lab.server
        .wait_stderr("the drain", |line| line.contains("shutting down"));
    let mut late = Raw::connect(&lab.server);
    let error = late.error(
        "join",
        &json!({"protocol": 1, "token": token("other"), "slots": 0}),
    );
    assert_eq!(error["code"], SHUTTING_DOWN, "{error}");
    for method in ClientMethod::ALL {
        for to in [To::One, To::Many] {
            if method == ClientMethod::Leave && to == To::Many {
                continue;
            }
            let what = format!("{method:?} to {to:?} in a drain");
            let params = params(method, to, &lab.open, &lab.running.id);
            if !is_request(method) {
                caller.notify(method.name(), &params);
                match expected(method, State::Draining, to) {
                    Answer::End => drop(caller.wait_end(&what)),
                    _ => caller.expect_nothing(&what),
                }
                continue;
            }
            let id = caller.request(method.name(), &params);
            let answer = caller.answer(&id);
            match expected(method, State::Draining, to) {
                Answer::Error(code) => {
                    assert_eq!(answer["error"]["code"], code, "{what}: {answer}");
                }
                _ => assert!(answer.get("result").is_some(), "{what}: {answer}"),
            }
        }
    }
}
