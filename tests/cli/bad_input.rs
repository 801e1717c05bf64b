//! Wrong command lines of both programs as their users meet them, one table for each program:
//! each is told in one line that names the value and what would be right, and ends with code 2.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::programs::{Ended, client, server};
use crate::support::write_secret;
use rustix::fs::{CWD, FileType, mknodat};
use tempfile::TempDir;

/// Words of a command line, as a shell takes them, and parts of its error.
fn wrong(table: &str) -> impl Iterator<Item = (Vec<String>, Vec<&str>)> {
    table.trim().lines().map(|line| {
        let (words, parts) = line.split_once("=> ").expect(line);
        let words = shlex::split(words).expect(line);
        (words, parts.split(" | ").collect())
    })
}

/// Makes the command line of one of the programs.
type Program = fn(&[&str]) -> Command;

/// The server and its subcommands.
const SERVER: &str = r##"
0 => '0' | from 1 to 1000000
ten => 'ten' | from 1 to 1000000
1000001 => '1000001' | from 1 to 1000000
1.5 => '1.5' | from 1 to 1000000
99999999999999999999 => from 1 to 1000000
'' => '' | from 1 to 1000000
' 5' => ' 5' | from 1 to 1000000
-1 => '-1
5 6 => '6'
--listen 5555 => '5555' | HOST:PORT
--listen 127.0.0.1 => '127.0.0.1' | HOST:PORT
--listen 127.0.0.1:65536 => 65536 | HOST:PORT
--listen ::1:5555 => '::1:5555' | [::1]:5555
--listen tcp://h:1 => 'tcp://h:1' | HOST:PORT
--listen :5555 => ':5555' | HOST:PORT
--listen '' => '' | HOST:PORT
--dispatch '' => '' | next, below, all
--dispatch 7-3 => '7-3' | smaller rank first
--dispatch 3- => '3-' | both ends
--dispatch all,1 => 'all,1' | stands alone
--dispatch 'a b' => 'a b' | (web*)
--heartbeat 0s => '0s' | from 10ms to 1day
--heartbeat soon => 'soon' | 500ms, 5s or 2m
--drain '1 parsec' => '1 parsec' | 500ms, 5s or 2m
--http 5580 => '5580' for '--http <HOST:PORT>' | HOST:PORT
--http 127.0.0.1:0 --http-host 'a b' => 'a b' for '--http-host <NAME>' | such as status.example
--http 127.0.0.1:0 --http-host relay.example:443 => 'relay.example:443' | without a port
--http 127.0.0.1:0 --http-host http://relay => 'http://relay' | such as status.example
--http-host relay.example => --http <HOST:PORT>
--http-token-file notes => --http <HOST:PORT>
--http 127.0.0.1:0 --http-token-file notes => token from notes | every user can read it
--max-line 1KiB => '1KiB' | from 16.0 KiB to
--max-line 1GiB => '1GiB' | to 16.0 MiB
--max-line long => 'long' | from 16.0 KiB to 16.0 MiB, with its unit
--max-queue 0 => '0' | from 1 to
--max-queue-bytes 2GiB => '2GiB' | to 1.0 GiB
--max-sends many => 'many' | from 1 to
--completions klingon => 'klingon' | bash
--frobnicate => '--frobnicate'
--heartbeat => --heartbeat | value
--quiet --quiet => --quiet
--audit notes => cannot keep an audit log in notes | is no audit log
--audit auth.toml => auth.toml: it is no audit log; give a new file
--audit fifo => fifo: it is no regular file; give a new file
--audit /dev/full => /dev/full: it is no regular file
--audit dir => in dir | Is a directory
--audit no/log => no/log | No such file
--audit a --audit b => '--audit <FILE>' | multiple times
--audit-keep 3 => --audit <FILE>
--token-file fifo => token from fifo | no regular file
--token-file notes => every user can read it | chmod o-r
--auth notes => notes:1: | expected
--expected none => none cannot be read: No such file
--expected dir => dir is no regular file
--expected fifo => is no regular file
--expected notes => error: notes:1:
--expected names.toml => error: names.toml:2:1: "web*" is neither a name (web1) nor a node set (web[01-20])
--expected auth.toml => error: auth.toml: | unknown field | expected `names`
--expected no.toml --check-config => no.toml cannot be read: No such file
--expected names.toml --check-config => names.toml:2:1: "web*"
--dir none => none | No such file
--cert notes --key notes => notes | no CERTIFICATE in PEM form
--open --auth auth.toml => '--open' | '--auth <FILE>'
--open --token-file notes => '--open' | '--token-file <FILE>'
--open --dir dir => '--open' | '--dir <DIR>'
audit => requires a subcommand | verify, show
audit show => <FILE>
audit show none => none cannot be read | No such file
audit show dir => dir is no regular file
audit show fifo => fifo is no regular file
audit show /dev/zero => /dev/zero is no regular file
audit show notes => notes is no audit log
audit show log notes => notes is no audit log
audit show log --name 'a b' => 'a b' for '--name <NAME>' | the name of one client
audit show log --name 'web*' => 'web*' for '--name <NAME>'
audit show log --identity '' => '' for '--identity <ID>' | 1 to 256
audit show log --since -1h => '-1h' for '--since <TIME>' | 2h
audit verify notes => notes is no audit log
audit verify fifo => fifo is no regular file
audit verify log log => log is given twice
audit verify log linked => linked is given twice
audit verify log --expect 12ab => '12ab' for '--expect <HASH>' | 64 hex digits
auth => requires a subcommand | add, list, revoke, check, try
auth list none => none | No such file
auth check dir => dir is no regular file
auth revoke none a => none cannot be read | No such file
auth revoke auth.toml bob => no credential "bob" | there are alice
auth add auth.toml --id 'a"b' --role agent --cert a:b => for '--id <ID>' | 1 to 256
auth add auth.toml --id alice --role agent --cert a:b => two credentials with this id
auth add auth.toml --id db --role boss --cert a:b => error: auth.toml stays as it was: credentials.db: role: found "boss" | these roles: agent
auth add none --id db --role agent --cert a:b => none cannot be read | No such file
auth add no/ne --id db --role agent --cert a:b => no/ne: | No such file
auth add dir --id db --role agent --cert a:b => dir is no regular file
auth add notes --id db --role agent --cert a:b => notes:1:
auth try auth.toml --id bob --to db -- x => no credential "bob"
auth try auth.toml --id alice --to 'web*' -- x => 'web*' for '--to <NAME>' | the name of one client
auth try auth.toml --id alice --to 'db[' -- x => 'db[' for '--to <NAME>'
auth try auth.toml --id alice --to '' -- x => '' for '--to <NAME>'
auth try auth.toml --id alice --to -1 -- x => '-1' for '--to <NAME>'
auth try auth.toml --id alice --to all -- x => 'all' for '--to <NAME>'
auth try auth.toml --id alice --to db => <WORDS>
tls => requires a subcommand | issue, renew, show
tls issue dir 'a b' => 'a b' for '<NAME>'
tls issue dir web1 => dir has no ca.pem | `pecking-server init`
tls issue dir web1 --days -1d => '-1d' for '--days <DAYS>' | such as 90
tls renew dir web1 --days 0 => '0' for '--days <DAYS>'
tls show notes => notes | no CERTIFICATE in PEM form
tls show fifo => fifo is no regular file
tls show dir => dir has no certificates
init => --name <NAMES> | <DIR>
init new --name 'a b' => "a b" is neither a host name nor an IP address
init new --name -1 => '-1' for '--name <NAMES>'
init notes --name x => notes is no folder
init no/new --name x => no/new | No such file
auth list auth.toml notes => 'notes'
auth lits auth.toml => 'lits'
auht => 'auht' | auth, audit, init, tls
--heartbeat 499999999999y => '499999999999y' for '--heartbeat <DURATION>' | at most 36500 days
--heartbeat 2d => '2d' for '--heartbeat <DURATION>' | to 1day
--drain 499999999999y => '499999999999y' for '--drain <DURATION>' | at most 36500 days
--drain -1s => '-1s' for '--drain <DURATION>' | 500ms, 5s or 2m
"##;

