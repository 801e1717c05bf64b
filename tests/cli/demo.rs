//! The first minute: `cargo run --example demo` at a terminal ends at a prompt above four agents.

use crate::support::programs::{Ended, command_of_example};
use crate::support::terminal::Terminal;

const ANSWERED: &str = "uname: 4 targets: 4 done\n";

#[test]
fn at_a_terminal_the_demo_ends_at_a_prompt_above_agents_that_run_programs() {
    let mut demo = Terminal::start(command_of_example("demo"));
    demo.wait_for("exit ends it all.");
    demo.line("@below uname");
    demo.wait_for(ANSWERED);
    demo.line("@least-loaded slow");
    demo.wait_for("step 1 of 8");
    demo.wait_prompt("");
    demo.keys("\x03");
    demo.wait_for("cancelled, ended by SIGTERM");
    demo.line("fails");
    demo.wait_for("done, exit code ");
    demo.wait_prompt("");
    demo.keys("@d\t");
    demo.wait_prompt("@db1");
    demo.keys("\x15exit\r");
    demo.expect_end(0);
}

#[test]
fn in_a_pipe_the_demo_ends_by_itself() {
    let ended = Ended::of(&mut command_of_example("demo"));
    ended.expect_code(0);
    assert!(
        ended.text().contains("ben    now has rank 0"),
        "{}",
        ended.text()
    );
    assert!(ended.text().contains("dan    heard: "), "{}", ended.text());
}
