//! Whether somebody is who they say they are. An unknown name, a wrong key and a wrong password look alike from
//! outside, in words and in time.

use std::net::IpAddr;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use tokio::sync::Semaphore;
use tracing::warn;

use super::SftpUser;

/// Passwords hashed at once: each takes a core and 19 MiB for some time, which calls need more than guessers.
const PASSWORD_CHECKS_AT_ONCE: usize = 2;
/// Longer ones are not looked at.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Checked in place of the hash that a user does not have, so that both take as long. Of no password anybody knows.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$dG9sbGJvb2stbm9ib2R5$\
                            AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Who has which name, asked anew each time.
pub(super) type Users = Box<dyn Fn(&str) -> Option<SftpUser> + Send + Sync>;

/// The accounts and the means to check them.
pub(super) struct Logins {
    users: Users,
    password_checks: Semaphore,
}

impl Logins {
    pub(super) fn new(users: Users) -> Self {
        Self { users, password_checks: Semaphore::new(PASSWORD_CHECKS_AT_ONCE) }
    }

    /// The user of that name if `key` is one of theirs. That the client has the key is the caller's to know.
    pub(super) fn by_key(
        &self,
        name: &str,
        from: IpAddr,
        key: &PublicKey,
        algorithm: &Algorithm,
    ) -> Option<SftpUser> {
        if !is_accepted(algorithm) {
            return None;
        }
        let user = (self.users)(name).filter(|user| may_come_from(user, from))?;
        let is_theirs = user
            .authorized_keys
            .iter()
            .filter_map(|line| parse_key(&user.name, line))
            .any(|authorized| authorized.key_data() == key.key_data());
        is_theirs.then_some(user)
    }

    /// The user of that name if the password is theirs.
    pub(super) async fn by_password(&self, name: &str, from: IpAddr, password: &str) -> Option<SftpUser> {
        let user = (self.users)(name).filter(|user| may_come_from(user, from));
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let password = password.to_owned();
        let _place = self.password_checks.acquire().await.ok()?;
        let checked = tokio::task::spawn_blocking(move || is_password(&password, hash.as_deref())).await;
        if matches!(checked, Ok(true)) { user } else { None }
    }
}

/// From elsewhere a user is as unknown as anybody.
fn may_come_from(user: &SftpUser, from: IpAddr) -> bool {
    user.networks.is_empty() || user.networks.iter().any(|network| network.contains(from))
}

/// SHA-1 signatures and DSA are broken; certificates and hardware keys are not offered yet.
fn is_accepted(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Ed25519
            | Algorithm::Ecdsa { .. }
            | Algorithm::Rsa { hash: Some(HashAlg::Sha256 | HashAlg::Sha512) }
    )
}

fn parse_key(user: &str, line: &str) -> Option<PublicKey> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    match PublicKey::from_openssh(line) {
        Ok(key) => Some(key),
        Err(error) => {
            warn!(user, %error, "a line of the user's authorized keys is not a plain public key");
            None
        }
    }
}

/// Whether a line of a user's authorized keys can be used: what [`Logins::by_key`] would leave out is refused here.
///
/// # Errors
///
/// The rule it breaks, in words.
pub fn check_key(line: &str) -> Result<(), String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Err("holds no key".to_owned());
    }
    let key = PublicKey::from_openssh(line)
        .map_err(|error| format!("is not a plain public key as in id_ed25519.pub ({error})"))?;
    let algorithm = key.algorithm();
    if !matches!(algorithm, Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }) {
        return Err(format!("is a key of the kind {algorithm}, not Ed25519, ECDSA or RSA"));
    }
    Ok(())
}

/// Whether a stored password hash can be used.
///
/// # Errors
///
/// The rule it breaks, in words.
pub fn check_password_hash(hash: &str) -> Result<(), String> {
    let parsed = PasswordHash::new(hash).map_err(|error| format!("is no Argon2 hash ({error})"))?;
    if parsed.algorithm.as_str().starts_with("argon2") && parsed.hash.is_some() {
        Ok(())
    } else {
        Err("is no Argon2 hash".to_owned())
    }
}

