//! `--output-dir`: a file for each target and stream.
//!
//! `web1.stdout` and `web1.stderr` are those of `web1`. Each name ends with its stream, so that no
//! two of different targets are the same. A target that joined again under its name is another
//! one, and gets its number into the name of its file, behind a `#`, which no name has.

use crate::failure::Failure;
use crate::output::report::{Problem, Report, Sink};
use crate::output::screen::Screen;
use client::{Name, OutputStream};
use common::terminal::escape::path_line;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files that are open at once: a quarter of what a process may open by default (1,024).
const MOST_OPEN: usize = 256;

/// Writes output to files, and remembers the first fault: the command goes on without them.
pub(crate) struct OutputFolder {
    folder: PathBuf,
    /// The number of the first target with each name.
    first: HashMap<String, u64>,
    files: HashMap<PathBuf, Target>,
    open: usize,
    fault: Option<(PathBuf, io::Error)>,
    /// Files that are not whole.
    broken: usize,
}

/// A file that has been made.
enum Target {
    Open(File),
    /// To be opened again when there is something to add.
    Closed,
    /// What came is not all in it.
    Broken,
}

impl OutputFolder {
    /// Makes the folder, unless it is there.
    ///
    /// # Errors
    /// It cannot be made, or is none.
    pub(crate) fn create(folder: &Path) -> Result<OutputFolder, Failure> {
        let wrong = |why: io::Error| {
            let folder = path_line(folder);
            Failure::Usage(format!(
                "--output-dir: cannot make the folder {folder}: {why}"
            ))
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        Ok(OutputFolder {
            folder: folder.to_owned(),
            first: HashMap::new(),
            files: HashMap::new(),
            open: 0,
            fault: None,
            broken: 0,
        })
    }

    fn path(&mut self, member: u64, name: &str, stream: OutputStream) -> PathBuf {
        // A server may tell no other names; none with a slash ever gets here.
        let name = Name::told(name).map_or_else(|_| "_".into(), Name::into_string);
        let ending = match stream {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        let first = *self.first.entry(name.clone()).or_insert(member);
        self.folder.join(match first == member {
            true => format!("{name}.{ending}"),
            false => format!("{name}#{member}.{ending}"),
        })
    }

    /// Adds bytes to a file, which is made empty when it is named first.
    fn add(&mut self, path: &Path, bytes: &[u8]) {
        if let Err(why) = self.try_add(path, bytes) {
            self.files.insert(path.to_owned(), Target::Broken);
            self.broken += 1;
            self.fault.get_or_insert((path.to_owned(), why));
        }
    }

    fn try_add(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let is_new = match self.files.get_mut(path) {
            Some(Target::Open(file)) => return file.write_all(bytes),
            Some(Target::Broken) => return Ok(()),
            Some(Target::Closed) => false,
            None => true,
        };
        if self.open >= MOST_OPEN {
            self.close_all();
        }
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NOFOLLOW);
        if is_new {
            // A link that waits there leads nowhere else, and a file system need not write an
            // older file to its disk before it is emptied, as it may if that is truncated.
            let _ = std::fs::remove_file(path);
            options.create_new(true);
        }
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        self.files.insert(path.to_owned(), Target::Open(file));
        self.open += 1;
        Ok(())
    }

    fn close_all(&mut self) {
        for target in self.files.values_mut() {
            if matches!(target, Target::Open(_)) {
                *target = Target::Closed;
            }
        }
        self.open = 0;
    }
}

impl Sink for OutputFolder {
    fn take(&mut self, report: &Report<'_>, _: &mut Screen) -> io::Result<()> {
        match report {
            Report::Output(piece) => {
                let path = self.path(piece.member, piece.name, piece.stream);
                self.add(&path, piece.bytes);
            }
            // Both files are there for each target at which it ran, so that an older file in the
            // folder is not taken for this one.
            Report::Outcome(outcome) if outcome.status.has_started() => {
                if let (Some(member), Some(name)) = (outcome.member, &outcome.name) {
                    for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                        let path = self.path(member, name, stream);
                        self.add(&path, &[]);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fault(&mut self) -> Option<Problem> {
        let (path, why) = self.fault.take()?;
        let more = match self.broken {
            1 => String::new(),
            broken => format!(" (and {} more)", broken - 1),
        };
        let file = path_line(&path) + &more;
        Some(Problem::not_kept("output_dir", &file, &why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::output::report::Piece;
    use crate::output::screen::testing::TestScreen;
    use crate::output::stream::Look;
    use crate::output::testing::outcome;
    use client::Status;

    /// Has a folder take output of targets: numbers, names, streams and bytes.
    fn take(folder: &mut OutputFolder, pieces: &[(u64, &str, OutputStream, &[u8])]) {
        let mut test = TestScreen::new(Look::default());
        for (member, name, stream, bytes) in pieces {
            let piece = Piece {
                member: *member,
                name,
                rank: 1,
                stream: *stream,
                bytes,
            };
            let taken = folder.take(&Report::Output(piece), &mut test.screen);
            taken.expect("it has no faults of the screen");
        }
        let ended = outcome("quiet", Status::Done, Some(0));
        let taken = folder.take(&Report::Outcome(&ended), &mut test.screen);
        taken.expect("it has no faults of the screen");
    }

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_name().expect("a name").to_string_lossy();
                (name.into_owned(), std::fs::read(&path).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn each_target_and_stream_has_a_file_of_its_own() {
        use OutputStream::{Stderr, Stdout};
        let there = tempfile::tempdir().expect("a folder");
        let path = there.path().join("a/b");
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join("web1.stdout"), "older and longer").expect("a file");
        let mut folder = OutputFolder::create(&path).expect("it is there");
        take(
            &mut folder,
            &[
                (1, "web1", Stdout, b"a"),
                (2, "web1.stdout", Stderr, b"b"),
                (1, "web1", Stdout, b"\xff"),
                (1, "web1", Stderr, b"c"),
                (7, "web1", Stdout, b"again"),
                (8, "../web1", Stdout, b"d"),
            ],
        );
        folder.close_all();
        take(&mut folder, &[(1, "web1", Stdout, b"e")]);
        assert!(folder.fault().is_none());
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        let expected = [
            file("_.stdout", b"d"),
            file("quiet.stderr", b""),
            file("quiet.stdout", b""),
            file("web1#7.stdout", b"again"),
            file("web1.stderr", b"c"),
            file("web1.stdout", b"a\xffe"),
            file("web1.stdout.stderr", b"b"),
        ];
        assert_eq!(files(&path), expected);
    }

    #[test]
    fn more_targets_than_files_may_be_open_are_all_kept() {
        let there = tempfile::tempdir().expect("a folder");
        let mut folder = OutputFolder::create(there.path()).expect("it is there");
        let names: Vec<String> = (0..2 * MOST_OPEN + 10).map(|n| format!("w{n}")).collect();
        for text in [b"a", b"b"] {
            let pieces = names.iter().enumerate().map(|(member, name)| {
                let piece: (u64, &str, _, &[u8]) =
                    (member as u64, name, OutputStream::Stdout, text);
                piece
            });
            take(&mut folder, &pieces.collect::<Vec<_>>());
            assert!(folder.open <= MOST_OPEN);
        }
        assert!(folder.fault().is_none());
        let kept = files(there.path());
        assert_eq!(
            kept.iter().filter(|(_, bytes)| bytes == b"ab").count(),
            names.len()
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_a_fault_and_the_others_are_whole() {
        let there = tempfile::tempdir().expect("a folder");
        for name in ["web1.stdout", "web4.stdout"] {
            std::fs::create_dir(there.path().join(name)).expect("a folder");
        }
        let elsewhere = there.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, there.path().join("web2.stdout")).expect("a link");
        let mut folder = OutputFolder::create(there.path()).expect("it is there");
        for (member, name, bytes) in [
            (4, "web4", b"x"),
            (1, "web1", b"a"),
            (1, "web1", b"b"),
            (2, "web2", b"c"),
            (3, "web3", b"d"),
        ] {
            take(&mut folder, &[(member, name, OutputStream::Stdout, bytes)]);
        }
        let fault = folder.fault().expect("a fault");
        assert!(
            fault.message.contains("web4.stdout (and 1 more)"),
            "{fault:?}"
        );
        assert_eq!(fault.exit, ExitCode::Failed);
        assert!(!elsewhere.exists());
        for (name, text) in [("web2", b"c"), ("web3", b"d")] {
            let kept = std::fs::read(there.path().join(format!("{name}.stdout")));
            assert_eq!(kept.ok(), Some(text.to_vec()));
        }
        let file = there.path().join("web3.stdout");
        assert!(
            matches!(OutputFolder::create(&file), Err(Failure::Usage(why)) if why.contains("web3"))
        );
    }
}
