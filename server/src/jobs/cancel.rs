//! Ends a detached command early.

use super::job::Job;
use crate::dispatch::dispatcher;
use crate::dispatch::flush_set::FlushSet;
use crate::hub::Hub;
use crate::member::Member;

/// Ends a job's command early, at each target that has not answered yet; a second time changes nothing.
/// `by` is who wants that.
pub(crate) fn cancel(hub: &Hub, job: &Job, by: &Member, why: &str, flushes: &mut FlushSet<'_>) {
    let stand_in = &job.stand_in;
    // First: a thread that distributes it at this moment looks whether this was called.
    stand_in.sends.end();
    dispatcher::cancel_all(hub, stand_in, (by, why), flushes);
}
