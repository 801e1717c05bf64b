//! Which clients may join: the checks of what `join` asks for, in the order that the protocol gives
//! for their errors.

use crate::authority::Rules;
use crate::authority::bearer::Bearer;
use crate::authority::grant::{Forbidden, Grant};
use crate::authority::token::TokenHash;
use crate::connection::hold::{self, TOKEN_DIGITS};
use crate::join::throttle::Throttle;
use crate::join::token::Token;
use crate::member::Terms;
use crate::ranking::{Newcomer, NotAdmitted};
use common::limits::{MAX_SLOTS, PROTOCOL};
use common::sys::sync::Arc;
use common::wire::Text;
use common::wire::message::{Code, RpcError, params};
use common::wire::name::Name;
use common::wire::text::clip;
use common::wire::tier::Tier;
use common::wire::{Credential, Join, Resume, Right, Staying};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::IpAddr;

/// The error for a client that the roster does not admit.
#[inline(never)]
pub(crate) fn not_admitted(refusal: &NotAdmitted, wanted: &Wanted) -> RpcError {
    let (name, grant) = (
        wanted.name.as_deref(),
        wanted.proven.as_ref().map(|proven| &proven.grant),
    );
    match refusal {
        NotAdmitted::TooMany(most) => {
            let identity = grant.map(|grant| grant.credential.id.as_str());
            too_many(*most, identity.unwrap_or_default())
        }
        NotAdmitted::Reserved(seats) => RpcError::new(
            Code::Full,
            format!(
                "the seats that are free ({seats}) are for clients of higher tiers; try again later"
            ),
        ),
        NotAdmitted::ShuttingDown => RpcError::new(
            Code::ShuttingDown,
            "the server is shutting down; it admits no client",
        ),
        NotAdmitted::Full(max) => RpcError::new(
            Code::Full,
            format!(
                "the server has as many clients as it accepts ({max}, the N of `pecking-server N`); \
                 try again later"
            ),
        ),
        NotAdmitted::NameTaken(taken) => {
            let name = name.unwrap_or_default();
            let lists = grant.is_none_or(|grant| grant.role().may(Right::List).is_ok());
            let why = match &**taken == name {
                true => format!("a client here has the name {name:?}"),
                false if lists => {
                    format!("{name:?} differs in case only from {taken:?}, which is taken")
                }
                // It is not to know of the client.
                false => format!("{name:?} differs in case only from a name that is taken"),
            };
            RpcError::new(Code::NameTaken, format!("{why}; choose another one"))
        }
    }
}

/// How soon another try may be worth while of a client that is one too many: its server may not
/// have noticed yet that the earlier one is gone.
const TOO_MANY_RETRY_MS: u64 = 1000;

fn too_many(most: u32, identity: &str) -> RpcError {
    let message =
        format!("as many clients are here as may join with the credential {identity:?} ({most})");
    let mut error = RpcError::forbidden(format!("{identity}.connections"), message);
    error.data.retry_ms = (most > 0).then_some(TOO_MANY_RETRY_MS);
    error
}

/// What a client asks for, once that was found right.
pub(crate) struct Wanted {
    pub(crate) name: Option<Name<'static>>,
    pub(crate) terms: Terms,
    /// What it has proven, at a server that knows identities.
    pub(crate) proven: Option<Proven>,
    /// Whether its place is to be held if its connection breaks.
    pub(crate) hold: bool,
    /// The place that it comes back to; nothing else counts then.
    pub(crate) resume: Option<Box<ComesBack>>,
}

/// What a client shows to come back.
pub(crate) struct ComesBack {
    /// The number of the member that the token is of.
    pub(crate) member: Option<u64>,
    pub(crate) token: TokenHash,
    /// How many of this server's lines it has received.
    pub(crate) received: u64,
}

/// What a client has proven, by these rules.
pub(crate) struct Proven {
    pub(crate) rules: Arc<Rules>,
    pub(crate) grant: Grant,
}

