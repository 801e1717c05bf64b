//! The server as `top` knows it: what it was told so far, put together. Text of other clients is
//! escaped here, once, and nothing else of it gets to the screen.

use super::command::Command;
use crate::output::render;
use client::{Departed, MemberChanges, Sample, ServerFacts, Tier, Watched, WatchedMember};
use common::expected::Expected;
use common::terminal::escape::one_line;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Commands that are kept, as many as the server keeps.
const MOST_COMMANDS: usize = 512;

/// Seconds that are kept, as many as the server keeps.
const MOST_SAMPLES: usize = 300;

/// Members that left which are kept, as many as the server keeps.
const MOST_DEPARTED: usize = 256;

/// Where a member stands: places in their order are the ranking.
pub(crate) type Place = (Tier, u64);

/// What is known of a server.
#[derive(Default)]
pub(crate) struct Fleet {
    pub(crate) members: BTreeMap<Place, Member>,
    tiers: HashMap<u64, Tier>,
    departed: VecDeque<Departed>,
    pub(crate) missing: Vec<Missing>,
    /// By their numbers, which grow.
    pub(crate) commands: BTreeMap<u64, Command>,
    pub(crate) samples: VecDeque<Sample>,
    pub(crate) server: Option<ServerFacts>,
    /// The server's two clocks, and when they showed that.
    clocks: Option<(u64, u64, Instant)>,
    expected: Option<Expected>,
    /// More of the members follows.
    pub(crate) is_partial: bool,
}

/// A member that is here.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) tags: String,
    pub(crate) slots: u32,
    pub(crate) running: u32,
    pub(crate) queued: u32,
    pub(crate) address: String,
    pub(crate) identity: Option<String>,
    pub(crate) role: Option<String>,
    joined: u64,
    /// Since when its connection is broken, by the server's own clock.
    away: Option<u64>,
}

/// A machine that is not here, and was, or is expected.
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) why: String,
    /// When it left, by the server's clock on the wall.
    at_ms: Option<u64>,
}

impl Fleet {
    /// Nothing yet; these machines are expected.
    pub(crate) fn new(expected: Option<Expected>) -> Fleet {
        Fleet {
            expected,
            ..Fleet::default()
        }
    }

    /// These machines are expected from now on.
    pub(crate) fn expect(&mut self, expected: Option<Expected>) {
        self.expected = expected;
        self.find_missing();
    }

    /// Takes the first state, or what has changed.
    pub(crate) fn take(&mut self, told: Watched<'static>) {
        self.clocks = Some((told.now, told.now_ms, Instant::now()));
        let run = |facts: &ServerFacts| facts.run.clone();
        if self.server.as_ref().map(run) != Some(run(&told.server)) {
            // Another start of the server: its numbers begin anew.
            self.commands.clear();
            self.samples.clear();
            self.departed.clear();
        }
        self.server = Some(told.server);
        if let Some(changes) = told.members {
            self.change_members(changes, told.now);
        }
        for departed in told.departed {
            self.departed
                .retain(|before| before.member != departed.member);
            self.departed.push_back(departed);
        }
        cut(&mut self.departed, MOST_DEPARTED);
        for command in told.commands {
            self.commands.insert(command.id, Command::of(&command));
        }
        while self.commands.len() > MOST_COMMANDS {
            self.commands.pop_first();
        }
        for sample in told.samples {
            // A watch that begins anew tells the last ones again.
            if self
                .samples
                .back()
                .is_none_or(|last| last.at_ms < sample.at_ms)
            {
                self.samples.push_back(sample);
            }
        }
        cut(&mut self.samples, MOST_SAMPLES);
        self.find_missing();
    }

    /// Takes what has changed of the members by this time of the server's own clock.
    fn change_members(&mut self, changes: MemberChanges, now: u64) {
        if changes.reset {
            self.members.clear();
            self.tiers.clear();
        }
        for joined in changes.joined {
            self.tiers.insert(joined.member, joined.tier);
            self.members
                .insert((joined.tier, joined.member), Member::of(joined, now));
        }
        for left in changes.left {
            if let Some(tier) = self.tiers.remove(&left) {
                self.members.remove(&(tier, left));
            }
        }
        for (number, running, queued) in changes.load {
            if let Some(member) = self.member_mut(number) {
                (member.running, member.queued) = (running, queued);
            }
        }
        for (number, away_ms) in changes.away {
            if let Some(member) = self.member_mut(number) {
                member.away = since(away_ms, now);
            }
        }
        self.is_partial = changes.more;
    }

    fn member_mut(&mut self, number: u64) -> Option<&mut Member> {
        let tier = *self.tiers.get(&number)?;
        self.members.get_mut(&(tier, number))
    }

