//! Words against policies: what senders may and may not have run.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// The policy of the hostile words. Every way to take words is in it.
const POLICY: &str = r#"
[commands.uptime]
run = ["/bin/echo", "up"]
[commands.logs]
run = ["/bin/echo", "-n", "50", "-u"]
args = ["[a-z][a-z0-9-]{0,31}"]
timeout = "30s"
max_output = "256 KiB"
cwd = "/"
env = { LANG = "C.UTF-8" }
slots = 1
memory = "64 MiB"
cpu_seconds = 5
open_files = 64
setuid = true
umask = "027"
[commands.copy]
run = ["/bin/echo"]
args = ["[a-z]+", "[0-9]{2}"]
rest = "[a-z./]+"
[commands.say]
run = ["/bin/echo", "--"]
rest = "(?s).*"
"#;

/// The names of its commands.
const NAMES: [&str; 4] = ["uptime", "logs", "copy", "say"];

pub(super) fn policy() -> Policy {
    Policy::from_bytes(POLICY.as_bytes()).expect("a policy")
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// An entry with one line more than it needs.
pub(super) fn with(line: &str) -> String {
    format!("[commands.x]\nrun = [\"/bin/true\"]\n{line}\n")
}

/// What a text is refused with, as a file of the name `p` would be.
pub(super) fn refused(text: &str) -> String {
    let error = Policy::from_bytes(text.as_bytes()).expect_err(text);
    PolicyError::of(error, Path::new("p"), text.as_bytes()).to_string()
}

/// What the policy above means, said without a regular expression: what comes before
/// the sender's words, if they are words that it takes.
fn meant(name: &str, rest: &[String]) -> Option<&'static [&'static str]> {
    let lower = |word: &str| word.bytes().all(|b| b.is_ascii_lowercase());
    let unit = |word: &str| {
        let tail = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=32).contains(&word.len())
            && word.as_bytes()[0].is_ascii_lowercase()
            && word.bytes().all(tail)
    };
    let two = |word: &str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_digit());
    let path = |word: &String| {
        let fits = |b: u8| b.is_ascii_lowercase() || b == b'.' || b == b'/';
        !word.is_empty() && word.bytes().all(fits)
    };
    match (name, rest) {
        ("uptime", []) => Some(&["/bin/echo", "up"]),
        ("logs", [word]) if unit(word) => Some(&["/bin/echo", "-n", "50", "-u"]),
        ("copy", [a, b, more @ ..])
            if !a.is_empty() && lower(a) && two(b) && more.iter().all(path) =>
        {
            Some(&["/bin/echo"])
        }
        ("say", rest) if !rest.iter().any(|word| word.contains('\0')) => Some(&["/bin/echo", "--"]),
        _ => None,
    }
}

/// Holds a plan to what was meant, and a refusal to what may be shown.
pub(super) fn hold(policy: &Policy, words: &[String]) -> Result<Plan, Refusal> {
    let found = policy.plan(&Sender::default(), words);
    let (name, rest) = words
        .split_first()
        .map_or(("", words), |(n, r)| (n.as_str(), r));
    match (&found, meant(name, rest)) {
        (Ok(plan), Some(run)) => {
            let expected: Vec<&str> = run
                .iter()
                .copied()
                .chain(rest.iter().map(String::as_str))
                .collect();
            assert_eq!(plan.argv, expected);
            assert_eq!(plan.command, name);
        }
        (Err(refusal), None) => {
            let message = refusal.to_string();
            let is_bounded = message.len() < common::limits::MAX_QUOTED;
            let is_clean = common::terminal::escape::one_line(&message) == message;
            assert!(is_bounded && is_clean, "{message:?}");
        }
        (found, meant) => panic!("{words:.200?}: {found:?} instead of {meant:?}"),
    }
    found
}

#[test]
fn a_plan_has_all_that_the_entry_says() {
    let plan = policy()
        .plan(&Sender::default(), &words(&["logs", "nginx"]))
        .expect("it is allowed");
    assert_eq!(
        plan,
        Plan {
            command: "logs".into(),
            argv: words(&["/bin/echo", "-n", "50", "-u", "nginx"]),
            settings: Settings {
                stdin: false,
                cwd: Some("/".into()),
                env: BTreeMap::from([("LANG".into(), "C.UTF-8".into())]),
                timeout: Some(Duration::from_secs(30)),
                max_output: Some(256 << 10),
                slots: Some(1),
                limits: Limits {
                    memory: Some(64 << 20),
                    cpu_seconds: Some(5),
                    open_files: Some(64),
                },
                setuid: true,
                user: None,
                umask: Some(0o027),
                groups: None,
            },
        }
    );
    assert_eq!(plan.to_string(), "/bin/echo -n 50 -u nginx");
    let plan = policy()
        .plan(&Sender::default(), &words(&["uptime"]))
        .expect("it is allowed");
    assert!(!plan.settings.setuid && plan.to_string() == "/bin/echo up");
}

