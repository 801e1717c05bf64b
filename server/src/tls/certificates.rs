//! The certificates as they are now: read at the start, and again when a file of them changes. A
//! wrong file keeps what was there before, so a half-written pair costs nothing.

use crate::clock::wall_clock;
use crate::config::ServerTls;
use crate::unreadable_file::Unread;
use common::net::tls::files::{TlsFileError, WrongFile, certificates, key, not_a_pair, unusable};
use common::net::tls::{ALPN, certificate, provider};
use common::sys::file_stamp::FileStamp;
use common::sys::sync::{Arc, Mutex, RwLock, lock, read, write};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long before its end a certificate is warned about: a month of mornings to renew it.
const WARN_BEFORE: Duration = Duration::from_secs(30 * DAY);

/// How often that is said.
const WARN_EVERY: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// The certificates of a running server.
pub(crate) struct Certificates {
    files: ServerTls,
    current: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Seen>,
}

/// What was seen when the files were looked at last.
struct Seen {
    /// Empty if one of them could not be read: so they count as changed.
    stamps: Vec<FileStamp>,
    unread: Unread,
    valid_until: Option<SystemTime>,
    warned: Option<SystemTime>,
}

/// What the files say.
struct Loaded {
    config: Arc<ServerConfig>,
    valid_until: Option<SystemTime>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub(crate) fn load(files: ServerTls) -> Result<Certificates, TlsFileError> {
        // Before they are read, so that a change meanwhile is seen later.
        let stamps = stamps(&files);
        let loaded = load(&files)?;
        Ok(Certificates {
            files,
            current: RwLock::new(loaded.config),
            seen: Mutex::new(Seen {
                stamps,
                unread: Unread::default(),
                valid_until: loaded.valid_until,
                warned: None,
            }),
        })
    }

    /// What handshakes go by that begin now.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&read(&self.current))
    }

    /// Reads the files again if they have changed, and warns of a certificate that is about to
    /// end. What goes wrong is logged, once.
    pub(crate) fn look(&self) {
        let stamps = stamps(&self.files);
        if lock(&self.seen).stamps != stamps {
            self.reload(stamps);
        }
        self.warn_of_end(wall_clock());
    }

    fn reload(&self, stamps: Vec<FileStamp>) {
        let loaded = load(&self.files);
        let error = loaded.as_ref().err();
        let unread = error.filter(|error| matches!(error.reason, WrongFile::Untrusted(_)));
        let mut seen = lock(&self.seen);
        let is_news = seen.unread.is_news(unread);
        seen.stamps = match unread {
            Some(_) => Vec::new(),
            None => stamps,
        };
        match loaded {
            Ok(loaded) => {
                (seen.valid_until, seen.warned) = (loaded.valid_until, None);
                drop(seen);
                *write(&self.current) = loaded.config;
                log::info!("the certificate files changed; connections from now on use them");
            }
            Err(e) if is_news => {
                drop(seen);
                log::error!("the certificate files changed, and the old ones stay in use: {e}");
            }
            Err(_) => {}
        }
    }

    fn warn_of_end(&self, now: SystemTime) {
        let mut seen = lock(&self.seen);
        let Some(until) = seen.valid_until else {
            return;
        };
        let was_warned = |at: SystemTime| now.duration_since(at).is_ok_and(|ago| ago < WARN_EVERY);
        if until > now + WARN_BEFORE || seen.warned.is_some_and(was_warned) {
            return;
        }
        seen.warned = Some(now);
        drop(seen);
        let file = self.files.cert.display();
        match until.duration_since(now) {
            Ok(left) => log::warn!(
                "the certificate in {file} ends in {} days; replace it in time",
                left.as_secs() / DAY
            ),
            Err(_) => log::error!("the certificate in {file} has ended: no client trusts it"),
        }
    }
}

/// What tells that one of the files was changed.
fn stamps(files: &ServerTls) -> Vec<FileStamp> {
    let ca = files.clients.as_ref().map(|clients| &clients.ca);
    let all = [Some(&files.cert), Some(&files.key), ca];
    let all = all.into_iter().flatten();
    all.map(|file| FileStamp::of(file)).collect()
}

fn load(files: &ServerTls) -> Result<Loaded, TlsFileError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| unusable("TLS 1.3", &files.cert, e.to_string()))?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(&clients.ca)?.into(), provider());
            let verifier = match clients.required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let wrong = |e: rustls::server::VerifierBuilderError| {
                unusable("certificates of authorities", &clients.ca, e.to_string())
            };
            builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
        }
    };
    let chain = certificates(&files.cert)?;
    let valid_until = chain.first().and_then(certificate::valid_until);
    let mut config = builder
        .with_single_cert(chain, key(&files.key)?)
        .map_err(|e| not_a_pair(&files.cert, &files.key, &e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No session is resumed, so nothing can be replayed, and every client is looked at anew.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = std::sync::Arc::new(NoServerSessionStorage {});
    let config = Arc::new(config);
    Ok(Loaded {
        config,
        valid_until,
    })
}

/// The authorities in a file.
fn roots(file: &Path) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        add(&mut roots, certificate)
            .map_err(|why| unusable("certificates of authorities", file, why))?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, certificate: CertificateDer<'static>) -> Result<(), String> {
    roots.add(certificate).map_err(|e| e.to_string())
}
