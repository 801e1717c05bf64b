//! The keys of the prompt: Tab, Ctrl-R, Ctrl-C, and what a terminal pastes.

use super::prompt::{CTRL_C, Scene, expect_command};
use crate::support::terminal::PROMPT;
use serde_json::json;

#[test]
fn several_pasted_lines_are_asked_about_once() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.keys("\x1b[200~four\nfive\x1b[201~\r");
    boss.wait_for("Run these 2 lines? [y/N]");
    boss.keys("y\r");
    for word in ["four", "five"] {
        expect_command(&mut web1, &[word]);
    }
    for (answer, count) in [("\r", 3), ("n\r", 4), (CTRL_C, 5)] {
        boss.wait_prompt("");
        let lines = "never\n".repeat(count);
        boss.keys(&format!("\x1b[200~{lines}\x1b[201~\r"));
        boss.wait_for(&format!("Run these {count} lines? [y/N]"));
        boss.keys(answer);
        boss.wait_for(&format!("None of these {count} lines was run.\n"));
    }
    boss.line("six");
    expect_command(&mut web1, &["six"]);
}

#[test]
fn tab_completes_what_is_here_and_the_history_hints() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let _worker = scene.server.worker("web1");
    boss.keys("@we\t");
    boss.wait_prompt("@web1");
    let _other = scene.server.worker("web2");
    // What came a moment ago counts: two names, and one more character to tell them apart.
    boss.keys("\x15@we\t");
    boss.wait_for("web1  web2");
    boss.wait_prompt("@web");
    boss.keys("2 prin");
    boss.wait_prompt("@web2 prin");
    boss.keys("t\r");
    boss.wait_for("[web2, rank 2] done");
    boss.wait_prompt("");
    boss.keys("pr\t");
    boss.wait_prompt("print");
    boss.keys("\x15:wh\t");
    boss.wait_for(":who     :whoami");
    boss.keys("\x15@web2 p");
    boss.wait_hint("rint");
    boss.keys("\x1b[C\r");
    boss.wait_prompt("");
    // Ctrl-R finds what was sent.
    boss.keys("\x12rin");
    boss.wait_for("(reverse-i-search)`rin': @web2 print");
    boss.keys("\r");
    boss.wait_prompt("");
    let shown = boss.shown();
    assert_eq!(shown.matches("print command sent.").count(), 3, "{shown}");
}

#[test]
fn ctrl_c_on_an_empty_line_cancels_what_was_sent_last() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 2);
    boss.line("first");
    let first = web1.execute();
    // At once, before the next prompt may have come: it is a key all the same.
    boss.wait_prompt("");
    boss.keys(&format!("second\r{CTRL_C}"));
    let second = web1.execute();
    assert_eq!(web1.notification("cancel"), json!({"id": second.id}));
    web1.reply(&second, &json!({"cancelled": true}));
    boss.wait_for("): [web1, rank 1] cancelled");
    boss.wait_prompt("");
    boss.keys("half a line");
    boss.wait_prompt("half a line");
    boss.keys(CTRL_C);
    boss.wait_prompt("");
    boss.keys(CTRL_C);
    assert_eq!(web1.notification("cancel"), json!({"id": first.id}));
    web1.reply(&first, &json!({"cancelled": true}));
    boss.wait_for("\n[web1, rank 1] cancelled");
}

#[test]
fn ctrl_c_clears_the_line_and_keeps_the_session() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.keys("never sent");
    boss.wait_prompt("never sent");
    boss.keys(CTRL_C);
    boss.wait_prompt("");
    boss.keys(CTRL_C);
    let prompt = PROMPT.trim_end();
    boss.wait_for(&format!("{PROMPT}never sent\n{prompt}\n{prompt}"));
    boss.line("sent");
    expect_command(&mut web1, &["sent"]);
    boss.wait_for("[web1, rank 1] done");
}

#[test]
fn exit_says_which_commands_it_cancels() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("four");
    web1.execute();
    boss.line("exit");
    boss.wait_for("1 command that has not ended is cancelled.");
    web1.notification("cancel");
}
