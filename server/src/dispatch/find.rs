//! The targets of a request: its selector is read, and held against the ranking and the role of its
//! sender. `send` and `select` find the same.

use crate::dispatch::scope::Scope;
use crate::dispatch::selection::{Selection, select};
use crate::hub::Hub;
use crate::member::Member;
use common::wire::message::{Code, RpcError};
use common::wire::selector::{Selector, SelectorError};
use common::wire::text::clip;
use common::wire::{Text, Words};
use std::borrow::Cow;

/// Finds the targets of a command; without one, those that could be given any.
#[inline(never)]
pub(crate) fn find(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    command: Option<&Words<'_>>,
) -> Result<Selection, RpcError> {
    match &sender.bearer {
        None => find_in(hub, sender, to, Scope::ALL),
        Some(bearer) => {
            let (grant, word) = (bearer.grant(), command.map(|words| words.first_word()));
            find_in(hub, sender, to, Scope::of(grant.role(), word.as_deref()))
        }
    }
}

/// For a selection that found no client: what says so on record, if the sender's role is the only
/// reason, because without it a client would execute the command. The sender is told `no_target`,
/// so that the error does not say which clients are here.
#[cold]
#[inline(never)]
pub(crate) fn hidden_by_role(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    command: Option<&Words<'_>>,
) -> Option<RpcError> {
    let grant = sender.bearer.as_ref()?.grant();
    let all = find_in(hub, sender, to, Scope::ALL).ok()?;
    let word = command.map(|words| words.first_word());
    let target = to.map_or(Cow::Borrowed("a target"), |to| to.decoded());
    (all.found.executing() > 0).then(|| Scope::of(grant.role(), word.as_deref()).error(&target))
}

#[inline(never)]
fn find_in(
    hub: &Hub,
    sender: &Member,
    to: Option<&Text<'_>>,
    scope: Scope<'_>,
) -> Result<Selection, RpcError> {
    let Some(to) = to else {
        return select(&hub.roster, sender, &hub.config.dispatch, scope);
    };
    let text = to.decoded();
    match &Selector::parse(&text) {
        Ok(selector) => {
            let found = select(&hub.roster, sender, selector, scope);
            found.map_err(|error| naming(error, selector, &text))
        }
        Err(error) => Err(no_selector(error)),
    }
}

/// The same error with the list of the sender's in front, in which its fault may be.
#[cold]
#[inline(never)]
fn naming(mut error: RpcError, selector: &Selector<'_>, text: &str) -> RpcError {
    let is_list = matches!(
        selector,
        Selector::List(_) | Selector::NextOf(_) | Selector::LeastLoadedOf(_)
    );
    if is_list && error.is(Code::NoTarget) {
        error.message = format!("{:?}: {}", clip(text), error.message);
    }
    error
}

#[cold]
#[inline(never)]
fn no_selector(error: &SelectorError) -> RpcError {
    RpcError::new(Code::InvalidParams, format!("params.to: {error}"))
}
