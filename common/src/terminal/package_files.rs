//! What a package of a program has besides the program, made of its command line: man pages,
//! completion scripts, and a configuration file with every option as a comment.

use crate::terminal::config_file::template;
use clap::Command;
use clap_complete::Shell;
use std::fs;
use std::io;
use std::path::Path;

/// Shells for which a package has completions, in the folders where Debian's shells look.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes the files into a folder, which is made if it is not there. The configuration file has this
/// name, and the options that it may have are the command's or those of a subcommand.
///
/// # Errors
/// A file or a folder cannot be written.
pub fn write(
    command: &Command,
    subcommand: Option<&'static str>,
    config_name: &str,
    folder: &Path,
) -> io::Result<()> {
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(command.clone(), &man)?;
    for page in fs::read_dir(&man)? {
        let page = page?.path();
        // Pages of another program may be there, as they are or packed.
        if page.extension().is_some_and(|is| is == "1") {
            fs::write(&page, with_lines(&fs::read_to_string(&page)?))?;
        }
    }
    for shell in SHELLS {
        let name = command.get_name();
        clap_complete::generate_to(shell, &mut command.clone(), name, folder)?;
    }
    fs::write(folder.join(config_name), config(command, subcommand))
}

/// A man page whose last part keeps its lines: examples in columns, which a reader would fill and justify.
fn with_lines(page: &str) -> String {
    const LAST: &str = ".SH EXTRA\n";
    let Some((before, last)) = page.split_once(LAST) else {
        return page.to_owned();
    };
    if last.starts_with(".nf\n") {
        return page.to_owned();
    }
    let (lines, rest) = last.split_at(last.find(".SH ").unwrap_or(last.len()));
    format!("{before}{LAST}.nf\n{}\n.fi\n{rest}", lines.trim_end())
}

fn config(command: &Command, subcommand: Option<&'static str>) -> String {
    let words = [Some(command.get_name()), subcommand];
    let program = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!(
        "# The options of `{program}` as a service. What the command line says wins over this file;\n\
         # `{program} --config FILE --check-config` shows what is in force, and from where. A line\n\
         # that begins with # is a comment; those below show defaults, or what a value is.\n{}",
        template(command, subcommand)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_a_man_page_keep_their_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let command = Command::new("a")
            .version("1")
            .after_long_help("Examples:\n  a b   c\n  a d");
        write(&command, None, "a.toml", folder.path()).expect("files");
        let page = fs::read_to_string(folder.path().join("man/a.1")).expect("a page");
        let part = page.split_once(".SH EXTRA\n").expect("the part").1;
        assert!(
            part.starts_with(".nf\nExamples:\n  a b   c\n  a d\n.fi\n.SH VERSION\n"),
            "{part}"
        );
    }
}
