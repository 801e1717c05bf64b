//! Command lines, right and wrong, as tables; and what the help says of exit codes.

use super::*;
use common::terminal::args;
use std::iter::successors;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_values_are_named_on_one_line() {
    for (words, expected) in [
        (
            &["--server", "5555"][..],
            "'5555' for '--server <ADDRESS>': expected HOST:PORT",
        ),
        (&["--name", "a b"], "\"a b\" is not allowed"),
        (&["--slots", "2000"], "from 0 to 1024"),
        (
            &["--tier", "10"],
            "'10' for '--tier <N>': expected a whole number from 0 (the highest) to 9",
        ),
        (&["work", "--tier", "-1"], "'-1'"),
        (&["run", "--tier", "high", "--", "x"], "'high'"),
        (&["--slots", "-1"], "from 0 to 1024"),
        (&["work", "--tag", "role"], "expected KEY=VALUE"),
        (&["work", "--tag", "Role=web"], "\"Role\" is not allowed"),
        (&["work", "--tag", "role=a b"], "may not be \"a b\""),
        (&["--connect-timeout", "soon"], "'soon'"),
        (&["--connect-timeout", "0"], "above zero"),
        (&["run"], "<WORDS>"),
        (&["run", "--to", "7-3", "--", "x"], "reversed"),
        (&["run", "--timeout", "x", "--", "x"], "expected a duration"),
        (&["run", "--deadline", "0", "--", "x"], "above zero"),
        (&["run", "--wait-for", "-1", "--", "x"], "'-1'"),
        (&["nonsense"], "'nonsense'"),
        (&["members", "--yaml"], "'--yaml'"),
        (&["members", "-o", "yaml"], "'yaml' for '--output <FORM>'"),
        (&["members", "-o", "json", "--json"], "'--json'"),
        (
            &["run", "--color", "red", "--", "x"],
            "'red' for '--color <WHEN>'",
        ),
        (
            &["policy", "try", "p", "--tier", "10", "--", "x"],
            "'10' for '--tier <N>': expected a whole number from 0 (the highest) to 9",
        ),
        (
            &["policy", "try", "p", "--as", "a\"b", "--", "x"],
            "without quotes and backslashes",
        ),
        (
            &["policy", "try", "p", "--role", "a b", "--", "x"],
            "\"a b\"",
        ),
        (&["bench", "--pairs", "0"], "from 1 to 100000"),
        (&["bench", "--window", "1025"], "from 1 to 1024"),
        (&["bench", "--count", "0"], "above zero"),
        (&["bench", "--to", "all"], "'all'"),
        (&["bench", "--payload", "1TiB"], "from 0 B to 16.0 MiB"),
        (
            &["bench", "--pairs", "2", "--fan-out", "2"],
            "'--fan-out <N>'",
        ),
        (
            &["bench", "--count", "2", "--duration", "2s"],
            "'--duration",
        ),
    ] {
        let words = ["client"].iter().chain(words);
        let error = Cli::try_parse_from(words).expect_err(expected);
        let line = args::one_line_error(&error.to_string());
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
    }
}

#[test]
fn tags_may_stand_several_times_and_once_for_each_key() {
    let settings = |words: &[&str]| {
        let cli = Cli::try_parse_from(["client"].iter().chain(words)).expect("right");
        cli.settings(false).map(|settings| settings.config.tags)
    };
    let tags = settings(&["work", "--tag", "role=web", "--tag", "dc=fra"]).expect("right");
    assert_eq!(tags.to_string(), "dc=fra,role=web");
    let twice = settings(&["work", "--tag", "a=1", "--tag", "a=2"]);
    assert!(matches!(twice, Err(Failure::Usage(why)) if why.contains("stands twice")));
}

#[test]
fn options_may_stand_on_both_sides_of_the_command() {
    let words = ["client", "--slots", "3", "work", "--server", "h:1"];
    let cli = Cli::try_parse_from(words).expect("right");
    let config = cli.settings(false).expect("right").config;
    assert_eq!((config.slots, config.server.as_str()), (Some(3), "h:1"));
}

#[test]
fn each_command_has_its_tier_and_only_a_prompt_is_told_its_rank() {
    let tier = |number| Tier::new(number).ok();
    for (words, expected) in [
        (&[][..], (None, true)),
        (&["--tier", "6"], (tier(6), true)),
        (&["work"], (tier(9), false)),
        (&["work", "--tier", "5"], (tier(5), false)),
        (&["run", "--", "x"], (None, false)),
        (&["--tier", "0", "run", "--", "x"], (tier(0), false)),
        (&["members"], (None, false)),
        (&["bench", "--tier", "7"], (tier(7), false)),
    ] {
        let cli = Cli::try_parse_from(["client"].iter().chain(words)).expect("right");
        let config = cli.settings(true).expect("right").config;
        assert_eq!((config.tier, config.rank_news), expected, "{words:?}");
    }
}

#[test]
fn words_after_the_first_belong_to_the_command() {
    for words in [
        &["client", "run", "--to", "all", "--", "ls", "--to", "-x"][..],
        &["client", "run", "--to", "all", "ls", "--to", "-x"],
    ] {
        let cli = Cli::try_parse_from(words).expect("right");
        let Some(Action::Run(run)) = cli.command else {
            panic!("run");
        };
        assert_eq!(run.words, ["ls", "--to", "-x"]);
        assert_eq!(run.task().command.selector(), Some("all"));
    }
}

#[test]
fn the_readme_tells_all_codes_in_their_order_and_the_help_tells_them_all() {
    // A code that is new has to have its place here.
    let better = |exit: &ExitCode| match exit {
        ExitCode::Interrupted => Some(ExitCode::Unread),
        ExitCode::Unread => Some(ExitCode::Lost),
        ExitCode::Lost => Some(ExitCode::NotConnected),
        ExitCode::NotConnected => Some(ExitCode::Usage),
        ExitCode::Usage => Some(ExitCode::TimedOut),
        ExitCode::TimedOut => Some(ExitCode::Refused),
        ExitCode::Refused => Some(ExitCode::NoTarget),
        ExitCode::NoTarget => Some(ExitCode::Failed),
        ExitCode::Failed => Some(ExitCode::Cut),
        ExitCode::Cut => Some(ExitCode::Done),
        ExitCode::Done | ExitCode::OfCommands(_) => None,
    };
    let order: Vec<ExitCode> = successors(Some(ExitCode::Interrupted), better).collect();
    assert!(order.is_sorted_by(|worse, better| worse > better));
    let codes: Vec<String> = order.iter().map(|exit| exit.code().to_string()).collect();
    let told = format!("From the worst to the best: {}.", codes.join(", "));
    let readme = include_str!("../../../../../README.md");
    assert!(readme.contains(&told), "{told}");
    let help = Cli::command().render_help().to_string();
    let (_, help) = help.split_once("Exit codes").expect("the help lists them");
    for exit in order {
        assert!(readme.contains(&format!("| {} |", exit.code())), "{exit:?}");
        let mut words = help.split([' ', '\n']);
        assert!(
            words.any(|word| word == exit.code().to_string()),
            "{exit:?}"
        );
    }
}
