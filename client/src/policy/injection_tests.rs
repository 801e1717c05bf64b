//! Words that are meant to have something else run than what the policy names, in every
//! place of every command, and how often that works.

use super::Refusal;
use super::tests::{hold, policy, words};

/// Words that have broken something somewhere.
#[rustfmt::skip] // one a line, they would fill three pages
fn hostile_words() -> Vec<String> {
    let mut all = words(&[
        "", " ", "  ", "\t", "-", "--", "-n", "-rf", "--help", "--output=/etc/passwd",
        "-oProxyCommand=id", ";", "; id", "a; id", "a;id", "a && id", "a || id", "a | id",
        "a & id", "&", "|", "$(id)", "a$(id)", "`id`", "a`id`", "${IFS}", "$HOME", "$0", "a>b",
        "<a", "a\\", "\\", "'", "\"", "a'b", "a\"b", "*", "?", "[a-z]", "~", "~root", "{a,b}",
        "!!", "#", "a#b", "%s%n", "%00", "%2e%2e%2f", "..", "../", "../x", "../../etc/passwd",
        "a/../b", "/etc/passwd", "./x", "/", "//", "a/", "a\n", "\na", "a\nb", "nginx\n",
        "nginx\r", "nginx\r\n", "nginx\n\n", "nginx\u{2028}", "nginx\u{85}", "nginx\u{0b}",
        "nginx ", " nginx", "nginx\t", "\n", "\r\n", "07\n", "07 ", "\u{663}\u{664}", "\0",
        "a\0", "\0a", "nginx\0", "nginx\0-rf", "07\0", "nginx\x1b[2J", "\x1b]0;x\x07", "\x7f",
        "\u{9b}31m", "\u{202e}xnign", "ngi\u{200b}nx", "\u{feff}nginx", "ngi\u{ad}nx",
        "ngin\u{445}", "\u{3bf}", "\u{430}", "\u{ff4e}ginx", "NGINX", "Nginx", "\u{212a}",
        "\u{131}", "\u{17f}", "\u{df}", "e\u{301}", "\u{e9}", "\u{1d5ba}", "\u{1f986}",
        "\u{fffd}", "\u{fffd}\u{fffd}nginx", "[a-z", "(", ")", "a)|(b", "(?i)a", "\\z", "^a$",
        ".*", "(?s).*", "a{0,31}", "uptime", "logs", "say", "copy", "commands", "PECKING_ID=1",
        "A=b", "=", "null", "true", "-1", "0", "07", "nginx", "a-b-c", "a--", "a0", "0a", "-a",
        "a_b", "a.b", "a@b", "a:b", "a,b", "a+b",
    ]);
    all.extend(["a", "-", "\u{e4}", "\0", "\n", "A"].map(|unit| unit.repeat(33)));
    all.extend(["a", "/", "\u{1f986}", "-"].map(|unit| unit.repeat(140_000)));
    all.push("a".repeat(32));
    all
}

/// Names that look like, or begin like, those of the policy.
#[rustfmt::skip]
const NAMES: [&str; 22] = [
    "uptime", "logs", "copy", "say", "", "uptime ", " uptime", "uptime\n", "uptime\0",
    "Uptime", "UPTIME", "upt\u{131}me", "\u{443}ptime", "logs\u{200b}", "l\u{3bf}gs",
    "./logs", "/bin/echo", "echo", "sh", "log", "logs-", "\u{202e}sgol",
];

#[test]
fn hostile_words_start_nothing_but_what_the_policy_names() {
    let policy = policy();
    let hostile = hostile_words();
    let (mut cases, mut started) = (0, 0);
    let mut look = |sent: &[String]| {
        cases += 1;
        started += usize::from(hold(&policy, sent).is_ok());
    };
    look(&[]);
    for name in NAMES.map(String::from) {
        look(std::slice::from_ref(&name));
        for word in &hostile {
            look(&[name.clone(), word.clone()]);
            look(&[name.clone(), "a".into(), "07".into(), word.clone()]);
            look(&[name.clone(), word.clone(), "07".into()]);
        }
    }
    for word in &hostile {
        look(std::slice::from_ref(word));
        look(&[word.clone(), word.clone()]);
    }
    assert!(
        cases > 5000 && started > 300,
        "{cases} cases, {started} started"
    );
}

#[test]
fn ten_thousand_words() {
    let policy = policy();
    let many = |first: &[&str], word: &str, last: &str| {
        let mut all = words(first);
        all.resize(9_999, word.to_owned());
        all.push(last.to_owned());
        hold(&policy, &all)
    };
    assert!(matches!(
        many(&["uptime"], "", ""),
        Err(Refusal::Number { got: 9_999, .. })
    ));
    assert!(matches!(
        many(&["logs"], "a", "a"),
        Err(Refusal::Number { .. })
    ));
    assert!(many(&["copy", "a", "07"], "a/b", "c").is_ok());
    assert!(many(&["say"], "", "").is_ok());
    let last = many(&["copy", "a", "07"], "a/b", "C");
    assert!(
        matches!(last, Err(Refusal::Mismatch { number: 9_999, .. })),
        "{last:?}"
    );
    let last = many(&["say"], "", "\0");
    assert!(matches!(
        last,
        Err(Refusal::Unstartable { number: 9_999, .. })
    ));
}
