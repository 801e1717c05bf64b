//! What `pecking run` prints, and its exit code, for each way in which a target ends a command.

use crate::run::{expect_stderr, waiting};
use crate::support::programs::Server;
use crate::support::{Execute, Raw};
use serde_json::json;

/// What an executor does with a command.
type Act = fn(&Raw, &Execute);

/// How one target ends a command, and what `run` makes of it.
struct Case {
    /// What the executor does.
    act: Act,
    /// The exit code of `run`.
    code: i32,
    /// All that it prints to standard output.
    stdout: &'static [u8],
    /// All that it prints to standard error behind the line that it waits, without times.
    stderr: &'static str,
}

const CASES: [Case; 18] = [
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 0})),
        code: 0,
        stdout: b"",
        stderr: "",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "stdout": "no end", "stderr": "x\n"}),
            );
        },
        code: 0,
        stdout: b"no end",
        stderr: "x\n",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "stdout_base64": "/wAbWzJKDQo="}),
            );
        },
        code: 0,
        stdout: b"\xff\x00\x1b[2J\r\n",
        stderr: "",
    },
    Case {
        act: |raw, it| {
            raw.output(it, "stdout", "one ");
            raw.output(it, "stderr", "apart\n");
            raw.output(it, "stdout", "two\n\nthr");
            raw.reply(it, &json!({"exit_code": 0, "stdout": "ee"}));
        },
        code: 0,
        stdout: b"one two\n\nthree",
        stderr: "apart\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 7, "stdout": "half\n"})),
        code: 1,
        stdout: b"half\n",
        stderr: "[web1, rank 1] done, exit code 7 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": -1})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, exit code -1 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"signal": "SIGKILL"})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, ended by SIGKILL (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 21, "no program here"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] not found: no program here\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 22, "out of memory"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] failed: out of memory\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 22, "a\nb\u{1b}[2J\u{202e}"),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] failed: a\\nb\\x1b[2J\\u{202e}\n",
    },
    Case {
        act: |raw, it| raw.output(it, "stdout", "half"),
        code: 3,
        stdout: b"half",
        stderr: "[web1, rank 1] lost: it left or the server stopped before it answered; the command may have run\n",
    },
    Case {
        act: |_, _| {},
        code: 3,
        stdout: b"",
        stderr: "[web1, rank 1] lost: it left or the server stopped before it answered; the command may have run\n",
    },
    Case {
        act: |raw, it| raw.reply_error(it, 20, "only print"),
        code: 5,
        stdout: b"",
        stderr: "[web1, rank 1] refused: only print\n",
    },
    Case {
        act: |raw, it| {
            raw.output(it, "stdout", "half\n");
            raw.reply(it, &json!({"timed_out": true, "signal": "SIGTERM"}));
        },
        code: 124,
        stdout: b"half\n",
        stderr: "[web1, rank 1] timed out, ended by SIGTERM (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"timed_out": true, "exit_code": 0})),
        code: 124,
        stdout: b"",
        stderr: "[web1, rank 1] timed out, exit code 0 (TIME)\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"cancelled": true})),
        code: 130,
        stdout: b"",
        stderr: "[web1, rank 1] cancelled (TIME)\n",
    },
    Case {
        act: |raw, it| {
            raw.reply(
                it,
                &json!({"exit_code": 0, "truncated": true, "stdout": "a"}),
            );
        },
        code: 6,
        stdout: b"a",
        stderr: "[web1, rank 1] done, exit code 0 (TIME), its output was cut\n",
    },
    Case {
        act: |raw, it| raw.reply(it, &json!({"exit_code": 3, "truncated": true})),
        code: 1,
        stdout: b"",
        stderr: "[web1, rank 1] done, exit code 3 (TIME), its output was cut\n",
    },
];

#[test]
fn run_has_an_exit_code_for_each_end_of_a_command() {
    let server = Server::start(&[]);
    for case in CASES {
        let (run, [mut web1]) = server.run(&["--", "a", "b  c", "", "--to"], [("web1", 1)]);
        let execute = web1.execute();
        assert_eq!(execute.command, ["a", "b  c", "", "--to"]);
        (case.act)(&web1, &execute);
        web1.leave();
        let ended = run.end();
        ended.expect_code(case.code).expect_stdout(case.stdout);
        expect_stderr(&ended, &(waiting(1) + case.stderr));
    }
}
