//! `pecking run --stdin`: what it reads reaches real programs, and what it cannot read ends them.

use crate::executing::{
    Finished, Folder, PATIENCE, Program, Relay, Worker, anything, client, client_for, eventually,
};
use crate::readme::example;
use crate::support::Vitals;
use crate::support::programs::Server;
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Bytes of every value, in no simple order.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * at / 7 + at) as u8).collect()
}

/// Bytes that a debug build need not count out.
fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::fill(&mut bytes);
    bytes
}

/// Runs `pecking run --stdin` with more words and this to read.
#[track_caller]
fn run_reading(relay: &Relay, words: &[&str], stdin: impl Into<Stdio>) -> Program {
    let words = [&["run", "--stdin"], words].concat();
    Program::start_reading(&mut client_for(relay, &words), stdin)
}

/// Executors that run anything, by these names.
fn fleet(relay: &Relay, names: &[&str]) -> Vec<Worker> {
    let start =
        |name: &&str| Worker::start(relay, &["--allow-any", "--allow-root", "--name", name]);
    names.iter().map(start).collect()
}

#[test]
fn a_file_reaches_every_target_to_the_byte() {
    let relay = Relay::start();
    let _workers = fleet(&relay, &["a", "b", "c"]);
    let folder = Folder::new();
    for size in [0, 1, 3 << 20] {
        let all = bytes(size);
        std::fs::write(folder.path().join("file"), &all).expect("a file");
        let file = File::open(folder.path().join("file")).expect("a file");
        // Each has a file of its own.
        let script = format!("cat > {}/$PPID", folder.path().display());
        let words = ["--to", "below", "--", "/bin/sh", "-c", &script];
        let ended = run_reading(&relay, &words, file).finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        std::fs::remove_file(folder.path().join("file")).expect("it is there");
        let mut count = 0;
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert!(std::fs::read(&path).expect("a file") == all, "{size}");
            std::fs::remove_file(path).expect("it is there");
            count += 1;
        }
        assert_eq!(count, 3);
    }
}

#[test]
fn input_costs_no_memory_to_speak_of() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    const MOST: usize = 16 << 20;
    let server = Server::start(&["9"]);
    let start = |name: &&str| {
        let words = ["work", "--allow-any", "--allow-root", "--name", name];
        let worker = Program::start(&mut server.client(&words));
        worker.stderr.wait_for("joined as", PATIENCE);
        worker
    };
    let workers: Vec<Program> = NAMES.iter().map(start).collect();
    let folder = Folder::new();
    // The slow one begins late, so that all that may wait for it does.
    let script = format!(
        "echo up; if mkdir {0}/slow 2>/dev/null; then sleep 1; fi; cat > {0}/$PPID",
        folder.path().display()
    );
    let words = [
        "run", "--stdin", "--to", "below", "--", "/bin/sh", "-c", &script,
    ];
    let (stdin, mut into) = std::io::pipe().expect("a pipe");
    let run = Program::start_reading(&mut server.client(&words), stdin);
    run.stdout.wait_for("up", PATIENCE);
    let pids = [server.process.id(), run.id()].into_iter();
    let pids = pids.chain(workers.iter().map(Program::id));
    let Some(vitals) = pids.map(Vitals::of).collect::<Option<Vec<_>>>() else {
        return;
    };
    let before: Vec<usize> = vitals.iter().map(|of| of.most_resident()).collect();
    let all = random(24 << 20);
    std::io::Write::write_all(&mut into, &all).expect("it is read");
    let copies = workers
        .iter()
        .map(|worker| folder.path().join(worker.id().to_string()));
    let copies: Vec<_> = copies.collect();
    let size = |copy: &PathBuf| std::fs::metadata(copy).map_or(0, |copy| copy.len());
    eventually("all of it is there", PATIENCE, || {
        copies.iter().all(|copy| size(copy) == all.len() as u64)
    });
    let after = vitals.iter().map(|of| of.most_resident());
    let grown: Vec<usize> = after.zip(&before).map(|(now, then)| now - then).collect();
    assert!(grown.iter().all(|grown| *grown <= MOST), "{grown:?}");
    drop(into);
    assert_eq!(run.finish(PATIENCE).code, Some(0));
    for copy in copies {
        assert!(std::fs::read(copy).expect("a file") == all);
    }
}

#[test]
fn once_a_command_has_ended_everywhere_the_rest_stays_unread() {
    let relay = Relay::start();
    let _workers = fleet(&relay, &["fast", "slow"]);
    // There is more.
    let endless = File::open("/dev/zero").expect("it is there");
    let words = ["--to", "below", "--", "/usr/bin/head", "-c", "3"];
    let ended = run_reading(&relay, &words, endless).finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Nothing comes.
    let (silent, _open) = std::io::pipe().expect("a pipe");
    let ended = run_reading(&relay, &["--to", "fast", "--", "/bin/true"], silent);
    assert_eq!(ended.finish(PATIENCE).code, Some(0));
    // One target ends at once, and holds the other one up no longer.
    let all = bytes(3 << 20);
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, &all).expect("a file");
    let script = format!(
        "mkdir {0}/first && exit; cat > {0}/copy",
        folder.path().display()
    );
    let words = ["--to", "below", "--", "/bin/sh", "-c", &script];
    let ended = run_reading(&relay, &words, File::open(file).expect("a file"));
    assert_eq!(ended.finish(PATIENCE).code, Some(0));
    assert!(std::fs::read(folder.path().join("copy")).expect("a file") == all);
}