/// What is wrong with a credential that is added with `auth add`, besides its id and its role.
const ADDED: &str = r##"
--cert dns: => cert: found "dns:" | "pecking:web1"
--cert dns:a..b => cert: found "dns:a..b"
--cert pecking: => cert: found "pecking:"
--cert spiffe:// => cert: found "spiffe://"
--cert '' => cert: found ""
--cert web1 => cert: found "web1"
--cert a:b --connections x => 'x' for '--connections <N>' | from 0 to 1000000
--cert a:b --connections -1 => '-1' for '--connections <N>' | from 0 to 1000000
--cert a:b --connections 1000001 => '1000001' for '--connections <N>'
--cert a:b --expires x => 'x' for '--expires <DURATION>' | such as 90d
--cert a:b --expires -1d => '-1d' for '--expires <DURATION>' | such as 90d
--cert a:b --expires 0 => '0' for '--expires <DURATION>' | such as 90d
--cert a:b --expires 99999y => '99999y' for '--expires <DURATION>' | at most 36500d
--cert a:b --from 10.1.2.3/8 => from: found "10.1.2.3/8" | "10.0.0.0/8"
--cert a:b --name 'a b' => names: the name "a b" is not allowed
--cert a:b --name '{1}' => names: found "{1}" | no star
--cert a:b --name db --name db => names: found "db" twice
--cert a:b --name ALICE-1 => names in common with those of "alice"
--cert a:b --out new => '--cert <NAME>' | '--out <FILE>'
--out notes => notes exists already | a new file for the token
--out dir => dir exists already
--out no/new => cannot write no/new | No such file
--out new --replace --replace => '--replace' | multiple times
=> --out <FILE> | --cert <NAME>
"##;

