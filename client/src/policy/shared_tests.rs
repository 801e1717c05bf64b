//! Which senders a policy lets run what, and what `[defaults]` and entries say together.

use super::*;
use crate::policy::Settings;
use crate::policy::tests::{refused, words};
use crate::policy::{Policy, Rights, Sender};
use common::sys::trusted_file;

const POLICY: &str = r#"
[defaults]
from = { tier = 5 }
umask = "077"
setuid = true
[commands.plain]
run = ["/bin/true"]
[commands.deploy]
run = ["/bin/echo"]
args = ["v[0-9]+"]
from = { tier = 3, roles = ["operator", "deployer"], identities = ["alice", "ci bot"] }
setuid = false
[commands.any]
run = ["/bin/true"]
from = { tier = 9 }
umask = "002"
[commands.known]
run = ["/bin/true"]
from = { identities = ["alice"] }
"#;

fn policy(text: &str) -> Policy {
    Policy::from_bytes(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn sender<'a>(tier: Option<u64>, role: &'a str, identity: &'a str) -> Sender<'a> {
    Sender {
        tier: tier.map(|tier| Tier::new(tier).expect("a tier")),
        role: (!role.is_empty()).then(|| Name::known(role)),
        identity: Identity::new(identity).ok(),
    }
}

#[test]
fn what_an_entry_says_takes_the_place_of_the_default() {
    let policy = policy(POLICY);
    let shown = policy.to_string();
    assert_eq!(
        shown,
        "any: /bin/true (from.tier 9, umask 002, setuid true)\n\
         deploy: /bin/echo <v[0-9]+> (from.tier 3, from.roles operator,deployer, \
         from.identities alice,'ci bot', umask 077)\n\
         known: /bin/true (from.identities alice, umask 077, setuid true)\n\
         plain: /bin/true (from.tier 5, umask 077, setuid true)\n"
    );
}

#[test]
fn a_sender_runs_what_is_for_it_and_is_told_nothing_of_other_senders() {
    let policy = policy(POLICY);
    let unknown = "\"x\" is no command of this client's policy; it has";
    for (sender, command, refusal) in [
        (
            sender(Some(3), "operator", "alice"),
            &["deploy", "v7"][..],
            "",
        ),
        (sender(Some(0), "deployer", "ci bot"), &["deploy", "v7"], ""),
        (sender(Some(5), "", ""), &["plain"], ""),
        (sender(Some(9), "", ""), &["any"], ""),
        (sender(None, "", "alice"), &["known"], ""),
        (
            sender(Some(6), "operator", "alice"),
            &["plain"],
            "plain is not for this sender, by defaults.from.tier: its tier is 6",
        ),
        (
            sender(None, "operator", "alice"),
            &["any"],
            "any is not for this sender, by commands.any.from.tier: the server does not say its tier",
        ),
        (
            sender(Some(0), "developer", "alice"),
            &["deploy", "v7"],
            "deploy is not for this sender, by commands.deploy.from.roles: its role is developer",
        ),
        (
            sender(Some(0), "operator", "bob"),
            &["deploy", "v7"],
            "deploy is not for this sender, by commands.deploy.from.identities: its identity is bob",
        ),
        // Nor is it told which words would be taken.
        (
            sender(Some(0), "operator", "bob"),
            &["deploy"],
            "deploy is not for this sender, by commands.deploy.from.identities: its identity is bob",
        ),
        (
            sender(Some(0), "operator", "alice"),
            &["deploy", "7"],
            "deploy: its word 1, \"7\", does not match v[0-9]+",
        ),
        (
            sender(Some(0), "operator", "alice"),
            &["x"],
            &format!("{unknown} any, deploy, known, plain"),
        ),
        (sender(Some(9), "", ""), &["x"], &format!("{unknown} any")),
        (
            Sender::default(),
            &["x"],
            &format!("{unknown} none for this sender"),
        ),
    ] {
        let found = policy.plan(&sender, &words(command));
        let found = found.map_or_else(|refusal| refusal.to_string(), |_| String::new());
        assert_eq!(found, refusal, "{sender:?} {command:?}");
    }
}

#[test]
fn wrong_rules_are_told_with_their_place() {
    let entry = "[commands.x]\nrun = ['/bin/true']\n";
    let long = "x".repeat(257);
    for (line, column, what) in [
        (
            "from = { tier = 10 }",
            17,
            "found 10, expected a whole number from 0 to 9",
        ),
        (
            "from = { tier = -1 }",
            17,
            "found -1, expected a whole number from 0 to 9",
        ),
        (
            "from = { tier = '0' }",
            17,
            "expected a whole number from 0 to 9",
        ),
        (
            "from = { names = ['a'] }",
            10,
            "unknown field `names`, expected one of `tier`, `roles`, `identities`",
        ),
        ("from = { role = 'a' }", 10, "unknown field `role`"),
        (
            "from = {}",
            8,
            "from is empty, expected tier, roles, identities",
        ),
        (
            "from = 'alice'",
            8,
            "expected a table such as { tier = 0, roles = [\"operator\"] }",
        ),
        (
            "from = [0]",
            8,
            "invalid type: sequence, expected a table such as { tier = 0",
        ),
        (
            "from = { roles = [] }",
            18,
            "from.roles is empty, which no sender satisfies; expected [\"operator\"]",
        ),
        (
            "from = { tier = 0, identities = [] }",
            33,
            "from.identities is empty, which no sender satisfies; expected [\"alice\"]",
        ),
        (
            "from = { roles = 'operator' }",
            18,
            "expected an array of strings",
        ),
        (
            "from = { roles = [7] }",
            19,
            "expected a role such as \"operator\"",
        ),
        (
            "from = { roles = ['a b'] }",
            19,
            "found \"a b\", expected a role, which has the form of a name",
        ),
        (
            "from = { roles = ['7'] }",
            19,
            "found \"7\", expected a role",
        ),
        (
            "from = { identities = [''] }",
            24,
            "found \"\", expected 1 to 256 printable",
        ),
        (
            "from = { identities = ['a\"b'] }",
            24,
            "without quotes and backslashes",
        ),
        ("from = { identities = ['\u{e4}'] }", 24, "printable ASCII"),
        (
            &format!("from = {{ identities = ['{long}'] }}"),
            24,
            "expected 1 to 256",
        ),
        (
            "user = 'no-such-user'",
            8,
            "found \"no-such-user\", expected a user of this machine",
        ),
        ("user = \"a\\u0000b\"", 8, "expected a user of this machine"),
        (
            "user = ''",
            8,
            "found \"\", expected a user of this machine",
        ),
        (
            "user = 0",
            8,
            "expected a user's name in quotes such as \"deploy\"",
        ),
        ("umask = '888'", 9, "octal digits"),
        ("setuid = 'yes'", 10, "expected true or false"),
    ] {
        for (text, table, row) in [
            (format!("{entry}{line}\n"), "commands.x", 3),
            (format!("[defaults]\n{line}\n{entry}"), "defaults", 2),
        ] {
            let error = refused(&text);
            let start = format!("p:{row}:{column}: {table}: ");
            assert!(
                error.starts_with(&start) && error.contains(what),
                "{text}: {error}"
            );
        }
    }
    for (defaults, start) in [
        (
            "[defaults]\nrun = ['/bin/true']\n",
            "p:2:1: defaults: unknown field `run`",
        ),
        (
            "[defaults]\ntimeout = '1s'\n",
            "p:2:1: defaults: unknown field `timeout`",
        ),
        (
            "defaults = 7\n",
            "p:1:12: defaults: invalid type: integer `7`, expected a table such as [defaults]",
        ),
        (
            "[[defaults]]\n",
            "p:1:1: defaults: invalid type: sequence, expected a table such as [defaults]",
        ),
    ] {
        let error = refused(&format!("{defaults}{entry}"));
        assert!(error.starts_with(start), "{defaults}: {error}");
    }
    let error = refused("[defaults]\numask = '077'\n");
    assert!(error.contains("names no command"), "{error}");
}

/// The user of this process, and a policy's entry for it.
fn rights(line: &str) -> Rights {
    let policy = policy(&format!("[commands.x]\nrun = ['/bin/true']\n{line}\n"));
    let command = policy.command("x").expect("it is named");
    command.settings.rights(trusted_file::user())
}

#[test]
fn a_run_starts_as_its_user_with_the_groups_of_that_unless_the_entry_names_others() {
    let is_root = trusted_file::user() == trusted_file::ROOT;
    if !is_root {
        return crate::skipped::skipped("only root can have a program run as another user");
    }
    let found = nix::unistd::User::from_name("daemon").expect("a look-up");
    let Some(daemon) = found else {
        return crate::skipped::skipped("there is no user daemon here");
    };
    let (user, group) = (daemon.uid.as_raw(), daemon.gid.as_raw());
    for (line, id, groups, shown) in [
        (
            "",
            0,
            vec![],
            "the client's own user (here uid 0), no groups, umask 022".to_owned(),
        ),
        (
            "user = 'daemon'",
            user,
            vec![group],
            format!("daemon (uid {user}, gid {group}), groups {group}, umask 022"),
        ),
        (
            "user = 'daemon'\ngroups = ['0', '4711']\numask = '7'\nsetuid = true",
            user,
            vec![0, 4711],
            format!("daemon (uid {user}, gid {group}), groups 0,4711, umask 007, setuid true"),
        ),
        (
            "user = 'daemon'\ngroups = []",
            user,
            vec![],
            format!("daemon (uid {user}, gid {group}), no groups, umask 022"),
        ),
    ] {
        let rights = rights(line);
        assert_eq!(
            (rights.user_id(), &rights.groups),
            (id, &Some(groups)),
            "{line}"
        );
        assert_eq!(rights.to_string(), shown, "{line}");
    }
    let ordinary = Settings::default().rights(1000);
    assert_eq!(
        (ordinary.user_id(), ordinary.groups.as_ref(), ordinary.umask),
        (1000, None, None)
    );
    let shown = "the client's own user (here uid 1000), its groups, its umask";
    assert_eq!(ordinary.to_string(), shown);
}
