//! The authority: its certificate and its key, and what they sign.
//!
//! All keys are of the curve P-256, which every TLS library has. A renewed certificate is for the
//! same key, so pins go on to fit, and the authority never needs a client's key.

use super::error::PkiError;
use super::file_names::{CA_CERT, CA_KEY, SERVER, SERVER_CERT, cert_of, key_of};
use super::files::{self, PUBLIC, SECRET, Written};
use super::names::{ClientName, ServerNames};
use crate::clock::wall_clock;
use common::net::tls::certificate::{self, parse};
use common::net::tls::files::{certificates, key};
use common::net::tls::pin::Pin;
use common::wire::text::clip;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

/// Days for which a certificate is valid.
pub type Days = u32;

/// The authority's own: longer than most machines of a fleet live.
const CA_DAYS: Days = 10 * YEAR;

/// A server's and a client's.
const YEAR: Days = 365;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a clock may be behind for a new certificate to be valid there.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// Bytes of a serial number: RFC 5280 allows 20, and 16 random ones never come twice. (Without
/// this it would be the hash of the key, and come again with each renewal.)
const SERIAL: usize = 16;

/// An authority that can sign.
pub struct Issuer {
    certificate: CertificateDer<'static>,
    pem: String,
    pin: Pin,
    until: SystemTime,
    signer: rcgen::Issuer<'static, KeyPair>,
}

impl Issuer {
    /// The authority of a folder.
    ///
    /// # Errors
    /// There is none, it has expired, its key is not its key, or another user could have written
    /// these files.
    pub fn load(folder: &Path) -> Result<Issuer, PkiError> {
        let (cert_file, key_file) = (folder.join(CA_CERT), folder.join(CA_KEY));
        if !files::exists(&cert_file) {
            return Err(PkiError::NoAuthority(folder.to_owned()));
        }
        let wrong = |file: &Path, why: String| PkiError::WrongAuthority {
            file: file.to_owned(),
            why,
        };
        let certificate = certificates(&cert_file)?.swap_remove(0);
        let (spki, is_ca) = certificate::key_and_use(&certificate).unwrap_or_default();
        if !is_ca {
            return Err(wrong(
                &cert_file,
                "it is no certificate of an authority".into(),
            ));
        }
        let key = KeyPair::try_from(&key(&key_file)?)
            .map_err(|e| wrong(&key_file, format!("no key to sign with: {e}")))?;
        if key.subject_public_key_info() != spki {
            let cert_file = cert_file.display();
            return Err(wrong(
                &key_file,
                format!("it is not the key of {cert_file}"),
            ));
        }
        let until = certificate::valid_until(&certificate).unwrap_or(SystemTime::UNIX_EPOCH);
        if until <= wall_clock() {
            let until = humantime::format_rfc3339_seconds(until);
            return Err(wrong(
                &cert_file,
                format!(
                    "this authority expired at {until}; make a new one in another folder \
                 (`pecking-server init`)"
                ),
            ));
        }
        Issuer::new(certificate, key)
    }

