//! What an authority makes, and when it refuses.

use super::*;
use common::net::tls::certificate::{identity, valid_until};
use common::net::tls::files::certificates;
use common::net::tls::pin::Pin;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with an authority for `localhost`.
struct Relay {
    _around: TempDir,
    folder: PathBuf,
}

impl Relay {
    fn new() -> Relay {
        let around = tempfile::tempdir().expect("a folder");
        let folder = around.path().join("relay");
        init(&folder, &names("localhost,127.0.0.1"), PORT).expect("nothing is in the way");
        Relay {
            _around: around,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn issuer(&self) -> Result<Issuer, PkiError> {
        Issuer::load(&self.folder)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("it can be written");
    }

    /// The files, and what is in them.
    fn all(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = self.folder.read_dir().expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        files
            .map(|file| (file.clone(), std::fs::read(file).expect("a file")))
            .collect()
    }
}

fn names(text: &str) -> ServerNames {
    text.parse().expect("names")
}

fn client(text: &str) -> ClientName {
    text.parse().expect("a name")
}

fn first(file: &Path) -> rustls::pki_types::CertificateDer<'static> {
    certificates(file).expect("certificates").swap_remove(0)
}

/// Certificate and key of an authority that was made elsewhere.
fn authority(is_ca: bool, until: (i32, u8)) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn an_authority_is_complete_and_only_its_owner_reads_its_secrets() {
    let relay = Relay::new();
    let modes = [
        ("", 0o700),
        (CA_CERT, 0o644),
        (CA_KEY, 0o600),
        (SERVER_CERT, 0o644),
        (SERVER_KEY, 0o600),
        (AUTH, 0o600),
        (OPERATOR_TOKEN, 0o600),
        (AGENT_TOKEN, 0o600),
        (ADDRESS, 0o644),
    ];
    for (name, mode) in modes {
        let found = relay.path(name).metadata().expect(name).mode() & 0o777;
        assert_eq!(found & !mode, 0, "{name}: {found:o}");
    }
    assert_eq!(relay.all().len(), modes.len() - 1);
    let rules = crate::authority::Rules::load(&relay.path(AUTH)).expect("an auth file");
    let ids: Vec<String> = rules.list().into_iter().map(|[id, ..]| id).collect();
    assert_eq!(ids, ["operator", "agent"]);
    assert_eq!(
        rules.warnings(crate::clock::wall_clock()),
        Vec::<String>::new()
    );
    // A client that pins the authority needs its certificate from the server.
    let chain = certificates(&relay.path(SERVER_CERT)).expect("certificates");
    assert_eq!(chain[1], first(&relay.path(CA_CERT)));
    let pin = relay.issuer().expect("an authority").pin();
    assert_eq!(Pin::of(&chain[1]), Some(pin));
}

#[test]
fn nothing_is_overwritten_and_what_is_half_made_goes() {
    let relay = Relay::new();
    let before = relay.all();
    let again = init(&relay.folder, &names("other"), PORT);
    assert!(matches!(again, Err(PkiError::Exists(_))), "{again:?}");
    assert_eq!(relay.all(), before);
    // A link that leads nowhere is something, too.
    let other = relay.path("other");
    std::fs::create_dir(&other).expect("a folder");
    std::os::unix::fs::symlink("/nowhere/at/all", other.join(AGENT_TOKEN)).expect("a link");
    let linked = init(&other, &names("other"), PORT);
    assert!(matches!(linked, Err(PkiError::Exists(_))), "{linked:?}");
    assert_eq!(other.read_dir().expect("a folder").count(), 1);
    // A folder in which others may put something.
    let open = relay.path("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("a mode");
    let refused = init(&open, &names("other"), PORT);
    assert!(
        matches!(refused, Err(PkiError::Untrusted { .. })),
        "{refused:?}"
    );
    assert_eq!(open.read_dir().expect("a folder").count(), 0);
    // A folder in a folder that does not exist.
    let refused = init(&relay.path("none/relay"), &names("other"), PORT);
    assert!(
        matches!(refused, Err(PkiError::Unwritable { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_client_has_one_identity_and_a_renewed_certificate_its_key() {
    let relay = Relay::new();
    let issuer = relay.issuer().expect("an authority");
    issuer
        .issue(&relay.folder, &client("web1"), Some(30))
        .expect("a certificate");
    let (cert, key) = (relay.path("web1.pem"), relay.path("web1.key"));
    let old = first(&cert);
    assert_eq!(identity(&old).as_deref(), Ok("pecking:web1"));
    assert_eq!(key.metadata().expect("a key").mode() & 0o777, 0o600);
    let twice = issuer.issue(&relay.folder, &client("web1"), None);
    assert!(matches!(twice, Err(PkiError::Issued(_))), "{twice:?}");
    // The key may be on the client's machine only.
    std::fs::remove_file(&key).expect("a key");
    let before = relay.all().len();
    for (days, expected) in [(None, 30), (Some(90), 90), (None, 90)] {
        issuer
            .renew(&relay.folder, &client("web1"), days)
            .expect("another certificate");
        let new = first(&cert);
        assert_ne!(new, old);
        assert_eq!(Pin::of(&new), Pin::of(&old));
        assert_eq!(identity(&new), identity(&old));
        let left = valid_until(&new)
            .expect("a date")
            .duration_since(crate::clock::wall_clock());
        let days = (left.expect("it is valid").as_secs() + 60) / (24 * 60 * 60);
        assert_eq!(days, expected);
    }
    issuer
        .renew_server(&relay.folder, None)
        .expect("another certificate");
    let chain = certificates(&relay.path(SERVER_CERT)).expect("certificates");
    assert_eq!(chain.len(), 2);
    let shown = server_names(&relay.folder).expect("names").to_string();
    assert_eq!(shown, "localhost, 127.0.0.1");
    assert_eq!(relay.all().len(), before, "no file is left over");
}

#[test]
fn what_is_no_authority_signs_nothing() {
    let relay = Relay::new();
    let (expired, expired_key) = authority(true, (2020, 1));
    let (other, other_key) = authority(true, (4000, 1));
    let (leaf, leaf_key) = authority(false, (4000, 1));
    let (cert, key) = (relay.path(CA_CERT), relay.path(CA_KEY));
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let (own, own_key) = (read(&cert), read(&key));
    for (cert, key, why) in [
        (&expired, &expired_key, "expired at 2020-01-01T00:00:00Z"),
        (&own, &other_key, "it is not the key of"),
        (&other, &own_key, "it is not the key of"),
        (&leaf, &leaf_key, "no certificate of an authority"),
        (&own, &own, "no PRIVATE KEY in PEM form"),
        (&own_key, &own_key, "no CERTIFICATE in PEM form"),
    ] {
        relay.put(CA_CERT, cert);
        relay.put(CA_KEY, key);
        let error = relay.issuer().err().expect(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    relay.put(CA_CERT, &own);
    relay.put(CA_KEY, &own_key);
    for (mode, why) in [
        (0o620, "its group may write it"),
        (0o604, "every user can read it"),
    ] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("a mode");
        let error = relay.issuer().err().expect(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    std::fs::remove_file(&cert).expect("a file");
    assert!(matches!(relay.issuer(), Err(PkiError::NoAuthority(_))));
}

#[test]
fn only_what_this_authority_has_signed_for_that_name_is_renewed() {
    let (relay, others) = (Relay::new(), Relay::new());
    let issuer = relay.issuer().expect("an authority");
    let other = others.issuer().expect("an authority");
    other
        .issue(&others.folder, &client("web1"), None)
        .expect("a certificate");
    issuer
        .issue(&relay.folder, &client("web2"), None)
        .expect("a certificate");
    let copy = |from: &Path, to| std::fs::copy(from, relay.path(to)).expect("a copy");
    copy(&others.path("web1.pem"), "web1.pem");
    copy(&relay.path("web2.pem"), "web3.pem");
    copy(&relay.path(SERVER_CERT), "web4.pem");
    let before = relay.all();
    for (name, days, why) in [
        ("web1", None, "has not signed it"),
        (
            "web3",
            None,
            "it is for \"pecking:web2\", not \"pecking:web3\"",
        ),
        ("web4", None, "it is for \"dns:localhost\""),
        ("web5", None, "does not exist"),
        ("web2", Some(4000), "expected 1 to 3649 days, found 4000"),
        ("web2", Some(0), "expected 1 to 3649 days, found 0"),
    ] {
        let error = issuer
            .renew(&relay.folder, &client(name), days)
            .expect_err(why)
            .to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    copy(&others.path(SERVER_CERT), SERVER_CERT);
    let error = issuer
        .renew_server(&relay.folder, None)
        .expect_err("another's")
        .to_string();
    assert!(error.contains("has not signed it"), "{error}");
    copy(&relay.path("web2.pem"), SERVER_CERT);
    let error = issuer
        .renew_server(&relay.folder, None)
        .expect_err("a client's")
        .to_string();
    assert!(error.contains("no name of a server"), "{error}");
    let server = relay.path(SERVER_CERT);
    let rest = |mut all: BTreeMap<_, _>| {
        all.remove(&server);
        all
    };
    assert_eq!(rest(relay.all()), rest(before));
}

#[test]
fn certificates_are_described_with_the_authority_that_signed_them() {
    let (relay, others) = (Relay::new(), Relay::new());
    let issuer = relay.issuer().expect("an authority");
    issuer
        .issue(&relay.folder, &client("web1"), None)
        .expect("a certificate");
    std::fs::copy(others.path(SERVER_CERT), relay.path("z.pem")).expect("a copy");
    let shown = show(&relay.folder).expect("certificates");
    let said: Vec<_> = shown
        .iter()
        .map(|shown| {
            (
                shown.names.join(" "),
                shown.purposes.join(" "),
                shown.signature,
            )
        })
        .collect();
    let servers = "DNS localhost IP 127.0.0.1";
    let expected = [
        ("", "an authority", Signature::Own),
        (servers, "servers", Signature::ThisAuthority),
        ("URI pecking:web1", "clients", Signature::ThisAuthority),
        (servers, "servers", Signature::Another),
    ];
    let expected =
        expected.map(|(names, purposes, by)| (names.to_owned(), purposes.to_owned(), by));
    assert_eq!(said, expected);
    assert_eq!(shown[0].pin, issuer.pin());
    // Of one file, all of them.
    assert_eq!(
        show(&relay.path(SERVER_CERT)).expect("certificates").len(),
        2
    );
    let nothing = relay.path("nothing");
    std::fs::create_dir(&nothing).expect("a folder");
    assert!(matches!(show(&nothing), Err(PkiError::NoCertificates(_))));
    assert!(show(&relay.path(CA_KEY)).is_err());
}
