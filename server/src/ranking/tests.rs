//! The ranked list against the simplest list that there is.

use super::*;
use crate::member::Member;
use crate::testing::{join, member, member_in, roster};
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering::Relaxed;
use common::wire::tier::Tier;
use proptest::prelude::*;
use std::collections::HashMap;

#[test]
fn who_is_refused_and_why() {
    let roster = roster(2);
    let make = |id, name| member(id, name, 1);
    let refused = |name| roster.join(name, make, |_, _| {}).err();
    let first = join(&roster, "a", 1);
    let taken = Some(NotAdmitted::NameTaken("a".into()));
    assert_eq!(
        [refused(Some("a")), refused(Some("A"))],
        [taken.clone(), taken]
    );
    assert_eq!(
        roster
            .join(None, make, |_, _| {})
            .map(|joined| joined.member.name.to_string()),
        Ok("client-2".into())
    );
    assert_eq!(
        refused(Some("a")),
        Some(NotAdmitted::Full(2)),
        "before the name is looked at"
    );
    assert!(roster.leave(&first), "a member moved up");
    assert!(!roster.leave(&first), "no member leaves twice");
    assert_eq!(join(&roster, "a", 1).id, 3, "numbers are never used again");
    roster.drain();
    assert_eq!(refused(None), Some(NotAdmitted::ShuttingDown));
}

#[test]
fn a_newcomer_is_welcomed_before_any_look_up_finds_it() {
    let roster = roster(2);
    let other = roster.clone();
    let welcome = |_: &Arc<Member>, standing: Standing| {
        assert_eq!(
            standing,
            Standing {
                rank: 0,
                members: 1
            }
        );
        // The list is locked: a look-up from another thread has to wait.
        #[cfg(not(thread_sanitizer))] // Its locks have another `try_read`.
        assert!(other.ranking.try_read().is_err());
    };
    assert!(
        roster
            .join(None, |id, name| member(id, name, 1), welcome)
            .is_ok()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Join {
        slots: u32,
        tier: Tier,
    },
    Leave(prop::sample::Index),
    Tell,
    Load {
        who: prop::sample::Index,
        running: usize,
        waiting: usize,
    },
}

fn tier() -> impl Strategy<Value = Tier> {
    prop::sample::select(vec![0, 4, 5, 5, 9]).prop_map(|n| Tier::new(n).expect("a tier"))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u32..3, tier()).prop_map(|(slots, tier)| Step::Join { slots, tier }),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        1 => Just(Step::Tell),
        2 => (any::<prop::sample::Index>(), 0usize..4, 0usize..4)
            .prop_map(|(who, running, waiting)| Step::Load { who, running, waiting }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Against the simplest list that there is, after every step.
    #[test]
    fn the_roster_is_a_plain_list(steps in steps()) {
        const MAX: u32 = 12;
        let roster = roster(MAX);
        let mut model: Vec<Arc<Member>> = Vec::new();
        let mut told: HashMap<u64, u32> = HashMap::new();
        for step in steps {
            match step {
                Step::Join { slots, tier } => {
                    let mut stands = None;
                    let make = |id, name| member_in(tier, id, name, slots);
                    let joined = roster.join(None, make, |_, standing| stands = Some(standing));
                    prop_assert_eq!(joined.is_ok(), model.len() < MAX as usize);
                    if let (Ok(Admitted { member, .. }), Some(standing)) = (joined, stands) {
                        let rank = model.iter().position(|other| other.tier > tier);
                        let rank = rank.unwrap_or(model.len());
                        model.insert(rank, Arc::clone(&member));
                        let members = model.len() as u32;
                        prop_assert_eq!(standing, Standing { rank: rank as u32, members });
                        told.insert(member.id, rank as u32);
                        let is_last = rank + 1 == model.len();
                        prop_assert_eq!(roster.is_news(standing), !is_last);
                        prop_assert!(roster.mark_joined(&member));
                    }
                }
                Step::Leave(_) if model.is_empty() => {}
                Step::Leave(index) => {
                    let at = index.index(model.len());
                    let gone = model.remove(at);
                    prop_assert_eq!(roster.leave(&gone), at < model.len());
                }
                Step::Load { who, running, waiting } => {
                    if !model.is_empty() {
                        model[who.index(model.len())].queue.set_load(running, waiting);
                    }
                }
                Step::Tell => {
                    for (member, standing) in roster.untold() {
                        prop_assert_eq!(standing.members as usize, model.len());
                        member.told_rank.store(standing.rank, Relaxed);
                        told.insert(member.id, standing.rank);
                    }
                    for (rank, member) in model.iter().enumerate() {
                        prop_assert_eq!(told[&member.id], rank as u32, "every member knows its rank");
                    }
                }
            }
            let page = roster.page(0, 100, 1).members;
            let listed: Vec<(u64, u32)> = page.iter().map(|m| (m.member, m.rank)).collect();
            let expected = model.iter().zip(0u32..).map(|(m, rank)| (m.id, rank));
            prop_assert_eq!(listed, expected.collect::<Vec<_>>());
            roster.look(|view| {
                for (rank, member) in model.iter().enumerate() {
                    assert_eq!(view.rank_of(member), Some(rank));
                    let found = view.any_case(&member.name.to_ascii_uppercase());
                    assert!(found.is_some_and(|(at, place)| at == rank && place.member.id == member.id));
                    let below = model[rank + 1..].iter().filter(|m| m.slots > 0).map(|m| m.id);
                    let executors = view.executors_below(member).iter().map(|p| p.member.id);
                    assert!(executors.eq(below));
                    let share = |m: &&Arc<Member>| {
                        let commands = m.queue.running() + m.queue.queued();
                        // Slots are 1 or 2 here, so halves are whole.
                        commands * 2 / m.slots
                    };
                    let below = model[rank + 1..].iter().filter(|m| m.slots > 0);
                    let least = below.min_by_key(share).map(|m| m.id);
                    let found = view.least_loaded_below(member, |_| true).map(|place| place.member.id);
                    assert_eq!(found, least, "the first of equals");
                }
            });
        }
    }
}
