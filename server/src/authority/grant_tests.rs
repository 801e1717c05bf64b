use super::*;
use crate::authority::testing::{credential, prove, rules};
use crate::clock::wall_clock;
use std::time::Duration;

#[test]
fn a_client_proves_the_credential_that_counts_here_and_now() {
    let rules = rules(&[
        credential("alice", "operator", 'a', "from = [\"10.0.0.0/8\"]"),
        credential("bob", "deployer", 'b', "expires = 2027-06-30T00:00:00Z"),
        "[[credentials]]\nid = \"fleet\"\nrole = \"agent\"\ncert = \"spiffe://corp/agent/*\"\n".into(),
        "[[credentials]]\nid = \"web7\"\nrole = \"agent\"\ncert = \"spiffe://corp/agent/web7\"\nconnections = 0\n".into(),
    ]);
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let after = SystemTime::UNIX_EPOCH + Duration::from_secs(1_814_313_600);
    let (here, inside, mapped) = ("192.0.2.1", "10.1.2.3", "::ffff:10.1.2.3");
    for (token, certificate, address, now, expected) in [
        (Some("a"), None, inside, before, Ok("alice")),
        (Some("a"), None, mapped, before, Ok("alice")),
        (Some("a"), None, here, before, Err(Unproven::Address)),
        (Some("b"), None, here, before, Ok("bob")),
        (Some("b"), None, here, after, Err(Unproven::Expired)),
        (Some("A"), None, inside, before, Err(Unproven::UnknownToken)),
        (Some(""), None, inside, before, Err(Unproven::UnknownToken)),
        (None, None, inside, before, Err(Unproven::Nothing)),
        (
            None,
            Some("spiffe://corp/agent/web1"),
            here,
            before,
            Ok("fleet"),
        ),
        (
            None,
            Some("spiffe://corp/agent/web7"),
            here,
            before,
            Ok("web7"),
        ),
        (
            None,
            Some("spiffe://corp/other/web7"),
            here,
            before,
            Err(Unproven::UnknownCertificate),
        ),
        // A token counts before the certificate, and a wrong one is not made good by it.
        (
            Some("b"),
            Some("spiffe://corp/agent/web1"),
            here,
            before,
            Ok("bob"),
        ),
        (
            Some("x"),
            Some("spiffe://corp/agent/web1"),
            here,
            before,
            Err(Unproven::UnknownToken),
        ),
    ] {
        let address = address.parse().expect("an address");
        let proven = rules.authenticate(Proof::of(token, certificate), address, now);
        let proven = proven.as_ref().map(|grant| grant.credential.id.as_str());
        assert_eq!(
            proven.map_err(Clone::clone),
            expected,
            "{token:?} {certificate:?}"
        );
    }
}

#[test]
fn names_are_taken_by_the_credential_that_they_belong_to() {
    let rules = rules(&[
        credential("alice", "operator", 'a', "names = [\"alice-*\"]"),
        credential("web1", "agent", 'w', "names = [\"web1\"]"),
        credential("any", "agent", 'n', "names = [\"*\"]"),
        credential("none", "agent", 'o', ""),
    ]);
    for (token, name, takes) in [
        ("a", "alice-1", true),
        ("a", "alice", false),
        ("a", "Alice-1", false),
        ("a", "web1", false),
        ("w", "web1", true),
        ("w", "WEB1", false),
        ("n", "web2", true),
        ("n", "web1", false),
        ("n", "Web1", false),
        ("n", "ALICE.7", false),
        ("o", "web2", false),
    ] {
        let taken = rules.may_take(&prove(&rules, token), name);
        assert_eq!(taken.is_ok(), takes, "{token} takes {name}");
        if let Err(forbidden) = taken {
            assert!(forbidden.rule.ends_with(".names") && forbidden.message.contains(name));
        }
    }
}

#[test]
fn tiers_and_slots_are_those_of_the_role_or_less() {
    let rules = rules(&[
        credential("d", "deployer", 'd', ""),
        credential("g", "agent", 'g', ""),
    ]);
    let (deployer, agent) = (prove(&rules, "d"), prove(&rules, "g"));
    let tier = |n: u64| Tier::new(n).expect("a tier");
    assert_eq!(deployer.tier(None), Ok(tier(3)));
    assert_eq!(deployer.tier(Some(tier(3))), Ok(tier(3)));
    assert_eq!(deployer.tier(Some(tier(9))), Ok(tier(9)));
    assert_eq!(
        deployer.tier(Some(tier(2))).map_err(|f| f.rule),
        Err("deployer.tier".into())
    );
    assert_eq!(agent.slots(None), Ok(1));
    assert_eq!(agent.slots(Some(7)), Ok(7));
    assert_eq!(
        (deployer.slots(None), deployer.slots(Some(0))),
        (Ok(0), Ok(0))
    );
    assert_eq!(
        deployer.slots(Some(1)).map_err(|f| f.rule),
        Err("deployer.may.execute".into())
    );
}

#[test]
fn a_command_is_allowed_by_the_first_line_that_has_its_word_and_its_target() {
    let rules = rules(&[
        credential("alice", "operator", 'a', ""),
        credential("bob", "deployer", 'b', ""),
        credential("web1", "agent", 'w', ""),
    ]);
    for (id, target, word, allowed, rule) in [
        ("alice", "web1", "rm", true, "operator.allow[0]"),
        ("bob", "web1", "deploy", true, "deployer.allow[0]"),
        ("bob", "web1", "Deploy", false, "deployer.allow"),
        ("bob", "web1", "deployx", false, "deployer.allow"),
        ("bob", "db1", "deploy", true, "deployer.allow[1]"),
        ("bob", "db2", "deploy", false, "deployer.allow"),
        ("web1", "web2", "deploy", false, "agent.may.send"),
    ] {
        let decision = rules.decide(id, target, word, wall_clock());
        let decision = decision.expect("a credential");
        assert_eq!(
            (decision.is_allowed, decision.rule.as_str()),
            (allowed, rule),
            "{id} {target} {word}"
        );
    }
    let bob = prove(&rules, "b");
    let first = bob.role().allows("web9", None);
    assert_eq!(first.map(|line| line.rule("r")), Some("r.allow[0]".into()));
    assert_eq!(bob.role().allows("mail", None), None);
    let error = rules
        .decide("carol", "web1", "x", wall_clock())
        .expect_err("no such credential");
    assert_eq!(
        error.to_string(),
        "there is no credential \"carol\"; there are alice, bob, web1"
    );
}
