//! Whether a server may listen at an address: what can reach it there, and what it asks for.

use log::Level;
use std::net::SocketAddr;

/// How a server guards the address where it listens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guard {
    /// It encrypts.
    pub(crate) encrypts: bool,
    /// It asks each client for a token or a certificate.
    pub(crate) asks: bool,
    /// The operator says that it need not encrypt (`--plain`).
    pub(crate) plain: bool,
    /// The operator says that any client may join (`--open`).
    pub(crate) open: bool,
}

/// The address is no address of this machine alone, and the server is not guarded there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exposed {
    /// Nothing is encrypted, and the operator has not said that this is meant.
    #[error(
        "{0} can be reached from other machines, and nothing would be encrypted: make \
         certificates with `pecking-server init` (or give --cert and --key); if a tunnel \
         encrypts, add --plain"
    )]
    InTheClear(SocketAddr),
    /// Any client may join, and the operator has not said that this is meant.
    #[error(
        "{0} can be reached from other machines, and any client there could join and command \
         others: ask for a token or a certificate (`pecking-server init` makes both), or add \
         --open if any client may join"
    )]
    ToAnyClient(SocketAddr),
    /// The same of what the server shows over HTTP.
    #[error(
        "--http: {0} can be reached from other machines, and nothing would be encrypted: make \
         certificates with `pecking-server init` (or give --cert and --key); if a tunnel \
         encrypts, add --plain"
    )]
    ShownInTheClear(SocketAddr),
    /// The same of its visitors.
    #[error(
        "--http: {0} can be reached from other machines, and any visitor there would see members \
         and commands: ask for a token (--http-token-file FILE, or credentials from \
         `pecking-server init`), or add --open if any visitor may look"
    )]
    ToAnyVisitor(SocketAddr),
}

/// The peers that an address is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peers {
    /// Clients, which join.
    Clients,
    /// Visitors, which look at what the server shows over HTTP.
    Visitors,
}

impl Peers {
    fn in_the_clear(self, address: SocketAddr) -> Exposed {
        match self {
            Peers::Clients => Exposed::InTheClear(address),
            Peers::Visitors => Exposed::ShownInTheClear(address),
        }
    }

    fn to_any(self, address: SocketAddr) -> Exposed {
        match self {
            Peers::Clients => Exposed::ToAnyClient(address),
            Peers::Visitors => Exposed::ToAnyVisitor(address),
        }
    }

    /// What any user of this machine can do.
    fn any_user(self) -> &'static str {
        match self {
            Peers::Clients => {
                "any user of this machine can join, as no token is asked for (--token-file FILE)"
            }
            Peers::Visitors => {
                "http: any user of this machine can see members and commands, as no token is asked \
                 for (--http-token-file FILE)"
            }
        }
    }

    /// What `--plain` gives up at an address.
    fn plain(self, address: SocketAddr) -> String {
        match self {
            Peers::Clients => format!(
                "--plain: {address} can be reached from other machines, and tokens, commands and \
                 output are not encrypted on the way; let clients come through a tunnel (ssh -L, \
                 WireGuard)"
            ),
            Peers::Visitors => format!(
                "--plain: {address} can be reached from other machines, and what the server shows \
                 over HTTP, and the tokens of visitors, are not encrypted on the way"
            ),
        }
    }

    /// What `--open` gives up at an address.
    fn open(self, address: SocketAddr) -> String {
        match self {
            Peers::Clients => format!(
                "--open: any client that reaches {address} may join, and command those that rank \
                 below it"
            ),
            Peers::Visitors => {
                format!("--open: any visitor that reaches {address} sees members and commands")
            }
        }
    }
}