#[test]
fn input_that_cannot_be_read_cancels_the_command() {
    let (relay, _boss, _worker) = anything(1);
    let folder = Folder::new();
    let script = format!("cat > {0}/part && touch {0}/whole", folder.path().display());
    // A folder is what no program can read.
    let unreadable = File::open(folder.path()).expect("a folder");
    let ended = run_reading(&relay, &["--", "/bin/sh", "-c", &script], unreadable);
    let ended = ended.finish(PATIENCE);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("cannot read standard input"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("cancelled"), "{}", ended.stderr);
    assert!(!folder.path().join("whole").exists());
}

#[test]
fn an_interrupt_ends_it_and_nothing_takes_a_part_for_the_whole() {
    let (relay, _boss, _worker) = anything(1);
    let folder = Folder::new();
    let script = format!(
        "echo up; cat > {0}/part && touch {0}/whole",
        folder.path().display()
    );
    let (silent, mut open) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut open, b"a part").expect("a pipe");
    let run = run_reading(&relay, &["--", "/bin/sh", "-c", &script], silent);
    run.stdout.wait_for("up", PATIENCE);
    run.signal(Signal::INT);
    let ended = run.finish(PATIENCE);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(!folder.path().join("whole").exists());
}

#[test]
fn without_the_option_nothing_is_passed_on_and_a_script_is_refused_with_what_to_do() {
    let (relay, _boss, _worker) = anything(1);
    let file = File::open("/bin/sh").expect("a file");
    let mut command = client_for(&relay, &["run", "--", "/bin/cat"]);
    let ended = Program::start_reading(&mut command, file).finish(PATIENCE);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 0));
    assert!(ended.stderr.contains("--stdin does"), "{}", ended.stderr);
    let refused = client(&relay, &["run", "--script", "deploy.sh", "--", "x"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for part in ["deploy.sh", "--stdin", "stdin = true", "put-config"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
}

/// What a folder has, apart from one that a test looks at by itself.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_readmes_example_puts_a_file_into_place_whole_or_not_at_all() {
    let folder = Folder::new();
    let whole = example("[commands.put-config]");
    let (policy, commands) = whole.split_at(whole.find("\npecking ").expect("commands"));
    assert!(
        commands.contains("pecking run --stdin --to 'web*' -- put-config main.conf < main.conf\n")
    );
    let relay = Relay::start();
    let mut workers = Vec::new();
    for name in ["web1", "web2"] {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).expect("a folder");
        let policy = policy.replace("/etc/app", place.to_str().expect("a plain path"));
        let policy = folder.file(&format!("{name}.toml"), &policy, 0o600);
        let policy = policy.to_str().expect("a plain path");
        workers.push(Worker::start(&relay, &["--policy", policy, "--name", name]));
    }
    let start = |name: &str, stdin: Stdio| {
        run_reading(&relay, &["--to", "web*", "--", "put-config", name], stdin)
    };
    let put = |name: &str, stdin: Stdio| -> Finished { start(name, stdin).finish(PATIENCE) };
    for content in ["a = 1\n".repeat(100_000), "b = 2\n".into()] {
        let file = folder.file("main.conf", &content, 0o600);
        let ended = put("main.conf", File::open(file).expect("a file").into());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for name in ["web1", "web2"] {
            let place = folder.path().join(name);
            assert_eq!(names(&place), ["main.conf"]);
            let put = std::fs::read_to_string(place.join("main.conf")).expect("a file");
            assert!(put == content);
            let mode = std::fs::metadata(place.join("main.conf"))
                .expect("a file")
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o644);
        }
    }
    // What is not whole changes nothing, and leaves nothing behind once it is being written: a shell that
    // is told to end while it starts `cat` may miss that.
    let (part, mut open) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut open, b"c = 3\n").expect("a pipe");
    let run = start("main.conf", part.into());
    eventually("both write", PATIENCE, || {
        ["web1", "web2"]
            .iter()
            .all(|name| has_part(&folder.path().join(name)))
    });
    run.signal(Signal::INT);
    let ended = run.finish(PATIENCE);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    for wrong in ["../passwd", "main", "-x.conf", "a.confx", "A.conf"] {
        let ended = put(wrong, Stdio::null());
        assert_eq!(ended.code, Some(5), "{wrong}: {}", ended.stderr);
    }
    // An empty file is one that was said to be empty.
    let without = client(
        &relay,
        &["run", "--to", "web*", "--", "put-config", "main.conf"],
    );
    assert_eq!(without.code, Some(5), "{}", without.stderr);
    for name in ["web1", "web2"] {
        let place = folder.path().join(name);
        // A program that is ended removes its temporary file after the run has ended.
        eventually("one file is left", PATIENCE, || {
            names(&place) == ["main.conf"]
        });
        let kept = std::fs::read_to_string(place.join("main.conf")).expect("a file");
        assert_eq!(kept, "b = 2\n");
    }
    let unreadable = File::open(folder.path()).expect("a folder");
    assert_eq!(put("main.conf", unreadable.into()).code, Some(1));
    for name in ["web1", "web2"] {
        let kept = std::fs::read_to_string(folder.path().join(name).join("main.conf"));
        assert_eq!(kept.expect("a file"), "b = 2\n");
    }
}

/// Whether something is written beside the file that is in place.
fn has_part(place: &Path) -> bool {
    let parts = names(place).into_iter().filter(|name| name != "main.conf");
    let mut sizes = parts.map(|part| place.join(part).metadata().map_or(0, |it| it.len()));
    sizes.any(|size| size > 0)
}