#[test]
fn a_refusal_says_what_would_be_accepted() {
    let policy = policy();
    for (sent, message) in [
        (
            &["rm", "-rf"][..],
            "\"rm\" is no command of this client's policy; it has copy, logs, say, uptime",
        ),
        (
            &[],
            "\"\" is no command of this client's policy; it has copy, logs, say, uptime",
        ),
        (
            &["up\n\x1b[2J\u{202e}"],
            "\"up\\n\\u{1b}[2J\\u{202e}\" is no command of this client's policy; it has copy, logs, say, uptime",
        ),
        (
            &["uptime", "-p", "x"],
            "uptime takes no further words; it got 2",
        ),
        (
            &["logs"],
            "logs takes 1 word more: [a-z][a-z0-9-]{0,31}; it got 0",
        ),
        (
            &["logs", "a", "b", "c"],
            "logs takes 1 word more: [a-z][a-z0-9-]{0,31}; it got 3",
        ),
        (
            &["copy", "a"],
            "copy takes 2 words or more: [a-z]+, then [0-9]{2}, then any number of [a-z./]+; it got 1",
        ),
        (
            &["logs", "../x\n"],
            "logs: its word 1, \"../x\\n\", does not match [a-z][a-z0-9-]{0,31}",
        ),
        (
            &["copy", "a", "7"],
            "copy: its word 2, \"7\", does not match [0-9]{2}",
        ),
        (
            &["copy", "a", "07", "b", "C"],
            "copy: its word 4, \"C\", does not match [a-z./]+",
        ),
        (
            &["say", "a", "b\0c"],
            "say: its word 2 has a NUL character, which no argument can have",
        ),
    ] {
        let refusal = hold(&policy, &words(sent)).expect_err(message);
        assert_eq!(refusal.to_string(), message);
    }
}

#[test]
fn a_list_of_names_has_an_end() {
    let entry = |n| format!("[commands.c{n:02}]\nrun = ['/bin/true']\n");
    let many: String = (0..40).map(entry).collect();
    let policy = Policy::from_bytes(many.as_bytes()).expect("a policy");
    let message = policy
        .plan(&Sender::default(), &words(&["x"]))
        .expect_err("unknown")
        .to_string();
    assert!(message.ends_with("c14, c15 and 24 more"), "{message}");
    let args = vec!["'[a-z]{1,20}'"; 40].join(",");
    let many = format!(
        "[commands.x]\nrun = ['/bin/true']\nargs = [{args}]\nrest = '{}'",
        "a".repeat(900)
    );
    let policy = Policy::from_bytes(many.as_bytes()).expect("a policy");
    let message = policy
        .plan(&Sender::default(), &words(&["x"]))
        .expect_err("too few")
        .to_string();
    assert!(
        message.starts_with("x takes 40 words or more: [a-z]{1,20}, then"),
        "{message}"
    );
    assert!(
        message.contains("then …, then any number of aaa"),
        "{message}"
    );
    assert!(
        message.ends_with("aaa…; it got 0") && message.len() < 600,
        "{message}"
    );
}

#[test]
fn a_summary_has_one_line_a_command() {
    assert_eq!(
        policy().to_string(),
        "copy: /bin/echo <[a-z]+> <[0-9]{2}> [<[a-z./]+> ...]\n\
         logs: /bin/echo -n 50 -u <[a-z][a-z0-9-]{0,31}> (umask 027, setuid true, timeout 30s, max_output 256.0 KiB, cwd /, \
         env LANG=C.UTF-8, slots 1, memory 64.0 MiB, cpu_seconds 5, open_files 64)\n\
         say: /bin/echo -- [<(?s).*> ...]\n\
         uptime: /bin/echo up\n"
    );
    let text = "[commands.x]\nrun = ['/bin/echo', \"a b\\n\"]\nargs = [\"\\u001b\"]\nenv = { \"A\\n\" = \"\\n\" }\n";
    let policy = Policy::from_bytes(text.as_bytes()).expect("a policy");
    let shown = policy.to_string();
    assert_eq!(shown, "x: /bin/echo $'a b\\n' <\\x1b> (env A\\n=$'\\n')\n");
}

#[test]
fn a_policy_is_loaded_from_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, POLICY).expect("a file");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o640).expect("its mode");
    let policy = Policy::load(&path).expect("it is ours");
    let names: Vec<_> = policy.commands().map(|(name, _)| name).collect();
    assert_eq!(names, ["copy", "logs", "say", "uptime"]);
    mode(0o660).expect("its mode");
    let error = Policy::load(&path)
        .expect_err("the group may write")
        .to_string();
    let path = path.display();
    assert!(
        error.starts_with(&format!("the regular file {path} has mode 0660")),
        "{error}"
    );
    assert!(error.ends_with(&format!("(chmod g-w {path})")), "{error}");
}

/// Words that are often right, and often almost.
fn word() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        'a', 'z', '0', '7', '-', '.', '/', 'A', '\n', '\0', ';', '\u{430}', ' ',
    ]);
    let almost = prop::collection::vec(letters, 0..34).prop_map(String::from_iter);
    let right = prop::sample::select(vec!["nginx", "a-1", "07", "x", "a/b.c", ""]);
    prop_oneof![3 => right.prop_map(String::from), 2 => almost, 1 => any::<String>()]
}

proptest! {
    #[test]
    fn a_plan_is_the_policys_words_and_then_the_senders(
        name in prop_oneof![4 => prop::sample::select(&NAMES[..]).prop_map(String::from), 1 => word()],
        rest in prop::collection::vec(word(), 0..5),
    ) {
        let sent: Vec<String> = [name].into_iter().chain(rest).collect();
        let _ = hold(&policy(), &sent);
    }

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..POLICY.len()) {
        let _ = Policy::from_bytes(&bytes);
        let broken = [&POLICY.as_bytes()[..cut], &bytes[..bytes.len().min(4)], &POLICY.as_bytes()[cut..]].concat();
        if let Err(fault) = Policy::from_bytes(&broken) {
            let shown = PolicyError::of(fault, Path::new("p"), &broken).to_string();
            prop_assert!(common::terminal::escape::one_line(&shown) == shown, "{shown:?}");
        }
    }

    #[test]
    fn a_shell_word_is_read_back(word in "[^\0]*") {
        let word = common::terminal::escape::one_line(&word).into_owned();
        let shown = display::shell_word(&word);
        prop_assert_eq!(shlex::split(&shown), Some(vec![word]));
    }
}