/// The hash of a password, as it is kept.
///
/// # Errors
///
/// In words, for a password that is empty or too long.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("has {} bytes; use 1 to {PASSWORD_BYTES_MAX}", password.len()));
    }
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

fn is_password(password: &str, hash: Option<&str>) -> bool {
    let is_known = hash.is_some();
    let parsed = match PasswordHash::new(hash.unwrap_or(NOBODYS_HASH)) {
        Ok(parsed) => parsed,
        Err(error) => {
            warn!(%error, "a stored sftp password hash cannot be read; set the password again");
            return false;
        }
    };
    password.len() <= PASSWORD_BYTES_MAX
        && Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
        && is_known
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ alice@example.org";

    fn logins(lines: &[&str]) -> Logins {
        let user = SftpUser {
            name: "alice".to_owned(),
            authorized_keys: lines.iter().map(|line| (*line).to_owned()).collect(),
            password_hash: None,
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            root: "/nowhere".into(),
            exchange: None,
            deletable: false,
            renamable: false,
        };
        Logins::new(Box::new(move |name| (name == user.name).then(|| user.clone())))
    }

    fn accepts(lines: &[&str], name: &str, algorithm: &Algorithm) -> bool {
        accepts_from("192.0.2.7", lines, name, algorithm)
    }

    fn accepts_from(from: &str, lines: &[&str], name: &str, algorithm: &Algorithm) -> bool {
        let key = PublicKey::from_openssh(KEY).unwrap();
        logins(lines).by_key(name, from.parse().unwrap(), &key, algorithm).is_some()
    }

    #[test]
    fn a_key_is_good_for_its_owner_alone() {
        assert!(accepts(&["# comment", "", KEY], "alice", &Algorithm::Ed25519));
        assert!(!accepts(&[KEY], "bob", &Algorithm::Ed25519));
        assert!(!accepts(&[], "alice", &Algorithm::Ed25519));
    }

    #[test]
    fn a_user_may_come_from_its_networks_alone() {
        assert!(accepts_from("192.0.2.200", &[KEY], "alice", &Algorithm::Ed25519));
        assert!(accepts_from("::ffff:192.0.2.200", &[KEY], "alice", &Algorithm::Ed25519));
        assert!(!accepts_from("192.0.3.1", &[KEY], "alice", &Algorithm::Ed25519));
        assert!(!accepts_from("2001:db8::1", &[KEY], "alice", &Algorithm::Ed25519));
    }

    #[test]
    fn a_line_that_lets_nobody_in_is_told_beforehand() {
        check_key(KEY).unwrap();
        for line in ["", "# comment", "garbage", "ssh-ed25519 AAAA", &format!("from=\"192.0.2.0/24\" {KEY}")]
        {
            check_key(line).unwrap_err();
        }
    }

    #[test]
    fn a_key_with_a_condition_we_do_not_check_is_not_accepted_without_it() {
        let line = format!("from=\"192.0.2.0/24\" {KEY}");
        assert!(!accepts(&[&line], "alice", &Algorithm::Ed25519));
    }

    #[test]
    fn signatures_with_sha1_are_refused() {
        assert!(!is_accepted(&Algorithm::Rsa { hash: None }));
        assert!(!is_accepted(&Algorithm::Dsa));
        assert!(is_accepted(&Algorithm::Rsa { hash: Some(HashAlg::Sha512) }));
    }

    #[test]
    fn the_stand_in_hash_is_checked_in_full_and_opens_nothing() {
        let parsed = PasswordHash::new(NOBODYS_HASH).unwrap();
        assert!(parsed.salt.is_some() && parsed.hash.is_some());
        assert!(!is_password("", None));
        assert!(!is_password("secret", None));
    }

    #[test]
    fn a_password_is_checked_against_its_hash() {
        let hash = Argon2::default().hash_password(b"secret").unwrap().to_string();
        assert!(is_password("secret", Some(&hash)));
        assert!(!is_password("Secret", Some(&hash)));
        assert!(!is_password("secret", Some("not a hash")));
    }
}
