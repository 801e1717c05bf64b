//! One client of a walk: what it has yet to read, and whether what it reads is that.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::away::Place;
use super::model::Key;
use super::wire::Wire;
use super::{Walked, shown};

/// `refused` notifications to one receiver that surely come, however fast: so many in a second.
const SURE_REFUSALS: usize = 10;

/// A client.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
    pub(crate) reads: bool,
    /// What it is held with, if it asked for that.
    pub(crate) place: Option<Place>,
    /// Commands that it was given, with the ids of their `execute`.
    pub(crate) given: BTreeMap<u64, u64>,
    /// What is to come, step by step.
    expected: VecDeque<Vec<Value>>,
    /// What may come: refusals past those that surely come, and all of them while the client does
    /// not read, as its system decides then how much waits for it.
    possible: Vec<Value>,
    /// How many refusals it was to be told of.
    refusals: usize,
    is_told_its_rank: bool,
    /// Every rank that it had, and among how many.
    stood: Vec<(usize, usize)>,
    /// Which of them it was told last.
    told: usize,
}

/// The ids of `execute` requests, by the numbers that the model gives to commands.
#[derive(Default)]
pub(crate) struct Ids(BTreeMap<u64, u64>);

impl Ids {
    /// All that were given, with their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(number, id)| (*number, *id))
    }

    fn number_of(&self, id: &Value) -> Value {
        let found = self.0.iter().find(|(_, known)| *id == **known);
        found.map_or(json!(format!("an unknown id: {id}")), |(number, _)| {
            (*number).into()
        })
    }

    /// A line as the model has it: without what the model cannot foresee. Notes what the client that
    /// reads it was given.
    pub(crate) fn normal(
        &mut self,
        mut line: Value,
        given: &mut BTreeMap<u64, u64>,
    ) -> Walked<Value> {
        line.as_object_mut().and_then(|line| line.remove("jsonrpc"));
        match line["method"].as_str() {
            Some("execute") => self.note(&mut line, given)?,
            Some("cancel" | "consumed" | "input") => {
                line["params"]["id"] = self.number_of(&line["params"]["id"]);
            }
            Some("refused") => {
                let number = number_in(&line["params"]["command"])?;
                line["params"] = json!({"from": line["params"]["from"], "command": number});
            }
            Some("bye") => line["params"] = json!({"reason": line["params"]["reason"]}),
            _ => {}
        }
        if line.get("error").is_some() {
            line["error"] = json!({"code": line["error"]["code"]});
        }
        for part in ["params", "result"] {
            if let Some(elapsed) = line.pointer_mut(&format!("/{part}/elapsed_ms")) {
                *elapsed = elapsed.is_u64().into();
            }
            let status = line.pointer(&format!("/{part}/status"));
            if status.is_some_and(|status| status == "failed" || status == "absent") {
                line[part]["message"] = line[part]["message"].is_string().into();
            }
        }
        Ok(line)
    }

    /// Notes the id of an `execute`: one for all targets of a command, and never used again.
    fn note(&mut self, line: &mut Value, given: &mut BTreeMap<u64, u64>) -> Walked<()> {
        let number = number_in(&line["params"]["command"])?;
        let id = line["id"]
            .as_u64()
            .ok_or("the id of an execute is no integer")?;
        let is_taken = self.0.iter().any(|(n, known)| *n != number && *known == id);
        let first = *self.0.entry(number).or_insert(id);
        if is_taken || first != id || given.insert(number, id).is_some() {
            return Err(format!(
                "the id {id} of command {number} is not its own: {}",
                shown(line)
            ));
        }
        line["id"] = number.into();
        Ok(())
    }
}

/// The number of a command, which is its first word.
fn number_in(words: &Value) -> Walked<u64> {
    let number = words[0].as_str().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("words that no client sent: {}", shown(words)))
}

impl Peer {
    /// One that has just joined, and reads.
    pub(crate) fn new(wire: Wire, is_told_its_rank: bool, place: Option<Place>) -> Peer {
        Peer {
            wire,
            reads: true,
            place,
            given: BTreeMap::new(),
            expected: VecDeque::new(),
            possible: Vec::new(),
            refusals: 0,
            is_told_its_rank,
            stood: Vec::new(),
            told: 0,
        }
    }

