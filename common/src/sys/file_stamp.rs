//! Whether a file has changed since it was looked at last, without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What changes with a file's contents or with the file itself: device, inode, size, and the times
/// of its last change. Two stamps of a path that are equal mean the same contents, but for a change
/// within one tick of the system's clock that keeps the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(Option<([u64; 3], [i64; 4])>);

impl FileStamp {
    /// The stamp of what stands at a path now; links are followed. A path that leads nowhere, or
    /// cannot be looked at, has one as well.
    pub fn of(path: &Path) -> FileStamp {
        let found = path.metadata().ok();
        FileStamp(found.map(|file| {
            let changed = [
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            ];
            ([file.dev(), file.ino(), file.size()], changed)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let none = FileStamp::of(&file);
        std::fs::write(&file, "one").expect("a file");
        let first = FileStamp::of(&file);
        assert_ne!(first, none);
        assert_eq!(first, FileStamp::of(&file));
        std::fs::write(&file, "longer").expect("a file");
        let second = FileStamp::of(&file);
        assert_ne!(second, first);
        std::fs::write(&other, "longer").expect("a file");
        std::fs::rename(&other, &file).expect("a name");
        assert_ne!(
            FileStamp::of(&file),
            second,
            "another file of the same size"
        );
        std::fs::remove_file(&file).expect("a file");
        assert_eq!(FileStamp::of(&file), none);
    }
}