    /// The executors that left and have not come back, the newest first, and the expected machines
    /// that are not here.
    fn find_missing(&mut self) {
        self.missing.clear();
        if self.is_partial {
            return;
        }
        let here: BTreeSet<&str> = self.members.values().map(|member| &*member.name).collect();
        let mut named = BTreeSet::new();
        for departed in self
            .departed
            .iter()
            .rev()
            .filter(|departed| departed.slots > 0)
        {
            let name = one_line(&departed.name);
            if !here.contains(&*name) && named.insert(name.to_string()) {
                self.missing.push(Missing {
                    name: name.into_owned(),
                    why: one_line(&departed.why).into_owned(),
                    at_ms: Some(departed.at_ms),
                });
            }
        }
        let expected = self
            .expected
            .iter()
            .flat_map(|expected| expected.missing(&here));
        for name in expected.filter(|name| !named.contains(*name)) {
            self.missing.push(Missing {
                name: one_line(name).into_owned(),
                why: "expected, and not here".into(),
                at_ms: None,
            });
        }
    }

    /// How long ago a member joined.
    pub(crate) fn age(&self, member: &Member) -> Duration {
        self.since_own(member.joined)
    }

    /// For how long a member's connection has been broken, if it is.
    pub(crate) fn away(&self, member: &Member) -> Option<Duration> {
        member.away.map(|since| self.since_own(since))
    }

    /// How many members are away.
    pub(crate) fn count_away(&self) -> usize {
        let members = self.members.values();
        members.filter(|member| member.away.is_some()).count()
    }

    /// How long ago a time of the server's own clock was.
    fn since_own(&self, time: u64) -> Duration {
        self.clocks.map_or(Duration::ZERO, |(now, _, at)| {
            Duration::from_millis(now.saturating_sub(time)) + at.elapsed()
        })
    }

    /// How long ago a time of the server's clock on the wall was.
    pub(crate) fn since(&self, at_ms: u64) -> Duration {
        self.clocks.map_or(Duration::ZERO, |(_, now_ms, at)| {
            Duration::from_millis(now_ms.saturating_sub(at_ms)) + at.elapsed()
        })
    }

    /// How many commands run, how many wait, and how many slots there are.
    pub(crate) fn load(&self) -> (u64, u64, u64) {
        let members = self.members.values();
        members.fold((0, 0, 0), |(running, queued, slots), member| {
            (
                running + u64::from(member.running),
                queued + u64::from(member.queued),
                slots + u64::from(member.slots),
            )
        })
    }
}

impl Member {
    fn of(told: WatchedMember, now: u64) -> Member {
        let escaped = |text: String| one_line(&text).into_owned();
        let tags = told
            .tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        Member {
            tags: escaped(tags.collect::<Vec<_>>().join(" ")),
            name: escaped(told.name),
            slots: told.slots,
            running: told.running,
            queued: told.queued,
            address: escaped(told.address),
            identity: told.identity.map(escaped),
            role: told.role.map(escaped),
            joined: told.joined,
            away: since(told.away_ms, now),
        }
    }

    /// How much of its slots is in use and waited for; one without slots has none.
    pub(crate) fn share(&self) -> f64 {
        match self.slots {
            0 => -1.0,
            slots => (f64::from(self.running) + f64::from(self.queued)) / f64::from(slots),
        }
    }
}

impl Missing {
    /// How long ago it left, if that is known, and why.
    pub(crate) fn how(&self, fleet: &Fleet) -> String {
        match self.at_ms {
            Some(at) => format!("left {} ago: {}", render::ago(fleet.since(at)), self.why),
            None => self.why.clone(),
        }
    }
}

/// When something began that has gone on for so long.
fn since(ms: Option<u64>, now: u64) -> Option<u64> {
    ms.map(|ms| now.saturating_sub(ms))
}