/// The client and its subcommands.
const CLIENT: &str = r##"
--server 5555 => '5555' | HOST:PORT
--server '' => '' | HOST:PORT
--slots 1025 work => '1025' | 0 to 1024
--slots many work => 'many' | 0 to 1024
--connect-timeout 0 => '0' | above zero
--connect-timeout soon => 'soon' | 500ms
run => WORDS
run --to 7-3 -- x => '7-3' | smaller
run --timeout 0s -- x => '0s' | above
run --timeout x -- x => 'x' | 500ms
run --wait-for all x => 'all' | such as 3
run --frobnicate x => '--frobnicate'
members --yaml => '--yaml'
top => `pecking members`
top --color red => 'red' for '--color <WHEN>'
members web1 => 'web1'
work hard => 'hard'
print => 'print' | run, rerun, work, jobs, job, cancel, bench, members
completions => SHELL
--tier -1 => '-1' for '--tier <N>' | 0 (the highest) to 9
work --slots -1s => '-1s' for '--slots <N>' | from 0 to 1024
members --connect-timeout -1s => '-1s' for '--connect-timeout <DURATION>'
members --connect-timeout 499999999999y => '499999999999y' for '--connect-timeout <DURATION>' | at most 36500 days
members --server '' => '' for '--server <ADDRESS>' | HOST:PORT | PECKING_SERVER
members --server -1 => '-1' for '--server <ADDRESS>'
members --name -1 => '-1' for '--name <NAME>'
members --tag -1 => '-1' for '--tag <KEY=VALUE>' | role=web
members --tag a=1 --tag a=2 => --tag | "a" stands twice
members --wait --wait => '--wait' | multiple times
members --server-name 'a b' => 'a b' for '--server-name <NAME>' | relay.example
members --server-name '' => '' for '--server-name <NAME>' | relay.example
members --server-name h:1 => 'h:1' for '--server-name <NAME>' | without a port
members --server-name h => --server-name needs an address with tls://
members --pin -1 => '-1' for '--pin <PIN>' | sha256: and 64 hex digits
members --tls --ca fifo => fifo is no regular file
members --tls --ca notes => notes | no CERTIFICATE in PEM form
members --tls --cert dir --key dir => dir is no regular file
members --tls --cert notes => --key <FILE>
members --tls --plain => --plain is for connections without TLS
members --token-file none => token from none | No such file
members --token-file fifo => fifo is no regular file
members --token-file secret => secret | empty first line
members --policy notes --allow-any => '--policy <FILE>' | '--allow-any'
members --allow-root => --allow-any
members x => 'x'
mebmers => 'mebmers' | members
work --policy fifo => fifo is no regular file
work --audit notes => notes: it is no audit log; give a new file
work --audit /dev/null => /dev/null: it is no regular file
work --audit log --audit-keep -1 => '-1' for '--audit-keep <FILES>' | from 1 to
work --audit log --audit-rotate -1KiB => '-1KiB' for '--audit-rotate <SIZE>'
run -- => <WORDS>
run --deadline -1s -- x => '-1s' for '--deadline <DURATION>'
run --timeout -1 -- x => '-1' for '--timeout <DURATION>'
run --wait-for -1 -- x => '-1' for '--wait-for <N>' | such as 3
run --to -1 -- x => '-1' for '--to <SELECTOR>' | both ends
run --to '' -- x => selector "" has an empty item | web[1-20], role=web and #17
run --to next: -- x => selector "next:" has an empty item
run --to least-loaded: -- x => selector "least-loaded:" has an empty item
run --to @ -- x => '@' for '--to <SELECTOR>' | no group's name behind
run --to @web1 -- x => '@web1' for '--to <SELECTOR>' | there is no group "web1"
run --to '[1-3]' -- x => node set "[1-3]" | write ranks without brackets
run --to all,x -- x => "all" stands alone | member numbers, names, node sets, patterns and tags | all but web3 is *,!web3
run -w web1 -- x => '-w' found; targets are named with --to (--help tells more)
run --max-fail 2 -- x => --batch
run --pause 2s -- x => --batch
run --batch 2 --stdin -- x => '--stdin'; input goes to all targets at once
rerun a.jsonl => 'a.jsonl' found; a file is named with --failed
jobs web1 => 'web1' found; `pecking job ID` shows one
members role=web => 'role=web' found; `pecking run --dry-run --to SELECTOR -- x` shows some of them
bench --pairs -1 => '-1' for '--pairs <N>' | from 1 to 100000
bench --payload -1KiB => '-1KiB' for '--payload <SIZE>'
bench --duration 499999999999y => '499999999999y' for '--duration <DURATION>'
bench --warm-up 499999999999y => '499999999999y' for '--warm-up <DURATION>'
bench --to all => 'all' for '--to <HOW>' | name, next, rank
bench --name x => --name is not for bench
policy => requires a subcommand | check, try
policy make notes => 'make' | one of check, try
policy check none => none cannot be read | No such file
policy check notes => notes:1:
policy try notes => <WORDS>
policy try notes --tier -1 -- x => '-1' for '--tier <N>'
completions klingon => 'klingon' | bash
"##;

