//! The clients that execute, as a sender sees them, and what helps if none ranks below it: a client
//! that joins last ranks below all others of its tier.

use crate::output::node_set::{END_OF_A_LINE, fold};
use client::{Client, RequestError};
use common::terminal::escape::one_line;

#[derive(Debug, Default)]
pub(crate) struct Executors {
    pub(crate) below: usize,
    above: Vec<String>,
}

impl Executors {
    pub(crate) fn of(client: &Client) -> Result<Executors, RequestError> {
        let ranking = client.all_members()?;
        let own = ranking.members.iter().find(|m| m.member == client.member());
        let own = own.map_or_else(|| client.rank(), |m| m.rank);
        let mut executors = Executors::default();
        for member in ranking.members.iter().filter(|m| m.slots > 0) {
            if member.rank > own {
                // New commands pass over one that is away.
                executors.below += usize::from(member.away_ms.is_none());
            } else if member.rank < own {
                executors.above.push(one_line(&member.name).into_owned());
            }
        }
        Ok(executors)
    }

    /// Describes the executors above, if there are any: no wait brings them below. Says which
    /// executors rank below.
    pub(crate) fn those_above(&self) -> Option<String> {
        let names = fold(self.above.iter().map(String::as_str), END_OF_A_LINE);
        let above = || {
            format!(
                "the executors here ({names}) rank above this client; those of a larger tier \
                 (`pecking work` takes 9, --tier another one) rank below, whenever they join"
            )
        };
        (!self.above.is_empty()).then(above)
    }

    /// Advice for a command without a target; none if executors rank below.
    pub(crate) fn hint(&self) -> Option<String> {
        match self.those_above() {
            _ if self.below > 0 => None,
            Some(above) => Some(above),
            None => {
                Some("run --wait-for N waits until N that can execute have joined below".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_says_what_would_help() {
        let executors = |below, above: &[&str]| Executors {
            below,
            above: above.iter().map(ToString::to_string).collect(),
        };
        let hint = |below, above: &[&str]| executors(below, above).hint().unwrap_or_default();
        assert_eq!(hint(1, &["web1"]), "");
        assert!(hint(0, &[]).contains("--wait-for N waits"));
        let above = hint(0, &["web1", "web2"]);
        assert!(above.contains("(web[1-2]) rank above") && above.contains("`pecking work`"));
    }
}
