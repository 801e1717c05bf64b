//! What selectors find, as tables, and against the plainest search.

use super::*;
use crate::authority::Rules;
use crate::authority::rules::Role;
use crate::testing::{join, join_in, join_tagged, ranked, roster};
use common::wire::tier::Tier;
use proptest::prelude::*;

/// What the selector finds, in short: `1!` is an outranked one, `one 3` a single one.
fn found(roster: &Roster, sender: &Member, selector: &str) -> String {
    let selector = selector
        .parse()
        .unwrap_or_else(|e| panic!("{selector}: {e}"));
    match select(roster, sender, &selector, Scope::ALL) {
        Err(error) => error.message,
        Ok(Selection {
            found: Found::One(target),
            ..
        }) => format!("one {}", target.rank),
        Ok(Selection {
            found:
                Found::Many {
                    execute,
                    outranked,
                    absent,
                },
            ..
        }) => {
            let outranked = outranked.iter().map(|t| format!("{}!", t.rank));
            let execute = execute.iter().map(|t| t.rank.to_string());
            let absent = absent.iter().map(|absent| match &absent.who {
                Missed::Here(target) => format!("{}?", target.rank),
                Missed::Named(one) => format!("({one})"),
            });
            let found = outranked.chain(execute).chain(absent);
            found.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn what_each_selector_finds() {
    let roster = roster(10);
    let members: Vec<_> = [
        ("boss", 1),
        ("idle", 0),
        ("web1", 2),
        ("quiet", 0),
        ("web2", 1),
        ("db", 3),
    ]
    .into_iter()
    .map(|(name, slots)| {
        let role = name.starts_with("web").then_some(("role", "web"));
        join_tagged(&roster, name, slots, role.as_slice())
    })
    .collect();
    let (boss, idle, web1, db) = (&members[0], &members[1], &members[2], &members[5]);
    let web2 = &members[4];
    for (sender, selector, expected) in [
        (boss, "next", "one 2"),
        (web1, "next", "one 4"),
        (boss, "least-loaded", "one 2"),
        (boss, "below", "2 4 5"),
        (boss, "all", "2 4 5"),
        (web1, "all", "0! 1! 4 5"),
        (db, "all", "0! 1! 2! 3! 4!"),
        (
            db,
            "below",
            "you rank lowest: no client is below you to execute it",
        ),
        (
            db,
            "next",
            "you rank lowest: no client is below you to execute it",
        ),
        (boss, "2", "one 2"),
        (boss, "web2", "one 4"),
        (boss, "2-2", "2"),
        (boss, "0-99", "2 4 5"),
        (boss, "web*", "2 4"),
        (boss, "web?,5,4-5,db", "2 4 5"),
        (boss, "!web*", "5"),
        (web1, "0-9,!boss", "1! 4 5"),
        (boss, "web*,!web2", "2"),
        (boss, "0", "rank 0 is you; no client commands itself"),
        (boss, "boss", "boss is you; no client commands itself"),
        (
            boss,
            "quiet",
            "quiet (rank 3) has no slots: it never executes",
        ),
        (boss, "7", "there is no rank 7; the lowest is 5"),
        (boss, "nope", "no client here has the name \"nope\""),
        (
            boss,
            "Web1",
            "no client here has the name \"Web1\"; there is \"web1\"",
        ),
        (
            boss,
            "x*",
            "the selector finds no client here, or none but you",
        ),
        (
            boss,
            "1-3,!2",
            "the selector finds no client that executes: idle (rank 1), quiet (rank 3) have no slots",
        ),
        (boss, "1,3", "1? 3?"),
        // Members have the numbers 1 to 6.
        (boss, "#3", "one 2"),
        (boss, "#1", "#1 is you; no client commands itself"),
        (boss, "#7", "no client here has the member number 7"),
        (
            web1,
            "#2",
            "idle (rank 1) ranks above you (rank 2); only lower ranks execute what you send",
        ),
        (boss, "#4", "quiet (rank 3) has no slots: it never executes"),
        (boss, "quiet,3,#4,#9,#09,#3", "2 3? (#9)"),
        (boss, "#3,#9,!#9", "2"),
        (web1, "#1,#2,#5", "0! 1! 4"),
        (boss, "web[1-3]", "2 4 (web3)"),
        (boss, "web[1-3],!web[2-9]", "2"),
        (web2, "web[1-3]", "2! (web3)"),
        (boss, "web[1]", "2"),
        (boss, "role=web", "2 4"),
        (boss, "role=web&#5", "4"),
        (boss, "!role=web", "5"),
        (boss, "0-9,!role=*&2-3", "4 5"),
        (
            boss,
            "role=none",
            "the selector finds no client here, or none but you",
        ),
        (boss, "next:web2,db", "one 4"),
        (boss, "next:!web1", "one 4"),
        (web1, "next:web*", "one 4"),
        (boss, "least-loaded:role=web", "one 2"),
        (boss, "least-loaded:db", "one 5"),
        (
            boss,
            "next:quiet,nope",
            "the list finds no client below you that executes",
        ),
        (
            web2,
            "next:web1",
            "the list finds no client below you that executes",
        ),
        (
            boss,
            "web1,nope,quiet,9,Web1",
            "2 3? (nope) (rank 9) (Web1)",
        ),
        // One client, however it is named, and one of each text that no client has.
        (boss, "quiet,3,03,nope,nope,9,09", "3? (nope) (rank 9)"),
        (boss, "nope,0", "(nope)"),
        (web1, "nope,idle,quiet", "1! 3? (nope)"),
        // An exclusion beats every other item.
        (boss, "2,quiet,nope,9,!q*,!nop?,!7-9", "2"),
        (boss, "2,quiet,!3", "2"),
        (boss, "2,!nope", "2"),
        (
            boss,
            "nope,!nope",
            "the selector finds no client here, or none but you",
        ),
        (boss, "0-99,n*", "2 4 5"),
        (
            idle,
            "0",
            "boss (rank 0) ranks above you (rank 1); only lower ranks execute what you send",
        ),
    ] {
        assert_eq!(
            found(&roster, sender, selector),
            expected,
            "{sender} sends to {selector}"
        );
    }
}

#[test]
fn clients_below_without_slots_are_said_with_names() {
    let roster = roster(10);
    let boss = join(&roster, "boss", 1);
    for name in ["a", "b", "c", "d", "e"] {
        join(&roster, name, 0);
    }
    let expected =
        "no client below you executes: a (rank 1), b (rank 2), c (rank 3) and 2 more have no slots";
    assert_eq!(found(&roster, &boss, "next"), expected);
}

proptest! {
    /// No selector gives a command to a client above the sender, to the sender itself, or to
    /// a client without slots.
    #[test]
    fn authority_holds_for_every_selector(
        cast in prop::collection::vec((0u32..3, 0u64..3), 1..8),
        sender in any::<prop::sample::Index>(),
        selector in "next|below|all|least-loaded|[0-9]|m[0-9]|[0-4]-[4-9]|m\\*(,!m[0-9])?|![0-9]|\\*,[0-9]|[0-9],m[0-9],(m[0-9]|x|!0)|#[1-9]|(next:|least-loaded:)?(#[1-9],m[0-9]|m\\[0-9\\](,!#[1-9]|,!m\\*&[0-4])?)",
    ) {
        let roster = roster(10);
        for (at, (slots, tier)) in cast.iter().enumerate() {
            let tier = Tier::new(*tier).expect("a tier");
            join_in(&roster, tier, &format!("m{at}"), *slots);
        }
        let places = ranked(&roster);
        let rank = sender.index(places.len());
        let selector = selector.parse().expect("the patterns above are selectors");
        let Ok(selection) = select(&roster, &places[rank].member, &selector, Scope::ALL) else {
            return Ok(());
        };
        prop_assert_eq!(selection.sender_rank as usize, rank);
        let order = |member: &Member| (member.tier, member.id);
        let own = order(&places[rank].member);
        let (execute, outranked) = match selection.found {
            Found::One(target) => (vec![target], vec![]),
            Found::Many { execute, outranked, absent } => {
                let below = |missed: &Missed| match missed {
                    Missed::Here(target) => {
                        target.rank as usize > rank && target.member.slots == 0
                    }
                    Missed::Named(_) => true,
                };
                prop_assert!(absent.iter().all(|absent| below(&absent.who)));
                (execute, outranked)
            }
        };
        for target in &execute {
            prop_assert!(target.rank as usize > rank && target.member.slots > 0);
            prop_assert!(order(&target.member) > own, "a higher tier, or an earlier one of its own");
            prop_assert_eq!(places[target.rank as usize].member.id, target.member.id);
        }
        prop_assert!(outranked.iter().all(|target| (target.rank as usize) < rank));
    }
}

proptest! {
    /// Those that execute are those that rank alone would have execute, as far as the role
    /// covers them; no other client is told of if the role is not to see it.
    #[test]
    fn what_executes_is_what_rank_and_role_both_allow(
        slots in prop::collection::vec(0u32..3, 2..8),
        sender in any::<prop::sample::Index>(),
        covered in "m\\*|m[0-7]|m\\?|x\\*|\\*",
        sees_all: bool,
        selector in "next|below|all|least-loaded|[0-9]|m[0-9]|[0-4]-[4-9]|m\\*(,!m[0-9])?|![0-9]|\\*,[0-9]|[0-9],m[0-9],(m[0-9]|x|!0)|#[1-9]|#[1-9],m\\[0-9\\](,!#[1-9])?|m\\*&[0-4]",
    ) {
        let roster = roster(10);
        for (at, slots) in slots.iter().enumerate() {
            join(&roster, &format!("m{at}"), *slots);
        }
        let places = ranked(&roster);
        let rank = sender.index(places.len());
        let sender = &places[rank].member;
        let role = role(&covered, sees_all);
        let scope = Scope::of(&role, Some("x"));
        let selector = selector.parse().expect("the patterns above are selectors");
        let executing = |found: &Result<Selection, RpcError>| match found {
            Ok(Selection { found: Found::One(target), .. }) => vec![target.rank],
            Ok(Selection { found: Found::Many { execute, .. }, .. }) => {
                execute.iter().map(|target| target.rank).collect()
            }
            Err(_) => Vec::new(),
        };
        let is_covered = |rank: &u32| scope.covers(&places[*rank as usize].member.name);
        let plain = select(&roster, sender, &selector, Scope::ALL);
        let scoped = select(&roster, sender, &selector, scope);
        if matches!(selector, Selector::Next | Selector::LeastLoaded) {
            // They pick among those that are covered, of all below.
            let below = (rank as u32 + 1..places.len() as u32)
                .filter(|at| places[*at as usize].member.slots > 0 && is_covered(at));
            let picked = executing(&scoped);
            prop_assert_eq!(picked.len(), usize::from(below.clone().next().is_some()));
            prop_assert!(picked.iter().all(|picked| below.clone().any(|at| at == *picked)));
        } else {
            let expected: Vec<u32> = executing(&plain).into_iter().filter(is_covered).collect();
            prop_assert_eq!(executing(&scoped), expected);
        }
        if sees_all {
            return Ok(());
        }
        if let Ok(Selection { found: Found::Many { outranked, absent, .. }, .. }) = &scoped {
            prop_assert!(outranked.iter().all(|target| is_covered(&target.rank)));
            let tells_no_other = |absent: &Absent| match &absent.who {
                Missed::Here(target) => is_covered(&target.rank),
                Missed::Named(_) => true,
            };
            prop_assert!(absent.iter().all(tells_no_other));
        }
    }
}

fn role(covered: &str, sees_all: bool) -> Arc<Role> {
    let list = if sees_all { ", \"list\"" } else { "" };
    let text = format!(
        "version = 1\n[roles.r]\nmay = [\"send\"{list}]\n\
         allow = [{{ to = \"{covered}\", commands = [\"x\"] }}]\n"
    );
    let rules = Rules::read(text.as_bytes(), "auth.toml".as_ref());
    rules.expect("it is right").first_role()
}
