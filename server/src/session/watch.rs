//! `watch`: a client that is told what the server does.

use super::Session;
use crate::member::Member;
use crate::record::Asked;
use crate::watch::reader::Reader;
use crate::watch::thread;
use crate::watch::watchers::Watcher;
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, params, result_line};
use common::wire::watch::Watch;
use common::wire::{Empty, Right, method};
use serde_json::value::RawValue;

impl Session<'_> {
    /// Begins or ends it. The answer that begins it is on its way already when this returns.
    #[inline(never)]
    pub(super) fn watch(
        &mut self,
        member: &Arc<Member>,
        id: &Id,
        raw: Option<&RawValue>,
    ) -> Result<Option<Vec<u8>>, RpcError> {
        if let Some(bearer) = &member.bearer {
            let may = bearer.may(Right::List).map_err(RpcError::from);
            may.inspect_err(|error| {
                let asked = Asked {
                    method: method::WATCH,
                    to: None,
                    command: None,
                };
                self.note_denial(member, &asked, error);
            })?;
        }
        let Watch { on } = params(raw)?;
        // Before the one that it may have had goes: without any, the server forgets what it kept.
        let reader = (on != Some(false)).then(|| Reader::open(&self.hub.readers));
        self.hub.watchers.forget(member.id);
        let Some(mut reader) = reader else {
            return Ok(Some(result_line(id, Empty {})));
        };
        let answer = self
            .hub
            .tell(&mut reader, |watched| result_line(id, watched));
        let answer = answer.unwrap_or_else(|| result_line(id, Empty {}));
        let watcher = Watcher::new(member.id, self.connection, reader);
        thread::begin(self.hub, watcher, answer)
            .map_err(|e| RpcError::new(Code::Internal, format!("no thread to tell you: {e}")))?;
        self.flushes.add(self.connection);
        Ok(None)
    }
}
