//! Which clients may join: the checks of what `join` asks for, in the order that the protocol gives
//! for their errors.

use crate::join::throttle::Throttle;
use crate::join::token::Token;
use crate::member::Terms;
use crate::ranking::NotAdmitted;
use common::limits::{MAX_SLOTS, PROTOCOL};
use common::wire::message::{Code, RpcError, clip, params};
use common::wire::name::Name;
use common::wire::tier::Tier;
use common::wire::{Credential, Join};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::IpAddr;

/// The error for a client that the roster does not admit.
pub(crate) fn not_admitted(refusal: &NotAdmitted, name: Option<&str>) -> RpcError {
    match refusal {
        NotAdmitted::ShuttingDown => RpcError::new(
            Code::ShuttingDown,
            "the server is shutting down; it admits no client",
        ),
        NotAdmitted::Full(max) => RpcError::new(
            Code::Full,
            format!("the server has as many clients as it accepts ({max}); try again later"),
        ),
        NotAdmitted::NameTaken(taken) => {
            let name = name.unwrap_or_default();
            let why = match &**taken == name {
                true => format!("a client here has the name {name:?}"),
                false => format!("{name:?} differs in case only from {taken:?}, which is taken"),
            };
            RpcError::new(Code::NameTaken, format!("{why}; choose another one"))
        }
    }
}

/// What a client asks for, once that was found right.
pub(crate) struct Wanted {
    pub(crate) name: Option<Name<'static>>,
    pub(crate) terms: Terms,
}

impl Wanted {
    /// Checks the version first, then the parameters, then the credential.
    #[inline(never)]
    pub(crate) fn read(
        raw: Option<&RawValue>,
        check_token: impl FnOnce(Option<&str>) -> Result<(), RpcError>,
    ) -> Result<Wanted, RpcError> {
        check_protocol(raw)?;
        let join: Join<'_> = params(raw)?;
        let wrong = |message: String| Err(RpcError::new(Code::InvalidParams, message));
        let name = match join.name.map(|name| Name::asked_for(name.into_string())) {
            Some(Err(message)) => return wrong(format!("params.name: {message}")),
            name => name.and_then(Result::ok),
        };
        let slots = match join.slots.unwrap_or(1) {
            slots if slots <= u64::from(MAX_SLOTS) => slots as u32,
            slots => {
                return wrong(format!(
                    "params.slots is {slots}; it must be from 0 to {MAX_SLOTS}"
                ));
            }
        };
        let tier = match join.tier.map(Tier::new) {
            Some(Err(message)) => return wrong(format!("params.tier: {message}")),
            tier => tier.and_then(Result::ok),
        };
        check_token(join.token.as_ref().map(Credential::reveal).as_deref())?;
        let terms = Terms {
            tier: granted(tier, Tier::DEFAULT)?,
            slots,
            rank_news: join.rank_news.unwrap_or(true),
        };
        Ok(Wanted { name, terms })
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

/// Checks the token that a client shows, as often as its address may guess.
#[inline(never)]
pub(crate) fn check_token(
    throttle: &Throttle,
    token: &Token,
    shown: Option<&str>,
    address: IpAddr,
    now: u64,
) -> Result<(), RpcError> {
    let is_right = || shown.is_some_and(|shown| token.is(shown));
    let Err(refused) = throttle.look(address, now, is_right) else {
        return Ok(());
    };
    let retry_ms = refused.retry_ms;
    let message = match (refused.was_heard, shown) {
        (false, _) => {
            let seconds = retry_ms.div_ceil(1000);
            format!("too many wrong tokens came from your address; try again in {seconds} s")
        }
        (true, Some(_)) => "the token is not this server's".into(),
        (true, None) => "this server asks for a token".into(),
    };
    let mut error = RpcError::new(Code::Unauthorized, message);
    error.data.retry_ms = Some(retry_ms);
    Err(error)
}

/// A version that the server does not speak is the first error: the rest of a later version's
/// parameters may well look wrong here.
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
