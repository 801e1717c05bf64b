//! A text in the place of a file, as a whole: a reader has the old one or the new one, and never
//! half of either, also if the program or the machine ends meanwhile.
//!
//! Two programs that do it at a time do not notice each other; the later one wins.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// Puts a text in the place of a file that is there, with the owner, the group and the mode that it
/// has. A file that is reached by a link is replaced where it is. When this returns, the disk has it.
///
/// # Errors
/// There is no such file, or its folder takes no other one; then the file is as it was, and
/// nothing else is left.
pub fn replace_file(file: &Path, text: &[u8]) -> io::Result<()> {
    let file = fs::canonicalize(file)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let old = file.metadata()?;
    // In the same folder, as a rename does not reach another file system. Until it has its place
    // only its owner can read it.
    let mut new = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    new.write_all(text)?;
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    let mode = PermissionsExt::from_mode(old.mode() & 0o777);
    new.as_file().set_permissions(mode)?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_where_it_is_with_its_mode_and_a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").expect("a file");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("a mode");
        symlink(&file, &link).expect("a link");
        for (path, text) in [(&file, "new"), (&link, "newer")] {
            let before = file.metadata().expect("it is there");
            replace_file(path, text.as_bytes()).expect("it is replaced");
            assert_eq!(fs::read_to_string(&file).expect("a text"), text);
            let after = file.metadata().expect("it is there");
            assert_eq!(after.mode(), before.mode());
            assert_ne!(after.ino(), before.ino(), "it is another file");
            assert!(link.is_symlink());
        }
        assert_eq!(folder.path().read_dir().expect("it").count(), 2);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = replace_file(&folder.path().join("file"), b"new").expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(folder.path().read_dir().expect("it").count(), 0);
    }
}
