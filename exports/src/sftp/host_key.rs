//! The server's own key: made once, kept for ever, known to partners by its fingerprint.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use tracing::info;

use super::SftpConfig;
use crate::ExportsError;
use crate::files::PART_SUFFIX;

/// The fingerprint partners compare at their first login, such as `SHA256:Zm9v...`. Makes the key if there is none.
///
/// # Errors
///
/// [`ExportsError::HostKey`] when it cannot be read or made, or when others may read it.
pub fn host_key_fingerprint(config: &SftpConfig) -> Result<String, ExportsError> {
    Ok(fingerprint_of(&load_or_create(&config.host_key)?))
}

/// Makes a client's key at `path`, private to this user, and returns its public line for `authorized_keys`.
///
/// # Errors
///
/// [`ExportsError::HostKey`] when it cannot be written.
pub fn new_client_key(path: &Path, comment: &str) -> Result<String, ExportsError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| unusable(path, error))?;
    }
    let key = create(path, comment)?;
    key.public_key().to_openssh().map_err(|error| unusable(path, error))
}

pub(super) fn fingerprint_of(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

pub(super) fn load_or_create(path: &Path) -> Result<PrivateKey, ExportsError> {
    match fs::metadata(path) {
        Ok(metadata) => load(path, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, "tollbook sftp host key"),
        Err(error) => Err(unusable(path, error)),
    }
}

fn load(path: &Path, metadata: &fs::Metadata) -> Result<PrivateKey, ExportsError> {
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(unusable(path, "others may read it; run chmod 600 on it, or delete it to get a new one"));
    }
    let text = fs::read(path).map_err(|error| unusable(path, error))?;
    let key = PrivateKey::from_openssh(&text).map_err(|error| {
        unusable(path, format!("{error}; restore it from a backup, or delete it to get a new one"))
    })?;
    if key.is_encrypted() {
        return Err(unusable(path, "it has a passphrase; remove that with ssh-keygen -p"));
    }
    Ok(key)
}

fn create(path: &Path, comment: &str) -> Result<PrivateKey, ExportsError> {
    let mut key =
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(|error| unusable(path, error))?;
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF).map_err(|error| unusable(path, error))?;
    publish(path, text.as_bytes()).map_err(|error| unusable(path, error))?;
    info!(path = %path.display(), fingerprint = %fingerprint_of(&key), "ssh key created");
    Ok(key)
}

/// Whole or not at all: half a key would stop every later start.
fn publish(path: &Path, text: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut part = path.to_owned().into_os_string();
    part.push(PART_SUFFIX);
    let part = PathBuf::from(part);
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(parent)?.sync_all()
}

fn unusable(path: &Path, reason: impl ToString) -> ExportsError {
    ExportsError::HostKey { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> SftpConfig {
        SftpConfig { host_key: dir.join("keys/host"), ..SftpConfig::default() }
    }

    #[test]
    fn the_key_made_at_the_first_start_is_the_key_of_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let first = host_key_fingerprint(&config(dir.path())).unwrap();
        assert!(first.starts_with("SHA256:"), "{first}");
        assert_eq!(host_key_fingerprint(&config(dir.path())).unwrap(), first);
        let mode = fs::metadata(dir.path().join("keys/host")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        host_key_fingerprint(&config).unwrap();
        fs::set_permissions(&config.host_key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = host_key_fingerprint(&config).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_broken_key_is_not_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        host_key_fingerprint(&config).unwrap();
        fs::write(&config.host_key, "half a k").unwrap();
        let error = host_key_fingerprint(&config).unwrap_err();
        assert_eq!(error.code(), "EXP004", "{error}");
        assert_eq!(fs::read(&config.host_key).unwrap(), b"half a k");
    }
}