    /// It has its place, and nothing else of what it had.
    pub(crate) fn begin_again(&mut self, place: Place) {
        self.place = Some(place);
        self.given.clear();
        self.expected.clear();
        self.possible.clear();
        self.stood.clear();
        self.told = 0;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_away)
    }

    /// The next line that is new; none at the connection's end.
    pub(crate) fn next(&mut self) -> Walked<Option<Value>> {
        loop {
            let Some(line) = self.wire.next()? else {
                return Ok(None);
            };
            let is_new = match &mut self.place {
                Some(place) => place.take(&line, self.wire.sent)?,
                None => true,
            };
            if is_new {
                return Ok(Some(line));
            }
        }
    }

    /// Takes what is for it, as what is to come.
    pub(crate) fn expect_of(&mut self, key: Key, told: &mut Vec<(Key, Value)>) {
        let is_its = |(to, _): &mut (Key, Value)| *to == key;
        let mut lines: Vec<Value> = told.extract_if(.., is_its).map(|(_, line)| line).collect();
        let is_unsure = |line: &mut Value| {
            let is_refused = line["method"] == "refused";
            self.refusals += usize::from(is_refused);
            is_refused && (!self.reads || self.refusals > SURE_REFUSALS)
        };
        self.possible.extend(lines.extract_if(.., is_unsure));
        if !lines.is_empty() {
            self.expected.push_back(lines);
        }
    }

    /// Notes the rank that it has now.
    pub(crate) fn stands_at(&mut self, rank: usize, members: usize) {
        if self.stood.last() != Some(&(rank, members)) {
            self.stood.push((rank, members));
        }
    }

    pub(crate) fn expects_more(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Whether everything came.
    pub(crate) fn has_all(&self) -> Walked<()> {
        match self.expected.front() {
            None => Ok(()),
            Some(lines) => {
                let lines: Vec<String> = lines.iter().map(shown).collect();
                Err(format!("did not come: {lines:?}"))
            }
        }
    }

    pub(crate) fn knows_its_rank(&self) -> bool {
        let last = self.stood.last().map(|(rank, _)| rank);
        !self.is_told_its_rank || self.stood.get(self.told).map(|(rank, _)| rank) == last
    }

    /// Reads up to the answer with this id, and returns that.
    pub(crate) fn read_until(&mut self, id: &Value, ids: &mut Ids) -> Walked<Value> {
        loop {
            let line = self.next()?.ok_or("the connection ended")?;
            if line["id"] == *id && line.get("method").is_none() {
                return Ok(line);
            }
            let line = ids.normal(line, &mut self.given)?;
            self.take(&line)?;
        }
    }

    /// Reads one line, which has to be one that is to come.
    pub(crate) fn read_one(&mut self, ids: &mut Ids) -> Walked<()> {
        let line = self.next()?.ok_or("the connection ended")?;
        let line = ids.normal(line, &mut self.given)?;
        self.take(&line)
    }

    /// Takes a line that came.
    pub(crate) fn take(&mut self, line: &Value) -> Walked<()> {
        if line["method"] == "rank" {
            return self.take_rank(line);
        }
        if let Some(at) = self.possible.iter().position(|possible| possible == line) {
            self.possible.remove(at);
            return Ok(());
        }
        let Some(step) = self.expected.front_mut() else {
            return Err(format!(
                "nothing ought to come, but there is {}",
                shown(line)
            ));
        };
        let Some(at) = step.iter().position(|expected| expected == line) else {
            let step: Vec<String> = step.iter().map(shown).collect();
            return Err(format!(
                "one of {step:?} ought to come, not {}",
                shown(line)
            ));
        };
        step.swap_remove(at);
        if let Some(earlier) = step.iter().find(|other| must_precede(other, line)) {
            return Err(format!("{} came before {}", shown(line), shown(earlier)));
        }
        if step.is_empty() {
            self.expected.pop_front();
        }
        Ok(())
    }

    /// A rank that it is told is one that it had, and later than the last.
    fn take_rank(&mut self, line: &Value) -> Walked<()> {
        if !self.is_told_its_rank {
            return Err(format!("it is not to be told its rank, and was: {line}"));
        }
        let told = |at: usize| {
            let (rank, members) = self.stood[at];
            line["params"] == json!({"rank": rank, "members": members})
        };
        let found = (self.told..self.stood.len()).find(|at| told(*at));
        let is_news = |at: &usize| self.stood[*at].0 != self.stood[self.told].0;
        self.told = found.filter(is_news).ok_or_else(|| {
            let since = &self.stood[self.told..];
            format!("its ranks were {since:?} since it was told; {line} is no news")
        })?;
        Ok(())
    }
}

/// Whether of two lines of the same step one has to come before the other: `accepted`, then
/// outcomes and what else is told of it, then the answer to the same `send`.
fn must_precede(one: &Value, other: &Value) -> bool {
    let stage = |line: &Value| match line["method"].as_str() {
        Some("accepted") => Some((1, line["params"]["send"].clone())),
        Some("outcome" | "output" | "input_consumed") => Some((2, line["params"]["send"].clone())),
        None => Some((3, line["id"].clone())),
        _ => None,
    };
    match (stage(one), stage(other)) {
        (Some((first, send)), Some((second, id))) => send == id && first < second,
        _ => false,
    }
}