/// The values of options that are read as numbers, times and sizes, as `--help` calls them.
const MEASURES: [&str; 8] = [
    "<N>",
    "<W>",
    "<DURATION>",
    "<SIZE>",
    "<COMMANDS>",
    "<FILES>",
    "<DAYS>",
    "<TIME>",
];

/// A folder with files that nothing takes, and a log and an auth file that are right.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        fs::create_dir(place.path("dir")).expect("a folder");
        fs::write(place.path("notes"), "buy milk\n").expect("a file");
        fs::write(place.path("names.toml"), "names = [\"db1\",\n\"web*\"]\n").expect("a file");
        write_secret(place.path("secret"), "\n");
        mknodat(CWD, place.path("fifo"), FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
        let auth = "version = 1\n[roles.agent]\nmay = [\"execute\"]\n[[credentials]]\n\
                    id = \"alice\"\nrole = \"agent\"\ncert = \"pecking:alice\"\nnames = [\"alice-*\"]\n";
        fs::write(place.path("auth.toml"), auth).expect("a file");
        File::create(place.path("log")).expect("a file");
        fs::hard_link(place.path("log"), place.path("linked")).expect("a link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn expect_wrong(&self, mut command: Command, parts: &[&str]) {
        Ended::of(command.current_dir(self.0.path()))
            .expect_code(2)
            .expect_stdout("")
            .expect_one_line(parts);
    }

    /// The names of all that is in it.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry.expect("an entry")))
            .collect();
        names.sort();
        names
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("text")
}