/// The parameters of a `join`; apart and on the heap, so that what comes next shares the stack.
#[inline(never)]
fn join_params(raw: Option<&RawValue>) -> Result<Box<Join<'_>>, RpcError> {
    check_protocol(raw)?;
    params(raw)
}

#[inline(never)]
fn asked_name(name: Text<'_>) -> Result<Name<'static>, RpcError> {
    let name = Name::asked_for(name.into_string());
    name.map_err(|message| wrong(format!("params.name: {message}")))
}

/// Whether its place is to be held, and which one it comes back to.
#[inline(never)]
fn staying(raw: Option<&RawValue>) -> Result<(bool, Option<Box<ComesBack>>), RpcError> {
    let Staying { hold, resume } = params(raw)?;
    let resume = resume.map(|shown| comes_back(&shown.0)).transpose()?;
    Ok((hold == Some(true), resume))
}

#[inline(never)]
fn comes_back(resume: &Resume<'_>) -> Result<Box<ComesBack>, RpcError> {
    let token = resume.token.reveal();
    if token.len() != TOKEN_DIGITS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!("params.resume.token must be {TOKEN_DIGITS} hexadecimal digits");
        return Err(wrong(message));
    }
    Ok(Box::new(ComesBack {
        member: hold::member_of(&token),
        token: TokenHash::of(&token),
        received: resume.received,
    }))
}

#[cold]
#[inline(never)]
fn wrong(message: String) -> RpcError {
    RpcError::new(Code::InvalidParams, message)
}

impl Wanted {
    /// Checks the version first, then the parameters, then the credential, then what that gives.
    #[inline(never)]
    pub(crate) fn read(
        raw: Option<&RawValue>,
        prove: impl FnOnce(Option<&str>) -> Result<Option<Proven>, RpcError>,
    ) -> Result<Box<Wanted>, RpcError> {
        let join = join_params(raw)?;
        let staying = staying(raw)?;
        Wanted::of(join, staying, prove)
    }

    /// Apart, so that what it needs of the stack is not below the reading of parameters.
    #[expect(
        clippy::boxed_local,
        reason = "it comes so, and has no place in this frame either"
    )]
    #[inline(never)]
    fn of(
        mut join: Box<Join<'_>>,
        (hold, resume): (bool, Option<Box<ComesBack>>),
        prove: impl FnOnce(Option<&str>) -> Result<Option<Proven>, RpcError>,
    ) -> Result<Box<Wanted>, RpcError> {
        let name = join.name.take().map(asked_name).transpose()?;
        let slots = match join.slots {
            Some(slots) if slots > u64::from(MAX_SLOTS) => {
                return Err(wrong(format!(
                    "params.slots is {slots}; it must be from 0 to {MAX_SLOTS}"
                )));
            }
            slots => slots.map(|slots| slots as u32),
        };
        let tier = match join.tier.map(Tier::new) {
            Some(Err(message)) => return Err(wrong(format!("params.tier: {message}"))),
            tier => tier.and_then(Result::ok),
        };
        let proven = prove(join.token.as_ref().map(Credential::reveal).as_deref())?;
        let (tier, slots) = match &proven {
            _ if resume.is_some() => (Tier::DEFAULT, 0),
            None => (granted(tier, Tier::DEFAULT)?, slots.unwrap_or(1)),
            Some(proven) => proven.give(name.as_deref(), tier, slots)?,
        };
        let terms = Terms {
            tier,
            slots,
            rank_news: join.rank_news.unwrap_or(true),
            takes_input: join.stdin.unwrap_or_default(),
            tags: join.tags.unwrap_or_default(),
        };
        Ok(Box::new(Wanted {
            name,
            terms,
            proven,
            hold,
            resume,
        }))
    }

    /// What stays with the member of what it has proven.
    #[inline(never)]
    pub(super) fn bearer(&self) -> Option<Box<Bearer>> {
        let proven = self.proven.as_ref()?;
        Some(Box::new(Bearer::new(proven.grant.clone())))
    }

    /// What the roster looks at.
    pub(crate) fn newcomer(&self) -> Newcomer<'_> {
        Newcomer {
            name: self.name.as_deref(),
            tier: self.terms.tier,
            executes: self.terms.slots > 0,
            credential: self.proven.as_ref().map(|proven| &*proven.grant.credential),
            reserve: self
                .proven
                .as_ref()
                .and_then(|proven| proven.rules.reserve()),
        }
    }
}