/// What is to be said of a server that listens at the address that was bound, not at the one that was
/// written for it.
///
/// | listens on | encrypts | asks | |
/// |---|---|---|---|
/// | loopback | any | yes | starts |
/// | loopback | any | no | starts, and says that any user of this machine can join, or look |
/// | other | no | any | refused without `--plain`, which says what it gives up |
/// | other | any | no | refused without `--open`, which says what it gives up |
///
/// # Errors
/// It may not listen there.
pub(crate) fn look(
    address: SocketAddr,
    guard: Guard,
    peers: Peers,
) -> Result<Vec<(Level, String)>, Exposed> {
    if address.ip().to_canonical().is_loopback() {
        let said = (!guard.asks).then(|| (Level::Info, peers.any_user().into()));
        return Ok(said.into_iter().collect());
    }
    if !guard.encrypts && !guard.plain {
        return Err(peers.in_the_clear(address));
    }
    if !guard.asks && !guard.open {
        return Err(peers.to_any(address));
    }
    let plain = (!guard.encrypts).then(|| peers.plain(address));
    let open = (!guard.asks).then(|| peers.open(address));
    let warnings = plain.into_iter().chain(open);
    Ok(warnings.map(|text| (Level::Warn, text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [&str; 4] = [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ];

    const ELSEWHERE: [&str; 5] = [
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
        "[fe80::1]:1",
    ];

    /// What is said at each of the addresses: its beginnings, or that it is refused.
    fn outcomes(addresses: &[&str], guard: Guard) -> Vec<Vec<String>> {
        let look =
            |address: &str| look(address.parse().expect("an address"), guard, Peers::Clients);
        let outcome = |address: &&str| match look(address) {
            Ok(said) => said
                .iter()
                .map(|(_, said)| said.split([':', ' ']).next().unwrap_or_default().to_owned())
                .collect(),
            Err(Exposed::InTheClear(_)) => vec!["in the clear".to_owned()],
            Err(Exposed::ToAnyClient(_)) => vec!["to any client".to_owned()],
            Err(other) => panic!("{other} is about visitors"),
        };
        let mut outcomes: Vec<_> = addresses.iter().map(outcome).collect();
        outcomes.dedup();
        outcomes
    }

    #[test]
    fn a_server_is_reachable_from_elsewhere_only_if_it_is_guarded_or_the_operator_says_so() {
        let all = |n: u8| Guard {
            encrypts: n & 8 > 0,
            asks: n & 4 > 0,
            plain: n & 2 > 0,
            open: n & 1 > 0,
        };
        for guard in (0..16).map(all) {
            let said: &[&str] = if guard.asks { &[] } else { &["any"] };
            assert_eq!(outcomes(&HERE, guard), [said], "{guard:?}");
            let said: &[&str] = match guard {
                Guard {
                    encrypts: false,
                    plain: false,
                    ..
                } => &["in the clear"],
                Guard {
                    asks: false,
                    open: false,
                    ..
                } => &["to any client"],
                Guard {
                    encrypts: true,
                    asks: true,
                    ..
                } => &[],
                Guard {
                    encrypts: true,
                    asks: false,
                    ..
                } => &["--open"],
                Guard {
                    encrypts: false,
                    asks: true,
                    ..
                } => &["--plain"],
                Guard {
                    encrypts: false,
                    asks: false,
                    ..
                } => &["--plain", "--open"],
            };
            assert_eq!(outcomes(&ELSEWHERE, guard), [said], "{guard:?}");
        }
    }

    #[test]
    fn visitors_are_held_off_where_clients_are() {
        let all = |n: u8| Guard {
            encrypts: n & 8 > 0,
            asks: n & 4 > 0,
            plain: n & 2 > 0,
            open: n & 1 > 0,
        };
        for address in HERE.iter().chain(&ELSEWHERE) {
            let address = address.parse().expect("an address");
            for guard in (0..16).map(all) {
                let [clients, visitors] =
                    [Peers::Clients, Peers::Visitors].map(|peers| look(address, guard, peers));
                let levels = |said: Vec<(Level, String)>| -> Vec<Level> {
                    said.into_iter().map(|(level, _)| level).collect()
                };
                match (clients, visitors) {
                    (Ok(clients), Ok(visitors)) => assert_eq!(levels(clients), levels(visitors)),
                    (Err(Exposed::InTheClear(_)), Err(Exposed::ShownInTheClear(_)))
                    | (Err(Exposed::ToAnyClient(_)), Err(Exposed::ToAnyVisitor(_))) => {}
                    other => panic!("{address} {guard:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_what_makes_it_right() {
        let address = "0.0.0.0:1".parse().expect("an address");
        for exposed in [
            Exposed::InTheClear(address),
            Exposed::ToAnyClient(address),
            Exposed::ShownInTheClear(address),
            Exposed::ToAnyVisitor(address),
        ] {
            let text = exposed.to_string();
            assert!(text.contains("`pecking-server init`"), "{text}");
        }
    }
}