fn cut<T>(queue: &mut VecDeque<T>, most: usize) {
    while queue.len() > most {
        queue.pop_front();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What a server tells, with these members in place of the usual ones.
    pub(crate) fn told(rest: &Value) -> Watched<'static> {
        let mut told = json!({
            "server": {"version": "0.1.0", "commit": "x", "run": "r", "address": "127.0.0.1:5555",
                "started_ms": 1, "members": 0, "max": 9, "draining": false, "commands": 0,
                "outcomes": {}, "p50_ms": null, "p99_ms": null},
            "now": 60_000, "now_ms": 1_000_000,
        });
        for (name, value) in rest.as_object().expect("members") {
            told[name] = value.clone();
        }
        serde_json::from_value(told).expect("what a server tells")
    }

    /// A member as it is told.
    pub(crate) fn member(number: u64, name: &str, tier: u64, load: (u32, u32)) -> Value {
        let role = name.replace(|c: char| !c.is_ascii_alphanumeric(), "") + "-role";
        json!({"member": number, "name": name, "tier": tier, "slots": 4, "running": load.0,
            "queued": load.1, "tags": {"role": role}, "address": "127.0.0.1:1",
            "joined": 1000 * number})
    }

    fn names(fleet: &Fleet) -> Vec<&str> {
        fleet.members.values().map(|member| &*member.name).collect()
    }

    #[test]
    fn members_stand_by_tier_then_by_number_and_what_they_say_is_escaped() {
        let mut fleet = Fleet::new(None);
        let first = [
            member(1, "a", 5, (0, 0)),
            member(2, "b\u{1b}[2J", 9, (0, 0)),
        ];
        fleet.take(told(&json!({"members": {"reset": true, "joined": first}})));
        let later = json!({"joined": [member(3, "c", 2, (1, 0))], "load": [[1, 3, 7], [9, 1, 1]]});
        fleet.take(told(&json!({"members": later})));
        assert_eq!(names(&fleet), ["c", "a", "b\\x1b[2J"]);
        assert_eq!(fleet.load(), (4, 7, 12));
        let (_, c) = fleet.members.first_key_value().expect("c");
        assert_eq!(fleet.age(c).as_secs(), 57);
        fleet.take(told(&json!({"members": {"load": [[3, u32::MAX, 1]]}})));
        let (_, c) = fleet.members.first_key_value().expect("c");
        assert!(c.share() > 1e9, "{}", c.share());
        fleet.take(told(&json!({"members": {"left": [1, 7]}})));
        assert_eq!(names(&fleet), ["c", "b\\x1b[2J"]);
        fleet.take(told(&json!({"members": {"reset": true, "joined": []}})));
        assert!(names(&fleet).is_empty());
    }

    #[test]
    fn a_member_is_away_until_it_is_back_or_leaves() {
        let mut fleet = Fleet::new(None);
        let mut gone = member(2, "gone", 5, (0, 0));
        gone["away_ms"] = json!(2000);
        let first = [member(1, "web", 5, (0, 0)), gone];
        for (changes, away) in [
            (
                json!({"reset": true, "joined": first}),
                [("gone", 2)].as_slice(),
            ),
            (
                json!({"away": [[1, 3000], [9, 1]]}),
                &[("web", 3), ("gone", 2)],
            ),
            (json!({"away": [[2, null]]}), &[("web", 3)]),
            (json!({"load": [[1, 1, 0]]}), &[("web", 3)]),
            (json!({"left": [1]}), &[]),
        ] {
            fleet.take(told(&json!({"members": changes})));
            let members = fleet.members.values();
            let is: Vec<_> = members
                .filter_map(|m| Some((&*m.name, fleet.away(m)?.as_secs())))
                .collect();
            assert_eq!(is, away, "{changes}");
            assert_eq!(fleet.count_away(), away.len());
        }
    }

    #[test]
    fn what_is_told_of_a_command_later_replaces_what_was_told_before() {
        let mut fleet = Fleet::new(None);
        let command = |outcomes: Value, ended: Option<u64>| {
            json!({"commands": [{"id": 7, "at_ms": 1, "from": {"member": 1, "name": "boss", "rank": 0},
                "command": ["a"], "targets": 2, "outcomes": outcomes, "ended_ms": ended}]})
        };
        fleet.take(told(&command(json!({"done": 1}), None)));
        let progress = &fleet.commands[&7].progress;
        assert_eq!((&*progress.status(), progress.ended()), ("runs", 1));
        fleet.take(told(&command(json!({"done": 1, "lost": 1}), Some(9))));
        let known: Vec<_> = fleet.commands.keys().copied().collect();
        assert_eq!(known, [7]);
        let command = &fleet.commands[&7];
        assert_eq!(command.ended_ms, Some(9));
        let progress = &command.progress;
        assert_eq!((&*progress.status(), progress.ended()), ("lost", 2));
    }

    #[test]
    fn executors_that_left_are_missing_until_their_name_is_back() {
        let mut fleet = Fleet::new(None);
        let left = |name: &str, slots: u32| json!({"member": 5, "name": name, "tier": 5, "slots": slots, "why": "closed", "at_ms": 990_000});
        fleet.take(told(&json!({"departed": [left("boss", 0)]})));
        fleet.take(told(&json!({"departed": [left("web", 1)]})));
        let missing: Vec<_> = fleet
            .missing
            .iter()
            .map(|m| (&*m.name, m.how(&fleet)))
            .collect();
        assert_eq!(missing, [("web", "left 10 s ago: closed".into())]);
        fleet.take(told(
            &json!({"members": {"joined": [member(6, "web", 5, (0, 0))]}}),
        ));
        assert!(fleet.missing.is_empty());
    }
}
