//! What certificates say, for people.

use super::error::PkiError;
use super::file_names::CA_CERT;
use super::issuer::{address, is_signed_by};
use common::net::tls::certificate::parse;
use common::net::tls::files::{certificates, unusable};
use common::net::tls::pin::Pin;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

/// What a certificate says. Texts in here are as the certificate has them: they may have any
/// character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The file that it is in.
    pub file: PathBuf,
    /// The name of its holder.
    pub subject: String,
    /// Its subject alternative names, each with its type.
    pub names: Vec<String>,
    /// From when it is valid.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
    /// The hash of its key.
    pub pin: Pin,
    /// What it is for: `servers`, `clients`, `an authority`.
    pub purposes: Vec<&'static str>,
    /// The name of the authority that it is from.
    pub issuer: String,
    /// Whether that is so.
    pub signature: Signature,
}

/// By which key a certificate is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// By its own.
    Own,
    /// By the authority in the same folder.
    ThisAuthority,
    /// By another one, which is not here.
    Another,
}

/// Describes the certificates of a file, or the first one of each file of a folder that ends with
/// `.pem`.
///
/// # Errors
/// There is none, or one cannot be read.
pub fn show(path: &Path) -> Result<Vec<Description>, PkiError> {
    if !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new(""));
        return all_of(path, authority(folder).as_ref());
    }
    let authority = authority(path);
    let mut shown = Vec::new();
    for file in files(path)? {
        let first = all_of(&file, authority.as_ref())?.into_iter().next();
        shown.extend(first);
    }
    match shown.is_empty() {
        true => Err(PkiError::NoCertificates(path.to_owned())),
        false => Ok(shown),
    }
}

/// The files of certificates in a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PkiError> {
    let unreadable = |error| {
        let folder = folder.to_owned();
        PkiError::Unreadable { folder, error }
    };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "pem") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn authority(folder: &Path) -> Option<CertificateDer<'static>> {
    certificates(&folder.join(CA_CERT)).ok()?.into_iter().next()
}

fn all_of(
    file: &Path,
    authority: Option<&CertificateDer<'_>>,
) -> Result<Vec<Description>, PkiError> {
    let all = certificates(file)?;
    let described = all
        .iter()
        .map(|certificate| describe(file, certificate, authority));
    let described: Result<Vec<_>, String> = described.collect();
    Ok(described.map_err(|why| unusable("certificates", file, why))?)
}

fn describe(
    file: &Path,
    certificate: &CertificateDer<'_>,
    authority: Option<&CertificateDer<'_>>,
) -> Result<Description, String> {
    let parsed = parse(certificate)?;
    let signature = match authority {
        _ if is_signed_by(&parsed, certificate) => Signature::Own,
        Some(authority) if is_signed_by(&parsed, authority) => Signature::ThisAuthority,
        _ => Signature::Another,
    };
    Ok(Description {
        file: file.to_owned(),
        subject: parsed.subject().to_string(),
        names: names(&parsed)?,
        from: moment(parsed.validity().not_before),
        until: moment(parsed.validity().not_after),
        pin: Pin::of(certificate).ok_or("its key cannot be read")?,
        purposes: purposes(&parsed)?,
        issuer: parsed.issuer().to_string(),
        signature,
    })
}

fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|e| e.to_string())?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let shown = names.iter().map(|name| match name {
        GeneralName::URI(uri) => format!("URI {uri}"),
        GeneralName::DNSName(name) => format!("DNS {name}"),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(address) => format!("IP {address}"),
            None => format!("IP {bytes:x?}"),
        },
        other => other.to_string(),
    });
    Ok(shown.collect())
}

fn purposes(certificate: &X509Certificate<'_>) -> Result<Vec<&'static str>, String> {
    let extended = certificate
        .extended_key_usage()
        .map_err(|e| e.to_string())?;
    let any = |has: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
        extended
            .as_ref()
            .is_some_and(|usage| usage.value.any || has(usage.value))
    };
    let all = [
        (certificate.is_ca(), "an authority"),
        (any(|usage| usage.server_auth), "servers"),
        (any(|usage| usage.client_auth), "clients"),
    ];
    let all = all.into_iter().filter(|(is, _)| *is);
    Ok(all.map(|(_, purpose)| purpose).collect())
}

/// A time before 1970 is shown as that year's beginning: no certificate in use has one.
fn moment(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}
