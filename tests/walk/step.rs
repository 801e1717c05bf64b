//! What can be done in a walk. A step names a client by a number that is taken modulo those for
//! which it makes sense, and does nothing if there is none: so every
//! part of a walk is a walk, and a failing one can be shortened by leaving steps out.

use std::fmt::Write;

use proptest::prelude::*;

/// Names that clients ask for: few, so that they are often taken. Two differ in case only.
pub(crate) const NAMES: [&str; 8] = ["a", "b", "ab", "AB", "b-2", "a.xb", "long-name_3", "2.b-2"];

/// Patterns that selectors have.
const PATTERNS: [&str; 9] = ["*", "a*", "?", "*b", "client-*", "b?2", "*-*", "a?x*", "2*"];

/// The window of input of a `send` that states none.
pub(crate) const DEFAULT_INPUT: u64 = 64 << 10;

/// One of those for which a step makes sense.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick(pub(crate) u16);

impl Pick {
    /// One of these, if there are any.
    pub(crate) fn of<T: Copy>(self, all: &[T]) -> Option<T> {
        let at = usize::from(self.0).checked_rem(all.len())?;
        all.get(at).copied()
    }
}

/// One step of a walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client connects and wants to join.
    Join {
        name: Option<usize>,
        slots: usize,
        tier: Option<u64>,
        is_told_its_rank: bool,
        takes_input: bool,
        is_held: bool,
    },
    /// A client goes.
    Go { actor: Pick, how: Way },
    /// A client sends a command, with a word of this many bytes.
    Send {
        actor: Pick,
        to: To,
        bytes: usize,
        window: Option<u64>,
        /// The window of its input, if it has some.
        input: Option<u64>,
    },
    /// A client sends under an id that is still open.
    SendAgain { actor: Pick, which: Pick },
    /// A client answers what it was given.
    Answer {
        actor: Pick,
        which: Pick,
        how: Answer,
    },
    /// A client answers what it was never given, or has answered.
    Meddle { actor: Pick, which: Pick },
    /// A command writes something.
    Output {
        actor: Pick,
        which: Pick,
        is_much: bool,
    },
    /// A sender got through with some output.
    Consume {
        actor: Pick,
        which: Pick,
        target: Pick,
        bytes: u64,
    },
    /// A sender says a piece of the input of what is open, or was.
    Input {
        actor: Pick,
        which: Pick,
        bytes: usize,
        is_last: bool,
    },
    /// A command takes some of its input.
    ConsumeInput {
        actor: Pick,
        which: Pick,
        bytes: u64,
    },
    /// A sender cancels what is open, or was.
    Cancel { actor: Pick, which: Pick },
    /// A client writes lines that are no messages.
    Rubbish { actor: Pick, lines: usize },
    /// A client stops reading.
    StopReading { actor: Pick },
    /// A client reads what has come meanwhile, and goes on reading.
    ReadOn { actor: Pick },
    /// The connection of a client that is held breaks, perhaps in the middle of a line.
    Break { actor: Pick, in_a_line: bool },
    /// A client that is away comes back, and has lost the last lines that it read.
    ComeBack { actor: Pick, lost: Lost },
}

/// What a client lost with its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lost {
    /// At most so many lines, which are those that it has not acknowledged.
    Lines(usize),
    /// Everything but its place.
    All,
}

/// A way to go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Leave,
    CloseSending,
    Close,
    Reset,
}

/// A way to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Exit,
    Signal,
    TimedOut,
    Cancelled,
    Refused,
    NotFound,
    Failed,
    Malformed,
}

/// A selector.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Unsaid,
    Next,
    LeastLoaded,
    Below,
    All,
    /// At least one item.
    List(Vec<Item>),
}

/// An item of a selector's list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) is_excluded: bool,
    pub(crate) named: Named,
}

/// The clients that an item names.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Rank(usize),
    Ranks(usize, usize),
    Name(String),
    Pattern(&'static str),
    /// The member with that number.
    Number(u64),
    /// Names that the server gives, from one number to another: a node set.
    Given(u64, u64),
    /// Those that joined with so many slots, which is their tag.
    Tagged(usize),
    /// Those of a pattern and of ranks, joined by `&`.
    Both(&'static str, usize, usize),
}

impl To {
    /// As it stands in a `send`.
    pub(crate) fn text(&self) -> Option<String> {
        let word = match self {
            To::Unsaid => return None,
            To::Next => "next",
            To::LeastLoaded => "least-loaded",
            To::Below => "below",
            To::All => "all",
            To::List(items) => return Some(list(items)),
        };
        Some(word.into())
    }
}

fn list(items: &[Item]) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        text += if at > 0 { "," } else { "" };
        text += if item.is_excluded { "!" } else { "" };
        let written = match &item.named {
            Named::Rank(rank) => write!(text, "{rank}"),
            Named::Ranks(first, last) => write!(text, "{first}-{last}"),
            Named::Name(name) => write!(text, "{name}"),
            Named::Pattern(word) => write!(text, "{word}"),
            Named::Number(number) => write!(text, "#{number}"),
            Named::Given(first, last) => write!(text, "client-[{first}-{last}]"),
            Named::Tagged(slots) => write!(text, "slots={slots}"),
            Named::Both(word, first, last) => write!(text, "{word}&{first}-{last}"),
        };
        written.expect("a string takes everything");
    }
    text
}

