//! One ranked client, as the threads of the server share it: its connection, what it executes
//! and what it sent.

pub(crate) mod executor_queue;
pub(crate) mod open_sends;
mod refusal_limiter;

use crate::authority::bearer::Bearer;
use crate::clock::wall_ms;
use crate::connection::Connection;
use crate::member::executor_queue::ExecutorQueue;
use crate::member::open_sends::OpenSends;
use crate::member::refusal_limiter::RefusalLimiter;
use crate::ranking::rank_key::RankKey;
use common::sys::sync::Arc;
use common::sys::sync::atomic::AtomicU32;
use common::wire::Origin;
use common::wire::name::{GIVEN, Name, is_given};
use common::wire::tags::Tags;
use common::wire::text::clip;
use common::wire::tier::Tier;
use common::wire::watch::Departed;

/// Schedules checks of members' queues: the server's timers do.
pub(crate) trait ScheduleCheck {
    fn schedule_check(&self, member: &Arc<Member>, at: u64);
}

/// One ranked client. Its rank is not in here: the roster knows it, and it changes.
#[derive(derive_more::Display)]
#[display("{name}")]
pub(crate) struct Member {
    /// Never used again while the server runs; grows in the order of joining, which within a
    /// tier is the order of ranks.
    pub(crate) id: u64,
    pub(crate) tier: Tier,
    /// Whether it is told when its rank changes.
    pub(crate) rank_news: bool,
    pub(crate) name: Box<str>,
    /// Whether it takes input for what it executes.
    pub(crate) takes_input: bool,
    /// What it says of itself, for selectors.
    pub(crate) tags: Tags,
    /// What it has proven, at a server that knows identities.
    pub(crate) bearer: Option<Box<Bearer>>,
    /// How many commands it executes at once; 0: it only sends.
    pub(crate) slots: u32,
    /// When it joined.
    pub(crate) joined: u64,
    pub(crate) connection: Arc<Connection>,
    /// What it executes.
    pub(crate) queue: ExecutorQueue,
    /// What it sent.
    pub(crate) sends: OpenSends,
    /// What it was told of those below it that wanted to command it.
    pub(crate) refusal_limiter: RefusalLimiter,
    /// The rank it was told last.
    pub(crate) told_rank: AtomicU32,
}

/// What a client joins as, besides its name.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) tier: Tier,
    pub(crate) slots: u32,
    pub(crate) rank_news: bool,
    pub(crate) takes_input: bool,
    pub(crate) tags: Tags,
}

impl Member {
    #[inline(never)]
    pub(crate) fn new(
        id: u64,
        name: Box<str>,
        terms: Terms,
        bearer: Option<Box<Bearer>>,
        joined: u64,
        connection: Arc<Connection>,
    ) -> Arc<Member> {
        Arc::new(Member {
            id,
            name,
            bearer,
            tier: terms.tier,
            rank_news: terms.rank_news,
            takes_input: terms.takes_input,
            slots: terms.slots,
            tags: terms.tags,
            joined,
            connection,
            queue: ExecutorQueue::new(terms.slots),
            sends: OpenSends::default(),
            refusal_limiter: RefusalLimiter::default(),
            told_rank: AtomicU32::new(0),
        })
    }

    /// What decides its rank among others.
    pub(crate) fn rank_key(&self) -> RankKey {
        RankKey::new(self.tier, self.id, self.rank_news)
    }

    /// What it has joined as.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            tier: self.tier,
            slots: self.slots,
            rank_news: self.rank_news,
            takes_input: self.takes_input,
            tags: self.tags.clone(),
        }
    }

    /// Its identity, for the clients that it commands.
    pub(crate) fn origin(&self, rank: u32) -> Origin<'_> {
        let bearer = self.bearer.as_ref();
        Origin {
            member: self.id,
            name: Name::known(&*self.name),
            rank,
            tier: Some(self.tier),
            identity: bearer.and_then(|bearer| bearer.wire_identity()),
            role: bearer.map(|bearer| bearer.role()),
        }
    }

    /// What is remembered of it when it leaves. Each `run` and `members` is a client that leaves: these
    /// would push out what is missed.
    pub(crate) fn departed(&self, why: &str) -> Option<Departed> {
        (self.slots > 0 && !is_given(&self.name)).then(|| Departed {
            member: self.id,
            name: self.name.clone(),
            tier: self.tier,
            slots: self.slots,
            why: clip(why).into(),
            at_ms: wall_ms(),
        })
    }

    /// Whether it has asked for its name, rather than being given one.
    pub(crate) fn has_own_name(&self) -> bool {
        let number = self.name.strip_prefix(GIVEN);
        number.is_none_or(|number| number.parse() != Ok(self.id))
    }
}