    /// A new authority.
    pub(super) fn generate() -> Result<Issuer, PkiError> {
        let key = new_key()?;
        // No two authorities have the same name, so that neither is taken for the other.
        let digits = u32::from_be_bytes(random()?);
        let mut params = params(&format!("Pecking Order authority {digits:08x}"), CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Issuer::new(certificate.der().clone(), key)
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Issuer, PkiError> {
        let unreadable = || PkiError::Making("the authority's own cannot be read".into());
        Ok(Issuer {
            pem: pem::encode_config(
                &pem::Pem::new("CERTIFICATE", certificate.to_vec()),
                pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
            ),
            pin: Pin::of(&certificate).ok_or_else(unreadable)?,
            until: certificate::valid_until(&certificate).ok_or_else(unreadable)?,
            signer: rcgen::Issuer::from_ca_cert_der(&certificate, key)?,
            certificate,
        })
    }

    /// The pin of its key.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Writes its certificate and its key.
    pub(super) fn write(&self, folder: &Path, written: &mut Written) -> Result<(), PkiError> {
        let key = Zeroizing::new(self.signer.key().serialize_pem());
        written.file(&folder.join(CA_KEY), &key, SECRET)?;
        written.file(&folder.join(CA_CERT), &self.pem, PUBLIC)
    }

    /// Makes the server's key and certificate.
    pub(super) fn issue_server(
        &self,
        folder: &Path,
        names: &ServerNames,
        written: &mut Written,
    ) -> Result<(), PkiError> {
        let key = new_key()?;
        let cert = self.server(&key, names, YEAR)?;
        write_pair(folder, SERVER, &key, &cert, written)
    }

    /// Makes a key and a certificate for a client; for a year if no days are given.
    ///
    /// # Errors
    /// One of the files is there already or cannot be written, or the authority ends before the
    /// certificate would.
    pub fn issue(
        &self,
        folder: &Path,
        name: &ClientName,
        days: Option<Days>,
    ) -> Result<(), PkiError> {
        let files = [
            cert_of(folder, name.as_str()),
            key_of(folder, name.as_str()),
        ];
        if let Some(there) = files.into_iter().find(|file| files::exists(file)) {
            return Err(PkiError::Issued(there));
        }
        let key = new_key()?;
        let cert = self.client(&key, name, days.unwrap_or(YEAR))?;
        let mut written = Written::default();
        write_pair(folder, name.as_str(), &key, &cert, &mut written)?;
        written.keep();
        Ok(())
    }

    /// Makes a certificate in the place of a client's, for the same key; for as many days as that
    /// was if none are given.
    ///
    /// # Errors
    /// There is none, this authority did not sign it or not for this name, it cannot be written,
    /// or the authority ends before it would.
    pub fn renew(
        &self,
        folder: &Path,
        name: &ClientName,
        days: Option<Days>,
    ) -> Result<(), PkiError> {
        let file = cert_of(folder, name.as_str());
        let hint = format!(
            "`pecking-server tls issue` makes a certificate for {}",
            name.as_str()
        );
        let old = self.old(&file, &hint)?;
        match certificate::identity(&old.certificate) {
            Ok(identity) if *identity == *name.identity() => {}
            Ok(identity) => {
                let (name, found) = (name.identity(), clip(&identity));
                return Err(not_renewed(
                    &file,
                    format!("it is for {found:?}, not {name:?}"),
                ));
            }
            Err(why) => return Err(not_renewed(&file, why.to_string())),
        }
        let new = self.client(&old.key, name, days.unwrap_or(old.days))?;
        files::replace(&file, &new)
    }

    /// Makes a certificate in the place of the server's, for the same key and names.
    ///
    /// # Errors
    /// As for [`Issuer::renew`].
    pub fn renew_server(&self, folder: &Path, days: Option<Days>) -> Result<(), PkiError> {
        let file = folder.join(SERVER_CERT);
        let old = self.old(&file, "`pecking-server init` makes it")?;
        let Some(names) = names_in(&old.certificate) else {
            return Err(not_renewed(&file, "it has no name of a server".into()));
        };
        let new = self.server(&old.key, &names, days.unwrap_or(old.days))?;
        files::replace(&file, &new)
    }

    /// A certificate that this authority has signed.
    fn old(&self, file: &Path, hint: &str) -> Result<Old, PkiError> {
        if !files::exists(file) {
            let (file, hint) = (file.to_owned(), hint.to_owned());
            return Err(PkiError::NothingToRenew { file, hint });
        }
        let certificate = certificates(file)?.swap_remove(0);
        let wrong = |why: String| not_renewed(file, why);
        let parsed = parse(&certificate).map_err(wrong)?;
        if !is_signed_by(&parsed, &self.certificate) {
            return Err(wrong(format!(
                "the authority of {CA_CERT} has not signed it"
            )));
        }
        let validity = parsed.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        let key = SubjectPublicKeyInfo::from_der(parsed.public_key().raw)?;
        let days = u64::try_from(seconds).unwrap_or(0) / DAY.as_secs();
        Ok(Old {
            key,
            days: Days::try_from(days).unwrap_or(Days::MAX),
            certificate,
        })
    }

    /// The server's certificate, and its authority's behind it.
    fn server(
        &self,
        key: &impl PublicKeyData,
        names: &ServerNames,
        days: Days,
    ) -> Result<String, PkiError> {
        let mut params = params(SERVER, self.check(days)?)?;
        params.subject_alt_names = names.alternative_names()?;
        let cert = self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, key)?;
        Ok(cert + &self.pem)
    }

    fn client(
        &self,
        key: &impl PublicKeyData,
        name: &ClientName,
        days: Days,
    ) -> Result<String, PkiError> {
        let mut params = params(name.as_str(), self.check(days)?)?;
        params.subject_alt_names = vec![name.alternative_name()?];
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, key)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
    ) -> Result<String, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.signer)?.pem())
    }

    /// The days, if the authority does not end before.
    fn check(&self, days: Days) -> Result<Days, PkiError> {
        let left = self.until.duration_since(wall_clock()).unwrap_or_default();
        let most = Days::try_from(left.as_secs() / DAY.as_secs()).unwrap_or(Days::MAX);
        match (1..=most).contains(&days) {
            true => Ok(days),
            false => Err(PkiError::Days {
                days,
                most,
                until: humantime::format_rfc3339_seconds(self.until).to_string(),
            }),
        }
    }
}

