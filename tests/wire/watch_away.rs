//! What a client that watches is told of a member whose connection breaks.

use crate::support::held::Held;
use crate::support::{Raw, Server, tunnel};
use serde_json::{Value, json};

#[test]
fn a_member_is_away_for_so_long_and_then_back() {
    if tunnel::is_carrier() {
        return;
    }
    let server = Server::start(9, &[]);
    let mut watcher = Raw::join(&server, "viewer", 0);
    let mut web = Held::join(server.address(), "web", 1);
    let member = web.member();
    let first = watcher.result("watch", &json!({}));
    let away_ms = |told: &Value| {
        let joined = told["members"]["joined"].as_array().expect("members");
        let web = joined.iter().find(|m| m["member"] == member).expect("web");
        web["away_ms"].clone()
    };
    assert_eq!(away_ms(&first), Value::Null);
    let away = |watcher: &mut Raw| {
        let told = watcher.wait_for("away", |m| !m["params"]["members"]["away"].is_null());
        let away = told["params"]["members"]["away"].clone();
        assert_eq!(
            (away[0][0].as_u64(), &away[1]),
            (Some(member), &Value::Null)
        );
        away[0][1].clone()
    };
    web.wait_for_ack();
    web.reset();
    let so_far = away(&mut watcher).as_u64().expect("milliseconds");
    let again = watcher.result("watch", &json!({}));
    assert!(away_ms(&again).as_u64() >= Some(so_far), "{again}");
    web.come_back();
    assert_eq!(away(&mut watcher), Value::Null);
    let back = watcher.result("watch", &json!({}));
    assert_eq!(away_ms(&back), Value::Null);
}
