//! The ranking, the list of detached commands, and what a command would reach, as tables.

use crate::output::render;
use client::{JobSummary, Member, Selected, SelectedTarget};
use common::terminal::escape::one_line;
use common::terminal::table::{Align, columns};
use std::time::Duration;

const JOBS: [(&str, Align); 7] = [
    ("JOB", Align::Left),
    ("SENT", Align::Right),
    ("BY", Align::Left),
    ("ENDED", Align::Right),
    ("FAILED", Align::Right),
    ("TO", Align::Left),
    ("COMMAND", Align::Left),
];

/// One line for each detached command.
pub(crate) fn jobs(jobs: &[JobSummary]) -> String {
    columns(JOBS, jobs.iter().map(job))
}

fn job(job: &JobSummary) -> [String; 7] {
    let ended = job.tally.targets();
    let words = shlex::try_join(job.command.iter().map(String::as_str));
    let words = words.unwrap_or_else(|_| job.command.join(" "));
    [
        job.job.to_string(),
        render::ago(Duration::from_millis(job.sent_ms)) + " ago",
        one_line(&job.by).into_owned(),
        format!("{ended}/{}", job.targets),
        job.failed().to_string(),
        one_line(job.to.as_deref().unwrap_or("-")).into_owned(),
        one_line(&words).into_owned(),
    ]
}

const HEAD: [(&str, Align); 8] = [
    ("RANK", Align::Right),
    ("TIER", Align::Right),
    ("NAME", Align::Left),
    ("ADDRESS", Align::Left),
    ("SLOTS", Align::Right),
    ("RUNNING", Align::Right),
    ("QUEUED", Align::Right),
    ("JOINED", Align::Right),
];

/// One line for each member; `own` is marked as this client.
pub(crate) fn ranking(members: &[Member], own: Option<u64>) -> String {
    columns(HEAD, members.iter().map(|member| row(member, own)))
}

/// [`ranking`] with the tags, if there are any.
pub(crate) fn tagged_ranking<'a>(
    members: impl Iterator<Item = &'a Member> + Clone,
    own: Option<u64>,
) -> String {
    let rows = members.clone().map(|member| row(member, own));
    if members.clone().all(|member| member.tags.is_empty()) {
        return columns(HEAD, rows);
    }
    let [a, b, c, d, e, f, g, h] = HEAD;
    let head = [a, b, c, d, e, f, g, h, ("TAGS", Align::Left)];
    let rows = rows.zip(members).map(|([a, b, c, d, e, f, g, h], member)| {
        let tags = one_line(&member.tags.to_string()).into_owned();
        [a, b, c, d, e, f, g, h, tags]
    });
    columns(head, rows)
}

/// The columns that only [`wide_ranking`] has.
const FURTHER: [(&str, Align); 4] = [
    ("MEMBER", Align::Right),
    ("TAGS", Align::Left),
    ("IDENTITY", Align::Left),
    ("ROLE", Align::Left),
];

/// [`ranking`] with all that is known of each.
pub(crate) fn wide_ranking(members: &[Member]) -> String {
    let mut head = [("", Align::Left); HEAD.len() + FURTHER.len()];
    head[..HEAD.len()].copy_from_slice(&HEAD);
    head[HEAD.len()..].copy_from_slice(&FURTHER);
    columns(head, members.iter().map(wide_row))
}

fn wide_row(member: &Member) -> [String; HEAD.len() + FURTHER.len()] {
    let or_none = |text: Option<&str>| match text {
        None | Some("") => "-".into(),
        Some(text) => one_line(text).into_owned(),
    };
    let further = [
        format!("#{}", member.member),
        or_none(Some(&member.tags.to_string())),
        or_none(member.identity.as_deref()),
        or_none(member.role.as_deref()),
    ];
    let mut cells = row(member, None).into_iter().chain(further);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn row(member: &Member, own: Option<u64>) -> [String; 8] {
    let you = if own == Some(member.member) {
        " (you)"
    } else {
        ""
    };
    let away = member.away_ms.map(Duration::from_millis);
    let away = away.map_or(String::new(), |away| {
        format!(" (away for {})", crate::output::render::ago(away))
    });
    [
        member.rank.to_string(),
        member.tier.to_string(),
        format!("{}{you}{away}", one_line(&member.name)),
        one_line(member.address.as_deref().unwrap_or("-")).into_owned(),
        member.slots.to_string(),
        member.running.to_string(),
        member.queued.to_string(),
        render::ago(Duration::from_millis(member.joined_ms)) + " ago",
    ]
}

const TARGETS: [(&str, Align); 4] = [
    ("RANK", Align::Right),
    ("TIER", Align::Right),
    ("NAME", Align::Left),
    ("STATUS", Align::Left),
];

/// The clients that a command would reach, as a table.
pub(crate) fn targets(selected: &Selected) -> String {
    columns(TARGETS, selected.targets.iter().map(target))
}

fn target(target: &SelectedTarget) -> [String; 4] {
    let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
    let name = match (&target.name, target.member, target.rank) {
        (Some(name), ..) => one_line(name).into_owned(),
        (None, Some(member), None) => format!("#{member}"),
        _ => "-".into(),
    };
    [
        number(target.rank.map(u64::from)),
        number(target.tier.map(|tier| u64::from(tier.number()))),
        name,
        target.status.name().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let member = |rank: u32, name: &str| Member {
            member: rank.into(),
            name: common::wire::name::Name::known(name.to_owned()),
            rank,
            tier: client::Tier::default(),
            address: Some(format!("127.0.0.1:{}", 50_000 + rank)),
            identity: None,
            role: None,
            slots: 1,
            running: 0,
            queued: 12,
            tags: client::Tags::default(),
            joined_ms: 3000,
            away_ms: (rank > 10).then_some(4000),
        };
        let mut members = [member(0, "boss"), member(10, "client-100")];
        let table = ranking(&members, Some(0));
        assert_eq!(
            table,
            "RANK  TIER  NAME        ADDRESS          SLOTS  RUNNING  QUEUED   JOINED\n\
             \x20  0     5  boss (you)  127.0.0.1:50000      1        0      12  3 s ago\n\
             \x20 10     5  client-100  127.0.0.1:50010      1        0      12  3 s ago\n"
        );
        let away = ranking(&[member(11, "gone")], None);
        assert!(away.contains("gone (away for 4 s)"), "{away}");
        members[1].tags.add("role", "web").expect("a tag");
        members[1].tags.add("dc", "fra").expect("a tag");
        let table = tagged_ranking(members.iter(), None);
        let last = table.lines().next_back().expect("a row");
        assert!(last.ends_with("3 s ago  dc=fra,role=web"), "{table}");
    }
}
