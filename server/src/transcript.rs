//! The originals' console, to the letter: which clients were accepted and have disconnected, and the
//! ranking after each. It is made while the ranking is locked, so that its lines stand in the order of
//! the changes; the console's own thread writes it.

use common::terminal::console::Console;
use std::net::SocketAddr;

/// The longest ranking that is printed whole: a terminal's height. Above it, a line for
/// each client at every arrival would be of no use.
pub(crate) const WHOLE_RANKING: usize = 20;

/// The transcript and its console; by default there is none.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Option<Console>);

/// The ranking after a change, as far as it is printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standings {
    /// All clients, in rank order.
    Whole(Vec<SocketAddr>),
    /// The number of clients.
    Count(usize),
}

impl Transcript {
    /// Prints to a console.
    pub fn to(console: Console) -> Transcript {
        Transcript(Some(console))
    }

    /// Whether anything is printed at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn starting(&self, max_clients: u32) {
        self.print(|| format!("[STARTING] Listening for {max_clients} clients...\n"));
    }

    pub(crate) fn accepted(&self, client: SocketAddr, rank: usize, standings: &Standings) {
        self.print(|| accepted(client, rank, standings));
    }

    pub(crate) fn disconnected(&self, client: SocketAddr, standings: &Standings) {
        self.print(|| disconnected(client, standings));
    }

    fn print(&self, text: impl FnOnce() -> String) {
        if let Some(console) = &self.0 {
            console.print(text().into_bytes());
        }
    }
}

fn accepted(client: SocketAddr, rank: usize, standings: &Standings) -> String {
    let ranking = match standings {
        Standings::Whole(_) => ranking(standings),
        Standings::Count(_) => format!("{}{}", rank_line(client, rank), ranking(standings)),
    };
    format!("Accepted client {}\n{ranking}", python(client))
}

fn disconnected(client: SocketAddr, standings: &Standings) -> String {
    format!(
        "[Disconnect]  socket {} has disconnected\n[New ranking]\n{}",
        python(client),
        ranking(standings)
    )
}

fn ranking(standings: &Standings) -> String {
    match standings {
        Standings::Whole(clients) if clients.is_empty() => "0 connections\n".into(),
        Standings::Whole(clients) => {
            let lines = clients.iter().enumerate();
            lines
                .map(|(rank, client)| rank_line(*client, rank))
                .collect()
        }
        Standings::Count(count) => format!("{count} connections\n"),
    }
}

fn rank_line(client: SocketAddr, rank: usize) -> String {
    format!("socket {} has rank number {rank}\n", python(client))
}

/// An address as Python's `socket` shows it.
fn python(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("('{}', {})", v4.ip(), v4.port()),
        SocketAddr::V6(v6) => {
            format!(
                "('{}', {}, {}, {})",
                v6.ip(),
                v6.port(),
                v6.flowinfo(),
                v6.scope_id()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_short_ranking_is_printed_whole() {
        let two = Standings::Whole(vec![client(47036), client(49910)]);
        assert_eq!(
            accepted(client(49910), 1, &two),
            "Accepted client ('127.0.0.1', 49910)\n\
             socket ('127.0.0.1', 47036) has rank number 0\n\
             socket ('127.0.0.1', 49910) has rank number 1\n"
        );
        assert_eq!(
            disconnected(client(33300), &Standings::Whole(vec![])),
            "[Disconnect]  socket ('127.0.0.1', 33300) has disconnected\n\
             [New ranking]\n0 connections\n"
        );
    }

    #[test]
    fn a_long_ranking_is_a_count() {
        assert_eq!(
            accepted(client(1), 20, &Standings::Count(21)),
            "Accepted client ('127.0.0.1', 1)\n\
             socket ('127.0.0.1', 1) has rank number 20\n21 connections\n"
        );
        assert_eq!(
            disconnected(client(1), &Standings::Count(21)),
            "[Disconnect]  socket ('127.0.0.1', 1) has disconnected\n\
             [New ranking]\n21 connections\n"
        );
    }

    #[test]
    fn addresses_look_as_in_python() {
        let v6: SocketAddr = "[::1]:5555".parse().expect("an address");
        assert_eq!(python(v6), "('::1', 5555, 0, 0)");
    }
}
