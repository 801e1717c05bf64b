//! What a client asks of detached commands, and the `send` that begins one.

use super::requests::{PAGE_ROOM, part};
use super::{Flow, Session};
use crate::jobs::detach::{self, Answer};
use crate::jobs::{self, Job, Wait};
use crate::member::Member;
use crate::member::open_sends::Opened;
use crate::millis;
use common::limits::{JOB_WAIT, MAX_JOB_WAITS};
use common::sys::sync::Arc;
use common::wire::message::{Code, Id, RpcError, error_line, params, result_line};
use common::wire::{CancelJob, Empty, JobId, JobQuery, JobsQuery, Send};
use serde_json::value::RawValue;

impl Session<'_> {
    /// Handles a `send` that is detached; it is answered at once.
    #[inline(never)]
    pub(super) fn send_detached(
        &mut self,
        member: &Arc<Member>,
        id: &Id,
        request: Box<Send<'_>>,
    ) -> Flow {
        let (to, command) = (request.to.clone(), request.command);
        let sent = super::requests::may_send(member)
            .and_then(|()| detach::send(self.hub, member, request, self.now, &mut self.flushes));
        match sent {
            Ok(Answer::Taken(detached)) => self.tell(result_line(id, detached)),
            Ok(Answer::Busy(error)) => self.tell(error_line(Some(id.clone()), &error)),
            Err(error) => return self.not_taken(member, id, to.as_ref(), Some(command), &error),
        }
        Flow::Continue(())
    }

    /// The jobs that a client is shown.
    pub(super) fn jobs(
        &mut self,
        member: &Member,
        id: &Id,
        raw: Option<&RawValue>,
    ) -> Result<Vec<u8>, RpcError> {
        self.flush();
        self.wait_for_room(PAGE_ROOM);
        let query: JobsQuery = params(raw)?;
        let (from, limit) = part(query.from, query.limit);
        let now = self.hub.timers.now();
        Ok(result_line(
            id,
            self.hub.jobs.list(member, from, limit, now),
        ))
    }

    /// What became of a job; `None` if the answer comes later.
    pub(super) fn job(
        &mut self,
        member: &Arc<Member>,
        id: &Id,
        raw: Option<&RawValue>,
    ) -> Result<Option<Vec<u8>>, RpcError> {
        self.flush();
        self.wait_for_room(PAGE_ROOM);
        let query: JobQuery = params(raw)?;
        let job = self.find_job(member, &query.job)?;
        let after = query.after.unwrap_or(0);
        if query.wait == Some(true) && self.waits(member, id, &job, after)? {
            return Ok(None);
        }
        Ok(Some(job.page(id, after)))
    }

    /// Has a request wait for what happens after an event; `false`: it can be answered now.
    fn waits(
        &self,
        member: &Arc<Member>,
        id: &Id,
        job: &Arc<Job>,
        after: u64,
    ) -> Result<bool, RpcError> {
        match member.sends.open_wait(id, MAX_JOB_WAITS as u8) {
            Opened::New => {}
            Opened::Full => {
                let message =
                    format!("{MAX_JOB_WAITS} of your requests wait already; wait for one");
                return Err(RpcError::new(Code::Busy, message));
            }
            // Its `bye` follows.
            Opened::IsOpen | Opened::Gone => return Ok(true),
        }
        let timers = &self.hub.timers;
        let wait = Wait {
            member: Arc::downgrade(member),
            id: id.clone(),
            after,
            until: timers.now().saturating_add(millis(JOB_WAIT)),
        };
        let waits = job.wait(wait, timers);
        if !waits {
            member.sends.close_wait(id, || true);
        }
        Ok(waits)
    }

    /// Ends a job early.
    pub(super) fn cancel_job(
        &mut self,
        member: &Member,
        id: &Id,
        raw: Option<&RawValue>,
    ) -> Result<Vec<u8>, RpcError> {
        let CancelJob { job } = params(raw)?;
        let job = self.find_job(member, &job)?;
        let why = "it was asked for";
        jobs::cancel(self.hub, &job, member, why, &mut self.flushes);
        Ok(result_line(id, Empty {}))
    }

    /// The job with that id, if the client may ask for it. The error does not say which of both it is.
    fn find_job(&self, member: &Member, id: &JobId) -> Result<Arc<Job>, RpcError> {
        let job = self.hub.jobs.get(id);
        let job = job.filter(|job| job.owner.may_be_asked_by(member));
        job.ok_or_else(|| {
            let message = "params.job: you have no such job; `jobs` lists those that are kept";
            RpcError::new(Code::InvalidParams, message)
        })
    }
}