impl Proven {
    /// The tier and the slots of a client that asks for these, if it may have them and its name.
    #[inline(never)]
    fn give(
        &self,
        name: Option<&str>,
        tier: Option<Tier>,
        slots: Option<u32>,
    ) -> Result<(Tier, u32), RpcError> {
        let tier = self.grant.tier(tier)?;
        let slots = self.grant.slots(slots)?;
        if let Some(name) = name {
            self.rules.may_take(&self.grant, name)?;
        }
        Ok((tier, slots))
    }
}

impl From<Forbidden> for RpcError {
    fn from(Forbidden { rule, message }: Forbidden) -> RpcError {
        RpcError::forbidden(rule, message)
    }
}

/// The tier of a client that may have `highest`: that one, or a lower one if it asks for that.
/// To rank oneself lower takes no permission.
fn granted(asked: Option<Tier>, highest: Tier) -> Result<Tier, RpcError> {
    match asked {
        Some(tier) if tier < highest => Err(RpcError::forbidden(
            "tier",
            format!("tier {tier} is higher than yours; you may ask for {highest} to 9"),
        )),
        asked => Ok(asked.unwrap_or(highest)),
    }
}

/// Checks what a client shows, as often as its address may guess.
#[inline(never)]
pub(crate) fn prove<T, E: std::fmt::Display>(
    throttle: &Throttle,
    address: IpAddr,
    now: u64,
    check: impl FnOnce() -> Result<T, E>,
) -> Result<T, RpcError> {
    throttle
        .look(address, now, check)
        .map_err(|(refused, why)| {
            let retry_ms = refused.retry_ms;
            let message = match why {
                Some(why) => why.to_string(),
                None => {
                    let seconds = retry_ms.div_ceil(1000);
                    format!(
                        "too many wrong tokens came from your address; try again in {seconds} s"
                    )
                }
            };
            let mut error = RpcError::new(Code::Unauthorized, message);
            error.data.retry_ms = Some(retry_ms);
            error
        })
}

/// Checks the one token of a server that knows no identities.
pub(crate) fn check_token(token: &Token, shown: Option<&str>) -> Result<(), &'static str> {
    match shown {
        Some(shown) if token.is(shown) => Ok(()),
        Some(_) => Err("the token is not this server's"),
        None => Err("this server asks for a token"),
    }
}

/// A version that the server does not speak is the first error: the rest of a later version's
/// parameters may well look wrong here.
#[inline(never)]
fn check_protocol(raw: Option<&RawValue>) -> Result<(), RpcError> {
    #[derive(Deserialize)]
    struct Version<'a> {
        #[serde(borrow)]
        protocol: &'a RawValue,
    }
    // Only from an object: serde would take the first element of an array for it.
    let object = raw.filter(|raw| raw.get().starts_with('{'));
    let read = object.map(|raw| serde_json::from_str::<Version<'_>>(raw.get()));
    let Some(Ok(Version { protocol })) = read else {
        return Ok(());
    };
    let version = protocol.get();
    let digits = version.strip_prefix('-').unwrap_or(version);
    let is_integer = digits.bytes().all(|b| b.is_ascii_digit());
    if is_integer && version != PROTOCOL.to_string() {
        let message = format!(
            "this server does not speak version {}; it speaks {PROTOCOL}",
            clip(version)
        );
        let mut error = RpcError::new(Code::UnsupportedProtocol, message);
        error.data.supported = Some(vec![PROTOCOL]);
        return Err(error);
    }
    Ok(())
}
