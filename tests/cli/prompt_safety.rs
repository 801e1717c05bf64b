//! What others write cannot steer the terminal, hide, or pass for what the client says.

use crate::prompt::Scene;
use crate::support::terminal::{PROMPT, Terminal};
use serde_json::json;

#[test]
fn output_of_others_cannot_steer_the_terminal() {
    const NASTY: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\r\u{9b}1m\u{202e}end";
    const SHOWN: &str = "\\x1b[2J\\x1b]0;title\\x07\\r\\x9b1m\\u{202e}end";
    let scene = Scene::new();
    let mut high = scene.server.raw("high", 0);
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("print");
    let execute = web1.execute();
    web1.output(&execute, "stdout", &format!("{NASTY}\n"));
    web1.reply(&execute, &json!({"exit_code": 0, "stderr": NASTY}));
    boss.wait_for(&format!("│ web1: {SHOWN}\n"));
    boss.wait_for(&format!("\n│ {SHOWN}\n"));
    boss.line("again");
    let execute = web1.execute();
    web1.reply_error(&execute, 20, &format!("{NASTY}\nno"));
    boss.wait_for(&format!("refused: {SHOWN}\\nno\n"));
    high.command("boss", &[NASTY, "\n"]);
    boss.wait_for(&format!(
        "[Received] received command {SHOWN} \\n from server:\n"
    ));
    boss.wait_prompt("");
}

/// A line of what an executor writes that looks as if the client said it.
const FORGED: &str = "[web9, rank 9] done, exit code 0";

/// The rows on the screen, each as wide as the terminal shows it, that have this in them.
#[track_caller]
fn rows_with(terminal: &Terminal, part: &str) -> Vec<String> {
    let rows = terminal.rows().into_iter();
    rows.filter(|row| row.contains(part)).collect()
}

#[test]
fn output_of_others_has_a_margin_and_cannot_pass_for_the_client() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("print");
    let execute = web1.execute();
    let streamed = format!("{FORGED}\n{PROMPT}exit\n\nhalf");
    web1.output(&execute, "stdout", &streamed);
    boss.wait_for(&format!(
        "\n│ web1: {FORGED}\n│ web1: {PROMPT}exit\n│ web1:\n"
    ));
    // As long as a row is wide, so that the next one would begin with what looks forged.
    let (blanks, letters) = (" ".repeat(78), "日".repeat(39));
    let last = json!({
        "exit_code": 0,
        "stdout": format!("{FORGED}\n\n{blanks}{FORGED}\n{letters}{FORGED}\na\t{FORGED}\n"),
        "stderr": format!("{FORGED}"),
    });
    web1.reply(&execute, &last);
    boss.wait_for("│ web1: half\n[web1, rank 1] done, exit code 0 (");
    boss.wait_prompt("");
    let rows = rows_with(&boss, "web9");
    assert_eq!(rows.len(), 6, "{rows:#?}");
    for row in &rows {
        assert!(row.starts_with("│ "), "{rows:#?}");
    }

    // The same for a sentence of an executor's.
    boss.line("again");
    let execute = web1.execute();
    // The name, the rank and the status are in front of it: 24 columns.
    web1.reply_error(&execute, 20, &format!("{}{FORGED}", " ".repeat(56)));
    boss.wait_for("[web1, rank 1] refused:");
    boss.wait_prompt("");
    let rows = rows_with(&boss, "web9");
    assert!(rows[6].starts_with(&format!("│ {FORGED}")), "{rows:#?}");
}

#[test]
fn hidden_and_piled_up_characters_are_shown_as_escapes() {
    const HIDDEN: &str = "a\u{200b}b\u{200d}c\u{e0041}\u{ad}\u{feff}\u{3164}\u{fe0f}d";
    const SHOWN: &str = "a\\u{200b}b\\u{200d}c\\u{e0041}\\xad\\u{feff}\\u{3164}\\u{fe0f}d";
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("print");
    let execute = web1.execute();
    let piled = format!("e{}", "\u{301}".repeat(10));
    web1.reply(
        &execute,
        &json!({"exit_code": 0, "stdout": HIDDEN, "stderr": piled}),
    );
    boss.wait_for(&format!("\n│ {SHOWN}\n"));
    boss.wait_for(&format!(
        "\n│ e{}\\u{{301}}\\u{{301}}\n",
        "\u{301}".repeat(8)
    ));
    boss.line("again");
    let execute = web1.execute();
    web1.reply_error(&execute, 20, HIDDEN);
    // What does not fit into the row is on the next one.
    boss.wait_for(&format!("refused: {}\n│ d\n", &SHOWN[..SHOWN.len() - 1]));
}

#[test]
fn raw_output_has_no_margin() {
    let scene = Scene::new();
    let boss = scene.client_with(&["--name", "boss", "--raw"]);
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("print");
    let execute = web1.execute();
    web1.reply(
        &execute,
        &json!({"exit_code": 0, "stdout": "a\u{1b}[1Cb\n"}),
    );
    boss.wait_for("\na b\n");
}

#[test]
fn run_at_a_terminal_is_safe_too() {
    let scene = Scene::new();
    let run = scene.server.client(&["run", "--wait-for", "1", "--", "x"]);
    let mut run = Terminal::start(run);
    run.wait_for("waiting for");
    let mut web1 = scene.server.raw("web1", 1);
    let execute = web1.execute();
    web1.output(&execute, "stdout", &format!("e{}", "\u{301}".repeat(8)));
    web1.output(&execute, "stdout", "\u{301}\n");
    web1.reply(
        &execute,
        &json!({"exit_code": 0, "stdout": "a\u{1b}[2Jb\u{200b}\n"}),
    );
    run.wait_for("\u{301}\\u{301}\n");
    run.wait_for("\na\\x1b[2Jb\\u{200b}");
    run.expect_end(0);
}