#[test]
fn a_wrong_command_line_of_the_server_is_named_and_changes_nothing() {
    let place = Place::new();
    let (names, auth) = (place.names(), text(&place.path("auth.toml")));
    for (words, parts) in wrong(SERVER) {
        let mut command = server(&[]);
        command.args(&words);
        let has_no_address = !words.iter().any(|word| word == "--listen");
        if has_no_address && !["audit", "auth", "init", "tls"].contains(&&*words[0]) {
            // One that is free, if it starts all the same.
            command.args(["--listen", "127.0.0.1:0"]);
        }
        place.expect_wrong(command, &parts);
    }
    for (words, parts) in wrong(ADDED) {
        let mut command = server(&["auth", "add", "auth.toml", "--id", "db", "--role", "agent"]);
        command.args(words);
        place.expect_wrong(command, &parts);
    }
    let mut command = server(&["--listen", "127.0.0.1:0"]);
    command.arg(OsStr::from_bytes(b"\xff"));
    place.expect_wrong(command, &[r"'\xff' is no UTF-8"]);
    place.expect_wrong(server(&["1\n2"]), &["'1 2'", "from 1 to 1000000"]);
    assert_eq!(text(&place.path("auth.toml")), auth);
    assert_eq!(text(&place.path("notes")), "buy milk\n");
    assert_eq!(place.names(), names);
}

#[test]
fn a_wrong_command_line_of_the_client_is_named() {
    let place = Place::new();
    let names = place.names();
    for (words, parts) in wrong(CLIENT) {
        let mut command = client(&[]);
        command.args(words);
        place.expect_wrong(command, &parts);
    }
    let mut command = client(&["members", "--server"]);
    command.arg(OsStr::from_bytes(b"\xff:1"));
    place.expect_wrong(command, &[r"'\xff:1' is no UTF-8"]);
    let mut command = client(&["members"]);
    command.env("PECKING_SERVER", "");
    place.expect_wrong(command, &["HOST:PORT", "PECKING_SERVER"]);
    assert_eq!(place.names(), names);
}

/// Every option that is measured in something, of every subcommand, as its help names it.
#[test]
fn a_negative_value_is_named_with_its_option() {
    let place = Place::new();
    let programs: [(Program, &[&[&str]]); 2] = [
        (
            server,
            &[
                &[],
                &["auth", "add"],
                &["tls", "issue"],
                &["tls", "renew"],
                &["audit", "show"],
            ],
        ),
        (
            client,
            &[&["run"], &["work"], &["bench"], &["policy", "try"]],
        ),
    ];
    let mut count = 0;
    for (program, subcommands) in programs {
        for subcommand in subcommands {
            let help = Ended::of(&mut program(&[subcommand, &["--help"][..]].concat()));
            let is_measured = |rest: &str| MEASURES.iter().any(|kind| rest.starts_with(kind));
            let options = help.text().lines().filter_map(|line| {
                let (option, rest) = line.trim_start().split_once(' ')?;
                (option.starts_with("--") && is_measured(rest)).then_some(option)
            });
            for option in options {
                // It is no number either.
                let words = [subcommand, &[option, "-1s"][..]].concat();
                let parts = [&*format!("'-1s' for '{option} <"), "expected"];
                place.expect_wrong(program(&words), &parts);
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count} options");
}

#[test]
fn standard_output_that_takes_nothing_is_no_wrong_command_line() {
    let place = Place::new();
    for (program, words) in [
        (server as Program, &["auth", "list", "auth.toml"][..]),
        (server, &["audit", "verify", "log"]),
        (server, &["--completions", "bash"]),
        (client, &["completions", "bash"]),
    ] {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("a full device");
        let mut command = program(words);
        let ended = command.current_dir(place.0.path()).stdout(full).output();
        let ended = ended.expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}