/// A certificate that is to be renewed.
struct Old {
    certificate: CertificateDer<'static>,
    key: SubjectPublicKeyInfo,
    days: Days,
}

/// The names of the server whose certificate is in a folder, if there is one.
pub fn server_names(folder: &Path) -> Option<ServerNames> {
    let all = certificates(&folder.join(SERVER_CERT)).ok()?;
    all.first().and_then(names_in)
}

/// The names of a server that a certificate has.
fn names_in(certificate: &CertificateDer<'_>) -> Option<ServerNames> {
    let parsed = parse(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let name = |name: &GeneralName<'_>| -> Option<ServerName<'static>> {
        match name {
            GeneralName::DNSName(name) => Some(ServerName::try_from(*name).ok()?.to_owned()),
            GeneralName::IPAddress(bytes) => Some(ServerName::from(address(bytes)?)),
            _ => None,
        }
    };
    ServerNames::of(names.value.general_names.iter().filter_map(name).collect())
}

/// An address as a certificate has it.
pub(super) fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Into::into);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Into::into))
        .ok()
}

/// Whether the key of one certificate has signed another.
pub(super) fn is_signed_by(signed: &X509Certificate<'_>, by: &CertificateDer<'_>) -> bool {
    parse(by).is_ok_and(|by| {
        let key = by.public_key();
        by.subject() == signed.issuer() && signed.verify_signature(Some(key)).is_ok()
    })
}

/// What all certificates have in common.
fn params(name: &str, days: Days) -> Result<CertificateParams, PkiError> {
    let now = wall_clock();
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&random::<SERIAL>()?));
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + DAY * days).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PkiError::Making(error.to_string()))?;
    Ok(bytes)
}

fn new_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn write_pair(
    folder: &Path,
    name: &str,
    key: &KeyPair,
    cert: &str,
    written: &mut Written,
) -> Result<(), PkiError> {
    let key = Zeroizing::new(key.serialize_pem());
    written.file(&key_of(folder, name), &key, SECRET)?;
    written.file(&cert_of(folder, name), cert, PUBLIC)
}

fn not_renewed(file: &Path, why: String) -> PkiError {
    let file = file.to_owned();
    PkiError::NotRenewed { file, why }
}
