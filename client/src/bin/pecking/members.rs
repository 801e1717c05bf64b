//! `pecking members`: shows who is there, without the client that looks.

use crate::failure::Failure;
use crate::output::table;
use client::Client;

/// The ranking as a table or as JSON.
pub(crate) fn members(client: Client, as_json: bool) -> Result<String, Failure> {
    let mut ranking = client.all_members()?;
    let own = client.member();
    client.leave();
    let before = ranking.members.len();
    ranking.members.retain(|member| member.member != own);
    let left_out = u32::try_from(before - ranking.members.len()).unwrap_or(0);
    ranking.total = ranking.total.saturating_sub(left_out);
    if as_json {
        let json = serde_json::to_string_pretty(&ranking);
        return Ok(json.map_or_else(|e| e.to_string(), |json| json + "\n"));
    }
    match ranking.members.is_empty() {
        true => Ok("nobody else is there\n".into()),
        false => Ok(table::ranking(&ranking.members, None)),
    }
}
