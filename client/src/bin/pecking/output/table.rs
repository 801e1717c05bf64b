//! The ranking as a table.

use client::Member;
use common::terminal::escape::one_line;
use std::time::Duration;

const HEAD: [&str; 8] = [
    "RANK", "TIER", "NAME", "ADDRESS", "SLOTS", "RUNNING", "QUEUED", "JOINED",
];

/// Whether a column is aligned at its right edge: numbers are.
const RIGHT: [bool; 8] = [true, true, false, false, true, true, true, true];

/// One line for each member; `own` is marked as this client.
pub(crate) fn ranking(members: &[Member], own: Option<u64>) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(members.iter().map(|member| row(member, own)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 8] = std::array::from_fn(|column| width(column).unwrap_or_default());
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn row(member: &Member, own: Option<u64>) -> [String; 8] {
    let you = if own == Some(member.member) {
        " (you)"
    } else {
        ""
    };
    [
        member.rank.to_string(),
        member.tier.to_string(),
        format!("{}{you}", one_line(&member.name)),
        one_line(member.address.as_deref().unwrap_or("-")).into_owned(),
        member.slots.to_string(),
        member.running.to_string(),
        member.queued.to_string(),
        crate::output::render::ago(Duration::from_millis(member.joined_ms)) + " ago",
    ]
}

fn line(row: &[String; 8], widths: &[usize; 8]) -> String {
    let cells = row.iter().zip(widths).zip(RIGHT);
    let padded = cells.map(|((cell, width), right)| match right {
        true => format!("{cell:>width$}"),
        false => format!("{cell:<width$}"),
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
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
        };
        let table = ranking(&[member(0, "boss"), member(10, "client-100")], Some(0));
        assert_eq!(
            table,
            "RANK  TIER  NAME        ADDRESS          SLOTS  RUNNING  QUEUED   JOINED\n\
             \x20  0     5  boss (you)  127.0.0.1:50000      1        0      12  3 s ago\n\
             \x20 10     5  client-100  127.0.0.1:50010      1        0      12  3 s ago\n"
        );
    }
}