/// The steps of one walk.
pub(crate) fn walk(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), steps)
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || any::<u16>().prop_map(Pick);
    let name = prop::option::weighted(0.7, 0..NAMES.len());
    let tiers = [5, 5, 6, 6, 7, 9, 9, 9, 4, 10];
    let tier = prop::option::weighted(0.6, prop::sample::select(tiers.to_vec()));
    let bytes = prop::sample::select(vec![0, 0, 200, 5000]);
    let window =
        prop::option::weighted(0.3, prop::sample::select(vec![1, 5000, 16 << 20, 16 << 20]));
    let chance = prop::bool::weighted;
    // The one of a send that only says that there is input, and small ones, so that walks come to
    // their ends.
    let inputs = prop::sample::select(vec![DEFAULT_INPUT, DEFAULT_INPUT, 1, 100, 20_000, 1 << 20]);
    let input = prop::option::weighted(0.4, inputs);
    // Below and past a step, and past most windows.
    let pieces = prop::sample::select(vec![0, 1, 60, 60, 60, 9000, 9000, 20_000, 70_000]);
    let consumed = prop::sample::select(vec![0, 1, 50, 9000, 20_000, 1 << 40]);
    prop_oneof![
        12 => (name, 0usize..4, tier, chance(0.7), chance(0.8), chance(0.5)).prop_map(
            |(name, slots, tier, is_told_its_rank, takes_input, is_held)| Step::Join {
                name, slots, tier, is_told_its_rank, takes_input, is_held
            }
        ),
        12 => (pick(), pick(), pieces, chance(0.15)).prop_map(
            |(actor, which, bytes, is_last)| Step::Input { actor, which, bytes, is_last }
        ),
        8 => (pick(), pick(), consumed)
            .prop_map(|(actor, which, bytes)| Step::ConsumeInput { actor, which, bytes }),
        6 => (pick(), way()).prop_map(|(actor, how)| Step::Go { actor, how }),
        28 => (pick(), to(), bytes, window, input)
            .prop_map(|(actor, to, bytes, window, input)| Step::Send { actor, to, bytes, window, input }),
        2 => (pick(), pick()).prop_map(|(actor, which)| Step::SendAgain { actor, which }),
        26 => (pick(), pick(), answer())
            .prop_map(|(actor, which, how)| Step::Answer { actor, which, how }),
        4 => (pick(), pick()).prop_map(|(actor, which)| Step::Meddle { actor, which }),
        6 => (pick(), pick(), any::<bool>()).prop_map(|(actor, which, is_much)| Step::Output { actor, which, is_much }),
        4 => (pick(), pick(), pick(), prop_oneof![Just(1), 0..200u64])
            .prop_map(|(actor, which, target, bytes)| Step::Consume { actor, which, target, bytes }),
        6 => (pick(), pick()).prop_map(|(actor, which)| Step::Cancel { actor, which }),
        1 => (pick(), 1usize..12).prop_map(|(actor, lines)| Step::Rubbish { actor, lines }),
        3 => pick().prop_map(|actor| Step::StopReading { actor }),
        3 => pick().prop_map(|actor| Step::ReadOn { actor }),
        6 => (pick(), chance(0.3)).prop_map(|(actor, in_a_line)| Step::Break { actor, in_a_line }),
        8 => (pick(), lost()).prop_map(|(actor, lost)| Step::ComeBack { actor, lost }),
    ]
}

fn lost() -> impl Strategy<Value = Lost> {
    prop_oneof![
        4 => prop::sample::select(vec![0, 1, 3, usize::MAX]).prop_map(Lost::Lines),
        1 => Just(Lost::All),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop::sample::select(vec![Way::Leave, Way::CloseSending, Way::Close, Way::Reset])
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => Just(Answer::Exit),
        4 => prop::sample::select(vec![
            Answer::Signal,
            Answer::TimedOut,
            Answer::Cancelled,
            Answer::Refused,
            Answer::NotFound,
            Answer::Failed,
            Answer::Malformed,
        ]),
    ]
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![
        2 => Just(To::Unsaid),
        2 => Just(To::Next),
        6 => Just(To::LeastLoaded),
        4 => Just(To::Below),
        4 => Just(To::All),
        3 => named().prop_map(|named| To::List(vec![Item { is_excluded: false, named }])),
        4 => prop::collection::vec(item(), 1..5).prop_map(To::List),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    (prop::bool::weighted(0.3), named())
        .prop_map(|(is_excluded, named)| Item { is_excluded, named })
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        3 => (0usize..7).prop_map(Named::Rank),
        1 => (0usize..7, 0usize..4).prop_map(|(first, more)| Named::Ranks(first, first + more)),
        2 => prop::sample::select(NAMES.to_vec()).prop_map(|name| Named::Name(name.into())),
        2 => (1u64..9).prop_map(Named::Number),
        1 => (1u64..9, 0u64..3).prop_map(|(first, more)| Named::Given(first, first + more)),
        1 => (0usize..5).prop_map(Named::Tagged),
        1 => (prop::sample::select(PATTERNS.to_vec()), 0usize..7, 0usize..4)
            .prop_map(|(pattern, first, more)| Named::Both(pattern, first, first + more)),
        2 => prop::sample::select(PATTERNS.to_vec()).prop_map(Named::Pattern),
    ]
}
