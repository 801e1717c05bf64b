use super::super::testing::{ROLES, credential, hash, rules};
use super::super::token;
use super::*;
use crate::clock::wall_clock;
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn a_whole_file_is_read() {
    let rules = rules(&[
        "[limits]\nreserve = { tier = 2, seats = 4 }\n".to_owned(),
        credential("alice", "operator", 'a', "names = [\"alice-*\"]\nfrom = [\"10.0.0.0/8\", \"::1\"]\nexpires = 2027-06-30T00:00:00Z"),
        "[[credentials]]\nid = \"web1\"\nrole = \"agent\"\ncert = \"pecking:web1\"\nnames = [\"web1\"]\nconnections = 1\nreplace = true\n".to_owned(),
        "[[credentials]]\nid = \"fleet\"\nrole = \"agent\"\ncert = \"spiffe://corp/agent/*\"\nnames = [\"{1}\"]\n".to_owned(),
    ]);
    let reserve = rules.reserve().expect("seats");
    assert_eq!((reserve.tier.number(), reserve.seats), (2, 4));
    let web1 = rules.find("web1").expect("a credential");
    assert_eq!((web1.connections, web1.replace), (Some(1), true));
    assert_eq!(web1.role.max_sends, None);
    let shown = rules.list();
    assert_eq!(
        shown[0],
        [
            "alice",
            "operator",
            "token",
            "alice-*",
            "10.0.0.0/8,::1/128",
            "2027-06-30T00:00:00Z",
            "-"
        ]
        .map(String::from)
    );
    assert_eq!(
        shown[2][..4],
        ["fleet", "agent", "spiffe://corp/agent/*", "{1}"].map(String::from)
    );
    assert_eq!(rules.list()[1][6], "1,replace");
    assert!(!format!("{rules:?}").contains(&hash('a')[7..]));
    assert_eq!(rules.warnings(SystemTime::UNIX_EPOCH), [""; 0]);
}

