//! Certificates for tests, made without the programs' own code.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};

/// An authority, and the files of what it signs.
pub(crate) struct Pki {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// Certificate and key of one end, as files.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
    /// The pin of its key.
    pub(crate) pin: String,
}

/// What a certificate says.
pub(crate) struct Says<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) for_clients: bool,
    pub(crate) for_servers: bool,
    /// Days from now.
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Default for Says<'_> {
    fn default() -> Self {
        Says {
            names: &[],
            for_clients: false,
            for_servers: false,
            from: -1,
            until: 60,
        }
    }
}

impl Pki {
    /// An authority of its own.
    pub(crate) fn new() -> Pki {
        Pki::in_folder(tempfile::tempdir().expect("a folder"))
    }

    fn in_folder(folder: tempfile::TempDir) -> Pki {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, folder.path().to_string_lossy());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let pki = Pki { folder, authority };
        pki.write("ca.pem", &pki.authority.pem());
        pki
    }

    /// The file with the authority's certificate.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// The pin of the authority's key.
    pub(crate) fn ca_pin(&self) -> String {
        pin(self.authority.key())
    }

    /// A certificate for a server on this machine; that of the authority stands behind it.
    pub(crate) fn server(&self, name: &str) -> Pair {
        let says = Says {
            names: &["localhost", "127.0.0.1", "::1"],
            for_servers: true,
            ..Says::default()
        };
        self.issue(name, &says)
    }

    /// A certificate for a client.
    pub(crate) fn client(&self, name: &str, names: &[&str]) -> Pair {
        let says = Says {
            names,
            for_clients: true,
            ..Says::default()
        };
        self.issue(name, &says)
    }

    /// Any certificate. Names with a colon in the middle are URIs, unless they are addresses.
    pub(crate) fn issue(&self, name: &str, says: &Says<'_>) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = says.names.iter().map(|name| san(name)).collect();
        let purposes = [
            (says.for_clients, ExtendedKeyUsagePurpose::ClientAuth),
            (says.for_servers, ExtendedKeyUsagePurpose::ServerAuth),
        ];
        let purposes = purposes.into_iter().filter(|(is_for, _)| *is_for);
        params.extended_key_usages = purposes.map(|(_, purpose)| purpose).collect();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::days(says.from);
        params.not_after = now + time::Duration::days(says.until);
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("a certificate");
        let chain = certificate.pem() + &self.authority.pem();
        Pair {
            cert: self.write(&format!("{name}.pem"), &chain),
            key: self.write(&format!("{name}.key"), &key.serialize_pem()),
            pin: pin(&key),
        }
    }

    /// Writes a file of this folder that no other user can read, in place of one that was there.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let (path, new) = (self.path(name), self.path("new"));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).expect("a file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("it can be written");
        std::fs::rename(&new, &path).expect("it can be renamed");
        path
    }

    /// The path of a file of this folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }
}

fn san(name: &str) -> SanType {
    let ascii = |name: &str| Ia5String::try_from(name).expect("ASCII");
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains(':') => SanType::URI(ascii(name)),
        Err(_) => SanType::DnsName(ascii(name)),
    }
}

fn pin(key: &KeyPair) -> String {
    use rcgen::PublicKeyData;
    let hash = Sha256::digest(key.subject_public_key_info());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The authority of all tests that only need their connections encrypted, and the certificate of
/// their servers. It stays with what cargo has built.
pub(crate) static SHARED: LazyLock<(Pki, Pair)> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let pki = Pki::in_folder(folder);
    let server = pki.server("server");
    (pki, server)
});
