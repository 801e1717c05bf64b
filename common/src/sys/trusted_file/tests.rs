//! Files, folders and links of several owners and modes. What only root can set up is
//! skipped by name for others.

use super::*;
use crate::skipped::skipped;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use tempfile::TempDir;

/// The bound of the files here.
const MOST: usize = 4096;

/// A user that is neither the user of these tests nor root.
const OTHER: u32 = 12345;

/// A folder of the tests' user below `/tmp`, with a file `p` in a folder `d`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        fs::create_dir(place.path("d")).expect("a folder");
        place.mode("d", 0o755);
        place.file("d/p", 0o644);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, mode: u32) {
        fs::write(self.path(name), "content").expect("a file");
        self.mode(name, mode);
    }

    fn mode(&self, name: &str, mode: u32) {
        let mode = Permissions::from_mode(mode);
        fs::set_permissions(self.path(name), mode).expect("its mode");
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        read(&self.path(name), user(), MOST).map_err(|reason| reason.to_string())
    }

    /// The reason with the temporary folder's name left out.
    fn reason(&self, name: &str) -> String {
        let reason = self.read(name).expect_err(name);
        let prefix = format!("{}/", self.0.path().display());
        reason.replace(&prefix, "")
    }
}

fn is_root() -> bool {
    if user() != ROOT {
        skipped("only root can give a file to another user");
    }
    user() == ROOT
}

#[test]
fn an_own_file_that_only_its_owner_writes_is_read() {
    let place = Place::new();
    for mode in [0o644, 0o600, 0o400, 0o755, 0o1644] {
        place.file("d/q", mode);
        assert_eq!(place.read("d/q").as_deref(), Ok(b"content".as_slice()));
        fs::remove_file(place.path("d/q")).expect("it goes");
    }
    assert!(place.read("d/../d/./p").is_ok());
}

#[test]
fn what_others_may_write_is_refused_with_the_command_that_mends_it() {
    for (file, folder, reason) in [
        (
            0o664,
            0o755,
            "the regular file d/p has mode 0664, so that its group may write it; only its owner may (chmod g-w d/p)",
        ),
        (
            0o646,
            0o755,
            "the regular file d/p has mode 0646, so that every user may write it; only its owner may (chmod o-w d/p)",
        ),
        (
            0o666,
            0o755,
            "the regular file d/p has mode 0666, so that every user may write it; only its owner may (chmod go-w d/p)",
        ),
        // Sticky says nothing about a file.
        (
            0o1666,
            0o755,
            "the regular file d/p has mode 1666, so that every user may write it; only its owner may (chmod go-w d/p)",
        ),
        (
            0o644,
            0o775,
            "the folder d has mode 0775, so that its group may write it; only its owner may (chmod g-w d)",
        ),
        (
            0o644,
            0o757,
            "the folder d has mode 0757, so that every user may write it; only its owner may (chmod o-w d)",
        ),
        (
            0o644,
            0o2777,
            "the folder d has mode 2777, so that every user may write it; only its owner may (chmod go-w d)",
        ),
    ] {
        let place = Place::new();
        place.mode("d/p", file);
        place.mode("d", folder);
        assert_eq!(place.reason("d/p"), reason);
    }
}

#[test]
fn an_own_file_in_a_sticky_folder_is_read() {
    let place = Place::new();
    for mode in [0o1777, 0o1775] {
        place.mode("d", mode);
        assert!(place.read("d/p").is_ok(), "{mode:o}");
    }
    // But not for what another user put there.
    if is_root() {
        chown(place.path("d/p"), Some(OTHER), None).expect("its owner");
        let reason = "the regular file d/p belongs to uid 12345; it must belong to root, which runs this program";
        assert_eq!(place.reason("d/p"), reason);
    }
}

#[test]
fn an_unsafe_folder_anywhere_above_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("a/b/c")).expect("folders");
    place.file("a/b/c/p", 0o644);
    for name in ["a", "a/b", "a/b/c"] {
        place.mode(name, 0o777);
        let reason = place.reason("a/b/c/p");
        assert!(
            reason.starts_with(&format!("the folder {name} has mode 0777")),
            "{reason}"
        );
        // So does one that is passed through only.
        assert_eq!(place.reason("a/b/c/../../../d/p"), reason);
        place.mode(name, 0o755);
    }
    assert!(place.read("a/b/c/p").is_ok());
}

#[test]
fn each_link_and_its_target_are_checked() {
    let place = Place::new();
    fs::create_dir(place.path("links")).expect("a folder");
    place.mode("links", 0o755);
    let link = |name: &str, target: &Path| symlink(target, place.path(name)).expect("a link");
    link("links/relative", Path::new("../d/p"));
    link("links/absolute", &place.path("links/relative"));
    link("links/folder", Path::new("../d"));
    link("links/loop", Path::new("loop"));
    link("links/dangling", Path::new("nothing"));
    let ways = ["links/relative", "links/absolute", "links/folder/p"];
    for way in ways {
        assert!(place.read(way).is_ok(), "{way}");
    }
    for (weak, mode) in [("links", 0o777), ("d", 0o775), ("d/p", 0o666)] {
        let strict = if weak == "d/p" { 0o644 } else { 0o755 };
        place.mode(weak, mode);
        for way in ways {
            let reason = place.reason(way);
            assert!(
                reason.contains(&format!(" {weak} has mode")),
                "{way}: {reason}"
            );
        }
        place.mode(weak, strict);
    }
    assert!(
        place
            .reason("links/loop")
            .contains("more than 40 symbolic links")
    );
    assert!(
        place
            .reason("links/dangling")
            .contains("links/nothing cannot be read: No such file")
    );
}

