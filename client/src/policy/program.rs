//! Whether what an entry names is on this machine: checked when a policy is loaded, so that its
//! owner learns of a mistake before a sender does. A program that is gone later fails its run.

use super::error::{Fault, in_entry};
use super::parse::Entry;
use common::sys::trusted_file::{self, ROOT};
use common::wire::text::clip;
use rustix::fs::{Access, AtFlags, CWD};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn check(entry: &Entry) -> Result<(), Fault> {
    let fault = |at, message: String| Err(in_entry(Fault::at(at, message), &entry.name));
    let program = entry.command.run.first().map_or("", String::as_str);
    if let Some(reason) = unfit_program(program) {
        let message = format!(
            "run[0] is {:?}, which {reason}; expected the absolute path of a program that \
             this user may execute",
            clip(program)
        );
        return fault(entry.program_at, message);
    }
    let for_root = [("user", entry.user_at), ("groups", entry.groups_at)];
    let set = for_root.into_iter().find_map(|(key, at)| Some((key, at?)));
    if let Some((key, at)) = set.filter(|_| trusted_file::user() != ROOT) {
        let instead = match key {
            "user" => "runs as the client's user",
            _ => "has the groups of the client's user",
        };
        let message = format!(
            "{key} is set, which only root can do; expected an entry without it, which {instead}"
        );
        return fault(at, message);
    }
    let Some(cwd) = &entry.command.settings.cwd else {
        return Ok(());
    };
    let Some(reason) = unfit_folder(cwd) else {
        return Ok(());
    };
    let shown = cwd.to_string_lossy();
    let message = format!(
        "cwd is {:?}, which {reason}; expected a folder that this user may enter",
        clip(&shown)
    );
    fault(entry.cwd_at, message)
}

/// Why this is no program that could be started.
fn unfit_program(program: &str) -> Option<String> {
    let path = Path::new(program);
    if !path.is_absolute() {
        return Some("is no absolute path".into());
    }
    match path.metadata() {
        Err(error) => Some(format!("cannot be found ({error})")),
        Ok(found) if found.is_dir() => Some("is a folder".into()),
        Ok(found) if !found.is_file() => Some("is no regular file".into()),
        Ok(found) => denied(path).map(|error| {
            let mode = found.mode() & 0o7777;
            format!("may not be executed ({error}; its mode is {mode:04o})")
        }),
    }
}

/// Why no program could be started in this folder.
fn unfit_folder(path: &Path) -> Option<String> {
    match path.metadata() {
        Err(error) => Some(format!("cannot be found ({error})")),
        Ok(found) if !found.is_dir() => Some("is no folder".into()),
        Ok(_) => denied(path).map(|error| format!("may not be entered ({error})")),
    }
}

/// Why the system would not let us execute, or enter, what is there.
fn denied(path: &Path) -> Option<std::io::Error> {
    // The effective user counts, as for the run itself, and not the real one.
    let allowed = rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS);
    allowed.err().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_that_cannot_be_started_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, "#!/bin/true\n").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
            path.to_string_lossy().into_owned()
        };
        let good = make("good", 0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&good, &link).expect("a link");
        let link = link.to_string_lossy().into_owned();
        let plain = make("plain", 0o644);
        let inside_a_file = format!("{good}/x");
        let missing = format!("{good}.not");
        for (program, reason) in [
            (good.as_str(), None),
            (&link, None),
            (
                &plain,
                Some("may not be executed (Permission denied (os error 13); its mode is 0644)"),
            ),
            (&missing, Some("cannot be found (No such file")),
            (&inside_a_file, Some("cannot be found (Not a directory")),
            ("/", Some("is a folder")),
            ("/dev/null", Some("is no regular file")),
            ("", Some("is no absolute path")),
            ("true", Some("is no absolute path")),
            ("./true", Some("is no absolute path")),
            ("~/true", Some("is no absolute path")),
        ] {
            let found = unfit_program(program);
            let is_right = match (&found, reason) {
                (Some(found), Some(reason)) => found.contains(reason),
                (found, reason) => found.is_none() && reason.is_none(),
            };
            assert!(is_right, "{program}: {found:?} instead of {reason:?}");
        }
    }

    #[test]
    fn folders_that_cannot_be_entered_are_found() {
        assert_eq!(unfit_folder(Path::new("/")), None);
        let reason = unfit_folder(Path::new("/dev/null")).expect("no folder");
        assert_eq!(reason, "is no folder");
        let reason = unfit_folder(Path::new("/no/such/folder")).expect("no folder");
        assert!(reason.contains("No such file"), "{reason}");
    }
}
