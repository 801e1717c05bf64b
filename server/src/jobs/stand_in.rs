//! The member that stands in for the sender of a detached command: it has what that sender had at that
//! moment, and nothing that becomes of the sender changes it.

use crate::authority::bearer::Bearer;
use crate::connection::Connection;
use crate::hub::Hub;
use crate::member::{Member, Terms};
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::wire::Tags;

/// The stand-in of a sender. It is in no ranking; its outbox takes nothing, so what a sender would be
/// told is dropped there.
pub(super) fn stand_in(hub: &Hub, sender: &Member) -> Arc<Member> {
    let stream = Arc::new(sender.connection.stream.past());
    let connection = Connection::new(stream, &hub.budget.all, hub.timers.now());
    let connection = connection.counted(&hub.telemetry);
    connection.outbox.close();
    let terms = Terms {
        slots: 0,
        tags: Tags::default(),
        ..sender.terms()
    };
    let bearer = sender.bearer.as_ref().map(|bearer| {
        let grant = bearer.grant();
        Box::new(Bearer::new((*grant).clone()))
    });
    let connection = Arc::new(connection);
    let (id, name) = (sender.id, sender.name.clone());
    let member = Member::new(id, name, terms, bearer, sender.joined, connection);
    let rank = sender.told_rank.load(Ordering::Relaxed);
    member.told_rank.store(rank, Ordering::Relaxed);
    member
}