#[test]
fn a_link_to_a_link_in_an_unsafe_folder_is_refused() {
    let place = Place::new();
    for folder in ["weak", "strict"] {
        fs::create_dir(place.path(folder)).expect("a folder");
        place.mode(folder, 0o755);
    }
    symlink("../d/p", place.path("weak/second")).expect("a link");
    symlink("../weak/second", place.path("strict/first")).expect("a link");
    assert!(place.read("strict/first").is_ok());
    place.mode("weak", 0o777);
    let reason = place.reason("strict/first");
    assert!(
        reason.starts_with("the folder weak has mode 0777"),
        "{reason}"
    );
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    symlink("p", place.path("d/link")).expect("a link");
    let whole = place.0.path().to_owned();
    for (path, name, kind) in [
        (place.path("d/p"), "d/p", "regular file"),
        (place.path("d"), "d/p", "folder"),
        (place.path("d/link"), "d/link", "symbolic link"),
        (whole, "d/p", "folder"),
    ] {
        std::os::unix::fs::lchown(&path, Some(OTHER), None).expect("its owner");
        let reason = place.read(name).expect_err(name);
        let expected = format!("the {kind} {} belongs to uid 12345", path.display());
        assert!(reason.starts_with(&expected), "{reason}");
        // Its owner trusts it, and what belongs to root every user trusts.
        assert!(read(&place.path(name), OTHER, MOST).is_ok(), "{name}");
        std::os::unix::fs::lchown(&path, Some(ROOT), None).expect("its owner");
        assert!(read(&place.path(name), OTHER, MOST).is_ok(), "{name}");
    }
}

#[test]
fn a_user_that_is_not_root_is_named() {
    let reason = Distrust::Owner {
        kind: Kind::File,
        path: "/p".into(),
        owner: 7,
        user: 1000,
    };
    assert_eq!(
        reason.to_string(),
        "the regular file /p belongs to uid 7; it must belong to uid 1000, which runs this program, or to root"
    );
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let place = Place::new();
    let fifo = place.path("d/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO");
    for (name, reason) in [
        ("d", "d is no regular file"),
        ("d/fifo", "d/fifo is no regular file"),
        ("d/p/x", "d/p is no folder"),
        ("d/p/..", "d/p is no folder"),
        ("d/nothing", "d/nothing cannot be read: No such file"),
    ] {
        let found = place.reason(name);
        assert!(found.contains(reason), "{name}: {found}");
    }
    assert!(read(Path::new(""), user(), MOST).is_err());
    assert!(read(Path::new("/"), user(), MOST).is_err());
    assert!(read(Path::new("/dev/null"), user(), MOST).is_err());
}

#[test]
fn a_reason_names_the_file_once() {
    let place = Place::new();
    let missing = place.path("d/nothing");
    let reason = read(&missing, user(), MOST).expect_err("it is not there");
    let shown = missing.display().to_string();
    assert_eq!(reason.about(&missing).matches(&shown).count(), 1);
    let deeper = place.path("no/file");
    let reason = read(&deeper, user(), MOST).expect_err("its folder is not there");
    let told = reason.about(&deeper);
    assert!(
        told.starts_with(&format!("{}: ", deeper.display())),
        "{told}"
    );
    assert!(told.contains("/no cannot be read"), "{told}");
}

#[test]
fn a_file_past_its_bound_is_refused() {
    let place = Place::new();
    fs::write(place.path("d/p"), vec![b'#'; MOST]).expect("a file");
    assert_eq!(place.read("d/p").map(|bytes| bytes.len()), Ok(MOST));
    for size in [MOST as u64 + 1, 1 << 30] {
        let file = File::create(place.path("d/p")).expect("a file");
        file.set_len(size).expect("a sparse file");
        let reason = "d/p has more than 4096 bytes, the most that are read";
        assert_eq!(place.reason("d/p"), reason);
    }
}

#[test]
fn a_path_is_shown_on_one_line() {
    let place = Place::new();
    place.file("d/a\n\u{202e}b", 0o666);
    let reason = place.reason("d/a\n\u{202e}b");
    assert!(
        reason.contains("d/a\\n\\u{202e}b has mode 0666"),
        "{reason}"
    );
}

#[test]
fn a_file_to_append_to_is_made_for_its_owner_alone_or_held_to_the_same_rules() {
    let place = Place::new();
    symlink(place.path("d/new"), place.path("link")).expect("a link");
    let (_, real) = append(&place.path("link"), user()).expect("a new file");
    assert_eq!(real.file_name(), Some("new".as_ref()));
    let mode = real.metadata().expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    for (name, file, folder, reason) in [
        ("d/p", 0o644, 0o755, None),
        ("d/p", 0o620, 0o755, Some("its group may write it")),
        ("d/p", 0o644, 0o775, Some("the folder d has mode 0775")),
        ("d/n", 0o644, 0o777, Some("the folder d has mode 0777")),
        (
            "d/no/n",
            0o644,
            0o755,
            Some("d/no cannot be read: No such file"),
        ),
        (
            "d",
            0o644,
            0o755,
            Some("d cannot be written: Is a directory"),
        ),
    ] {
        place.mode("d/p", file);
        place.mode("d", folder);
        let opened = append(&place.path(name), user()).map_err(|e| e.to_string());
        let prefix = format!("{}/", place.0.path().display());
        match (opened, reason) {
            (Ok(_), None) => {}
            (Err(why), Some(part)) => assert!(why.replace(&prefix, "").contains(part), "{why}"),
            (opened, _) => panic!("{name} {reason:?}: {opened:?}"),
        }
    }
    let error = append(Path::new("/dev/full"), user()).map(drop);
    error.expect("a device of root's can be written");
}
