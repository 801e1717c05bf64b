//! The help of the whole program, beside its options; and the template of the help of a subcommand that
//! joins no server.

/// What stands below all options.
pub(super) const EXAMPLES: &str = "\
Examples:
  pecking                                  a prompt; :help explains its lines
  pecking run -- print                     let the nearest client below execute `print`
  pecking run --to below --wait-for 3 -- print
                                           wait until three have, then send to all of them
  echo '@web* print' | pecking             run lines from a pipe
  pecking work --name web1 --slots 4 --policy policy.toml
                                           only execute, four commands of that file at once
  pecking members                          every client, by rank
  pecking top                              the same as it changes, with what runs
  pecking run --detach --to below -- backup
                                           go on without this program; `pecking jobs` lists
                                           such commands, `pecking job ID` shows one
  pecking bench --window 256               how fast the server is

Clients are ranked by tier (--tier), and within a tier the first to come ranks first. `work`
takes the lowest tier, 9, so it executes what prompts and run (tier 5) send, whichever came
first.

The targets of a command (--to, or @ in front of a line): next, least-loaded, below, all, or
a list of ranks (2), ranges (3-7), member numbers ('#17'), names (web1), node sets
('web[1-20]'), patterns ('web*') and tags ('role=web'); & joins items that must all hold
('role=web&dc=fra'), !web3 leaves one out, @prod is a group (`pecking groups`). next:LIST and
least-loaded:LIST take one of a list.

Exit codes of run and of piped lines, of several the worst: 0 all done with 0 and no output
cut, 1 a command ended with another code, could not be started or was skipped, 2 usage, 3 lost, 4 no
target or an absent one, 5 refused, outranked or busy, 6 all done with 0 but output was cut,
124 timed out, 130 interrupted or cancelled, 141 no reader for its output, 255 no connection
or not admitted.";

/// The help of a command that joins no server.
pub(super) const WITHOUT_OPTIONS: &str = "\
{about-with-newline}
{usage-heading} {usage}

{positionals}{subcommands}{after-help}";
