//! Whether a server may listen at an address: what can reach it there, and what it asks for.

use std::net::SocketAddr;

/// The address is no address of this machine alone, and nothing was said of which clients may join.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} can be reached from other machines, and any client there could join and command others; \
     ask for a token (--token-file FILE), or say that any client may join (--open)"
)]
pub(crate) struct Exposed(SocketAddr);

/// What is to be said of a server that listens at the address that was bound, whatever was
/// written for it: `None` if nothing.
///
/// | listens on | asks for a token | `--open` | |
/// |---|---|---|---|
/// | loopback | any | any | starts |
/// | other | no | no | refused |
/// | other | yes | any | starts with a warning: nothing is encrypted |
/// | other | no | yes | the same, and that any client may join |
///
/// # Errors
/// It may not listen there.
pub(crate) fn look(
    address: SocketAddr,
    asks_for_token: bool,
    is_open: bool,
) -> Result<Option<String>, Exposed> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(None);
    }
    let risk = match (asks_for_token, is_open) {
        (false, false) => return Err(Exposed(address)),
        (true, _) => "tokens, commands and output",
        (false, true) => "any client may join (--open), and commands and output",
    };
    Ok(Some(format!(
        "{address} can be reached from other machines: {risk} are not encrypted on the way; let \
         the server listen on loopback, and clients come through a tunnel (ssh -L, WireGuard)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reachable_from_elsewhere_only_if_that_was_said() {
        for address in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            let address = address.parse().expect("an address");
            for (token, open) in [(false, false), (true, false), (false, true), (true, true)] {
                assert_eq!(look(address, token, open), Ok(None), "{address}");
            }
        }
        for address in [
            "0.0.0.0:1",
            "[::]:1",
            "10.0.0.1:1",
            "[::ffff:10.0.0.1]:1",
            "[fe80::1]:1",
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(look(address, false, false), Err(Exposed(address)));
            for (token, open) in [(true, false), (false, true), (true, true)] {
                let warning = look(address, token, open)
                    .expect("it may")
                    .expect("a warning");
                assert!(warning.contains("not encrypted") && warning.contains("tunnel"));
                assert_eq!(warning.contains("any client may join"), !token, "{warning}");
            }
        }
    }
}
