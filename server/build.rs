//! Tells the program which commit it is built from. A build from an archive, or by a packager, says
//! so in `PECKING_COMMIT`.

use std::process::Command;

/// Digits of a commit's name: what git itself shows of one in a large repository.
const DIGITS: &str = "--short=12";

fn main() {
    println!("cargo::rerun-if-env-changed=PECKING_COMMIT");
    let given = std::env::var("PECKING_COMMIT").ok();
    let commit = given.or_else(commit).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=PECKING_COMMIT={commit}");
}

/// The commit that is checked out, if git is there.
fn commit() -> Option<String> {
    // What changes with each commit and each checkout; a file that is not there would have cargo
    // build anew each time.
    for name in ["HEAD", "logs/HEAD"] {
        let file = git(&["rev-parse", "--git-path", name])?;
        if std::path::Path::new(&file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    git(&["rev-parse", DIGITS, "HEAD"])
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