#[test]
fn what_is_no_auth_file() {
    let alice = credential("alice", "operator", 'a', "");
    let with = |line: &str| format!("{ROLES}{}", credential("alice", "agent", 'a', line));
    let two = |first: &str, second: &str| {
        let first = credential("a", "agent", 'a', &format!("names = [\"{first}\"]"));
        format!(
            "{ROLES}{first}{}",
            credential("b", "agent", 'b', &format!("names = [\"{second}\"]"))
        )
    };
    let role = |line: &str| format!("version = 1\n[roles.x]\n{line}\n");
    let mut wrong = Vec::new();
    let ending = |text: &str| format!("{ROLES}{text}");
    for (text, place, why) in [
        (String::new(), "", "it has no version, expected version = 1"),
        ("version = 2\n".into(), "", "found version 2"),
        (
            "version = \"1\"\n".into(),
            ":1:11",
            "version: invalid type: string",
        ),
        (
            "version = 1\nversoin = 1\n".into(),
            ":2:1",
            "found the key \"versoin\", expected version, [limits]",
        ),
        ("version = 1\nroles = 5\n".into(), ":2:1", "[roles.NAME]"),
        (
            "version = 1\ncredentials = {}\n".into(),
            ":2:1",
            "[[credentials]]",
        ),
        ("version = 1\n[roles.x\n".into(), ":2:9", "unclosed"),
        // Half of a file that was being written.
        (
            format!("{ROLES}{}", &alice[..alice.len() - 30]),
            ":17:54",
            "",
        ),
        (
            role("tier = 10"),
            ":3:8",
            "roles.x: tier: found 10, expected a whole number from 0 to 9",
        ),
        (role("tier = -1"), ":3:8", "roles.x: tier: found -1"),
        (
            role("tier = \"0\""),
            ":3:8",
            "roles.x: invalid type: string \"0\"",
        ),
        (
            role("my = [\"send\"]"),
            ":3:1",
            "roles.x: unknown field `my`, expected one of `tier`, `may`, `allow`, `max_sends`",
        ),
        (
            role("may = [\"sned\"]"),
            ":3:8",
            "roles.x: may: found \"sned\", expected send, execute or list",
        ),
        (
            role("max_sends = 0"),
            ":3:13",
            "roles.x: max_sends: found 0, expected a whole number from 1",
        ),
        (
            role("allow = [{ to = \"web*\" }]"),
            ":3:10",
            "missing field `commands`",
        ),
        (
            role("allow = [{ to = \"1-3,web\", commands = [] }]"),
            ":3:17",
            "to: found \"1-3,web\", expected a name or a pattern",
        ),
        (
            role("allow = [{ to = \"*\", commands = [\"dep*\"] }]"),
            ":3:34",
            "commands: found \"dep*\", expected the whole first word",
        ),
        (
            role("allow = [{ to = \"*\", commands = [\"deploy v7\"] }]"),
            ":3:34",
            "its arguments are for the policy",
        ),
        (
            "version = 1\n[roles.\"a b\"]\n".into(),
            ":2:8",
            "the role \"a b\"",
        ),
        (
            "version = 1\n[limits]\nreserve = { tier = 2 }\n".into(),
            ":3:11",
            "limits: missing field `seats`",
        ),
        (
            with("nmaes = []"),
            ":18:1",
            "credentials.alice: unknown field `nmaes`",
        ),
        (
            format!("{ROLES}{}", credential("alice", "boss", 'a', "")),
            ":16:8",
            "credentials.alice: role: found \"boss\", expected one of these roles: operator, deployer, agent",
        ),
        (
            format!("{ROLES}{}", credential("a\\\\b", "agent", 'a', "")),
            ":15:6",
            "credentials[0]: id: found \"a\\\\b\"",
        ),
        (
            format!("{ROLES}{alice}{}", credential("alice", "agent", 'b', "")),
            ":20:6",
            "credentials.alice: there are two credentials with this id",
        ),
        (
            format!("{ROLES}{alice}{}", credential("bob", "agent", 'a', "")),
            ":22:9",
            "credentials.bob: token: it is that of \"alice\", too",
        ),
        (
            two("web1", "web1"),
            ":23:10",
            "credentials.b: names: found \"web1\", which has names in common with those of \"a\"",
        ),
        (
            two("web*", "web1"),
            ":23:10",
            "found \"web1\", which has names in common with those of \"a\"",
        ),
        (two("web1", "w*"), ":23:10", "found \"w*\", which has"),
        (
            two("web-1", "WEB.1"),
            ":23:10",
            "found \"WEB.1\", which has",
        ),
        (
            with("names = [\"web1\", \"web1\"]"),
            ":18:18",
            "names: found \"web1\" twice",
        ),
        (
            with("names = [\"a b\"]"),
            ":18:10",
            "names: the name \"a b\" is not allowed",
        ),
        (
            with("names = [\"{1}\"]"),
            ":18:10",
            "the credential's `cert` has no star",
        ),
        (
            with("cert = \"pecking:a\""),
            ":18:8",
            "found token and cert, expected one of them",
        ),
        (with("expires = 2027-02-30T00:00:00Z"), ":18:11", "invalid"),
        (
            with("expires = \"soon\""),
            ":18:11",
            "credentials.alice: invalid type: string \"soon\"",
        ),
        (
            with("expires = 2027-06-30"),
            ":18:11",
            "expires: found 2027-06-30, expected a date with time and offset",
        ),
        (
            with("from = [\"10.0.0.0/99\"]"),
            ":18:9",
            "from: found \"10.0.0.0/99\"",
        ),
        (with("from = []"), ":18:8", "from: found no network"),
        (
            with("from = \"10.0.0.1\""),
            ":18:8",
            "invalid type: string \"10.0.0.1\", expected an array such as [\"a\", \"b\"]",
        ),
        (with("connections = -1"), ":18:15", "connections: found -1"),
        (
            with("replace = 1"),
            ":18:11",
            "invalid type: integer `1`, expected true or false, without quotes",
        ),
        (
            ending("[[credentials]]\nid = \"x\"\nrole = \"agent\"\n"),
            ":15:6",
            "it proves nothing, expected token or cert",
        ),
        (
            ending("[[credentials]]\nrole = \"agent\"\n"),
            ":14:1",
            "credentials[0]: missing field `id`",
        ),
        (
            ending("[[credentials]]\nid = \"x\"\nrole = \"agent\"\ntoken = \"sha256:12\"\n"),
            ":17:9",
            "credentials.x: token: found 2 characters behind",
        ),
        (
            ending("[[credentials]]\nid = \"x\"\nrole = \"agent\"\ncert = \"web1\"\n"),
            ":17:8",
            "cert: found \"web1\", expected the URI",
        ),
        (
            ending(
                "[[credentials]]\nid = \"x\"\nrole = \"agent\"\ncert = \"a:*\"\n[[credentials]]\nid = \"y\"\nrole = \"agent\"\ncert = \"a:b*\"\n",
            ),
            ":21:8",
            "cert: some certificates are those of \"x\", too",
        ),
    ] {
        let error = Rules::read(text.as_bytes(), Path::new("auth.toml"))
            .expect_err(why)
            .to_string();
        let is_right = error.starts_with(&format!("auth.toml{place}:"))
            && error.contains(why)
            && !error.contains('\n');
        if !is_right {
            wrong.push(format!("expected {place} {why}, found {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let error = Rules::read(b"version = 1 # \xff", Path::new("auth.toml")).expect_err("no UTF-8");
    assert!(
        error
            .to_string()
            .starts_with("auth.toml:1:15: found bytes that are not UTF-8"),
        "{error}"
    );
}

#[test]
fn a_token_that_stands_where_its_hash_belongs_is_repeated_by_no_error() {
    let token = token::generate().expect("random bytes");
    let token = token.reveal();
    for line in [
        format!("token = \"{token}\""),
        format!("token = {token}"),
        format!("names = [\"{token}\"]"),
        format!("from = [\"{token}\"]"),
        format!("connections = \"{token}\""),
        format!("\"{token}\" = 1"),
        format!("replace = \"{token}\""),
    ] {
        let text = format!("{ROLES}[[credentials]]\nid = \"x\"\nrole = \"agent\"\n{line}\n");
        let error = Rules::read(text.as_bytes(), Path::new("auth.toml")).expect_err(&line);
        assert!(
            !format!("{error} {error:?}").contains(&token[20..]),
            "{error}"
        );
    }
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let text = "version = 1\n[limits]\nreserve = { tier = 0, seats = 1 }\n[roles.a]\n[roles.b]\nmay = [\"send\"]\n[roles.c]\nmay = [\"execute\"]\nallow = [{ to = \"*\", commands = [\"*\"] }]\n";
    let expired = credential("old", "c", 'o', "expires = 2001-01-01T00:00:00Z");
    let rules = Rules::read(
        format!("{text}{expired}").as_bytes(),
        Path::new("auth.toml"),
    )
    .expect("it is right");
    assert_eq!(
        rules.warnings(wall_clock()),
        [
            "roles.a: it has no right; its clients can only look on",
            "roles.b: it may send, and allow covers no target",
            "roles.c: it has allow, and may not send",
            "credentials.old: it expired at 2001-01-01T00:00:00Z",
            "limits.reserve: no role has tier 0 or a higher one",
        ]
    );
}

/// A right file, of which a test changes a part.
fn whole() -> String {
    let alice = credential(
        "alice",
        "operator",
        'a',
        "names = [\"alice-*\", \"bob\"]\nfrom = [\"10.0.0.0/8\"]\nexpires = 2027-06-30T00:00:00Z",
    );
    let fleet = "[[credentials]]\nid = \"fleet\"\nrole = \"agent\"\ncert = \"spiffe://corp/*/*\"\nnames = [\"{1}\", \"x-{2}\"]\nconnections = 3\nreplace = true\n";
    format!("{ROLES}[limits]\nreserve = {{ tier = 2, seats = 4 }}\n{alice}{fleet}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_file_gives_rules_or_one_line_of_error(
        at in any::<prop::sample::Index>(), length in 0usize..12,
        put in "[\\[\\]{}=\",*?a1.:/ \n-]{0,8}",
    ) {
        let whole = whole();
        let at = at.index(whole.len());
        let text = [&whole[..at], &put, &whole[(at + length).min(whole.len())..]].concat();
        match Rules::read(text.as_bytes(), Path::new("auth.toml")) {
            Ok(rules) => {
                // What is taken can be asked for anything.
                for credential in &rules.credentials {
                    let decided = rules.decide(&credential.id, "web1", "deploy", wall_clock());
                    prop_assert!(decided.is_ok());
                }
                drop(rules.list());
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
}

#[test]
fn seats_that_are_all_kept_are_told() {
    let rules = Rules::read(whole().as_bytes(), Path::new("auth.toml")).expect("it is right");
    assert!(rules.keeps_all_seats(5).is_none());
    let told = rules.keeps_all_seats(4).expect("none is left");
    assert!(told.contains("4 seats of 4 for tiers 0 to 2"), "{told}");
}

#[test]
fn a_file_of_many_credentials_is_read_in_time() {
    let credential = |n: usize| {
        let hash = TokenHash::of(&n.to_string());
        format!(
            "[[credentials]]\nid = \"web{n}\"\nrole = \"agent\"\ntoken = \"{hash}\"\nnames = [\"web{n}\"]\n"
        )
    };
    let patterns =
        (0..500).map(|n| credential(10_000 + n).replace("names = [\"web", "names = [\"db-*-"));
    let text = format!(
        "{ROLES}{}{}",
        (0..10_000).map(credential).collect::<String>(),
        patterns.collect::<String>()
    );
    assert!(text.len() < super::super::load::MAX_FILE);
    let began = std::time::Instant::now();
    let rules =
        Rules::read(text.as_bytes(), Path::new("auth.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rules.credentials.len(), 10_500);
    println!("{:?}", began.elapsed());
    // Far more than a debug build on a busy machine needs.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
