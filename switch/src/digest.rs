//! Digest authentication (RFC 3261, 22; RFC 8760): challenges without state, their check, and the answers of phones.
//!
//! In: header values. Out: header lines and verdicts. A nonce carries its own time and a signature, so nothing is kept for a
//! challenge that nobody answers; of an answered one the highest `nc` is kept until it expires, against replay.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use md5::Md5;
use model::Digest as Secret;
use sha2::{Digest, Sha256};

use crate::config::DigestAlgorithm as Algorithm;
use crate::message::{split_commas, trim, unquote};

/// Answered nonces remembered at once; beyond, the oldest is forgotten and could be used again until it expires.
const NONCES_MAX: usize = 500_000;

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    fn of(token: Option<&[u8]>) -> Option<Self> {
        match token {
            None => Some(Algorithm::Md5),
            Some(token) if token.eq_ignore_ascii_case(b"MD5") => Some(Algorithm::Md5),
            Some(token) if token.eq_ignore_ascii_case(b"SHA-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    /// The parts joined by colons, hashed, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        let mut joined = Vec::with_capacity(256);
        for (idx, part) in parts.iter().enumerate() {
            if idx > 0 {
                joined.push(b':');
            }
            joined.extend_from_slice(part);
        }
        match self {
            Algorithm::Sha256 => hexadecimal(&Sha256::digest(&joined)),
            Algorithm::Md5 => hexadecimal(&Md5::digest(&joined)),
        }
    }
}

/// In lower-case digits.
fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 0xf)]));
    }
    out
}

/// The password of a name in a realm, as it is kept.
pub(crate) fn secret_of(username: &str, realm: &str, password: &str) -> Secret {
    let parts = [username.as_bytes(), realm.as_bytes(), password.as_bytes()];
    Secret { ha1_md5: Algorithm::Md5.hash(&parts), ha1_sha256: Algorithm::Sha256.hash(&parts) }
}

/// What a caller presents.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) realm: String,
    nonce: Vec<u8>,
    uri: Vec<u8>,
    response: Vec<u8>,
    algorithm: Option<Algorithm>,
    cnonce: Vec<u8>,
    nc: Vec<u8>,
    qop: Vec<u8>,
}

impl Credentials {
    /// The value of an Authorization or Proxy-Authorization header; `None` when it is not complete Digest credentials.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let fields = Fields::parse(value)?;
        let credentials = Self {
            username: String::from_utf8(fields.plain("username")?).ok()?,
            realm: String::from_utf8(fields.plain("realm")?).ok()?,
            nonce: fields.plain("nonce")?,
            uri: fields.plain("uri")?,
            response: fields.plain("response")?.to_ascii_lowercase(),
            algorithm: Algorithm::of(fields.plain("algorithm").as_deref()),
            cnonce: fields.plain("cnonce").unwrap_or_default(),
            nc: fields.plain("nc").unwrap_or_default(),
            qop: fields.plain("qop").unwrap_or_default(),
        };
        Some(credentials)
    }

    /// Whether the response was made with this secret for this method.
    fn is_answer(&self, secret: &Secret, method: &[u8]) -> bool {
        let Some(algorithm) = self.algorithm else { return false };
        let ha1 = match algorithm {
            Algorithm::Sha256 => secret.ha1_sha256.as_bytes(),
            Algorithm::Md5 => secret.ha1_md5.as_bytes(),
        };
        let ha2 = algorithm.hash(&[method, &self.uri]);
        let expected = if self.qop.is_empty() {
            algorithm.hash(&[ha1, &self.nonce, ha2.as_bytes()])
        } else if self.qop.eq_ignore_ascii_case(b"auth") {
            algorithm.hash(&[ha1, &self.nonce, &self.nc, &self.cnonce, &self.qop, ha2.as_bytes()])
        } else {
            return false;
        };
        !ha1.is_empty() && equal_in_constant_time(expected.as_bytes(), &self.response)
    }
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Room for the fields of credentials at once: RFC 7616 names twelve.
const FIELDS_USUAL: usize = 12;

/// `Digest name=value, name="value"`.
struct Fields<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let scheme = value.get(..6)?;
        if !scheme.eq_ignore_ascii_case(b"Digest") || !value.get(6).is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        let mut fields = Vec::with_capacity(FIELDS_USUAL);
        fields.extend(split_commas(&value[6..]).filter_map(|field| {
            let equals = memchr::memchr(b'=', field)?;
            Some((trim(&field[..equals]), trim(&field[equals + 1..])))
        }));
        Some(Self(fields))
    }

    fn plain(&self, name: &str) -> Option<Vec<u8>> {
        let (_, value) = self.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(unquote(value))
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is him.
    Good,
    /// The password is right, the nonce is not (or no longer, or used before): ask again with `stale=true`.
    Stale,
    /// Wrong.
    Bad,
}

/// Issues and checks nonces.
pub(crate) struct Challenger {
    secret: [u8; 32],
    lifetime: Duration,
    /// In the order they are offered.
    algorithms: Vec<Algorithm>,
    /// Highest `nc` of the nonces that were answered.
    used: HashMap<[u8; 8], u32>,
    used_until: VecDeque<(Duration, [u8; 8])>,
    /// Stands in for the password of a name nobody has: an unknown name must not be told apart from a wrong password.
    nobody: Secret,
}

impl std::fmt::Debug for Challenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret would let anybody make nonces.
        f.debug_struct("Challenger").field("n_used", &self.used.len()).finish_non_exhaustive()
    }
}

impl Challenger {
    pub(crate) fn new(secret: [u8; 32], lifetime: Duration, algorithms: Vec<Algorithm>) -> Self {
        let nobody = secret_of("nobody", "nowhere", &hex::encode(secret));
        Self { secret, lifetime, algorithms, used: HashMap::new(), used_until: VecDeque::new(), nobody }
    }

    fn signature(&self, time_and_salt: &[u8; 16]) -> [u8; 12] {
        // The signed part has a fixed length, so a plain keyed hash cannot be extended.
        let digest = Sha256::new().chain_update(self.secret).chain_update(time_and_salt).finalize();
        let mut signature = [0; 12];
        signature.copy_from_slice(&digest[..12]);
        signature
    }

    /// A nonce of now. `salt` keeps those of one microsecond apart.
    fn nonce(&self, now: Duration, salt: u64) -> String {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let mut signed = [0; 16];
        signed[..8].copy_from_slice(&micros.to_be_bytes());
        signed[8..].copy_from_slice(&salt.to_be_bytes());
        let mut nonce = [0; 28];
        nonce[..16].copy_from_slice(&signed);
        nonce[16..].copy_from_slice(&self.signature(&signed));
        hexadecimal(&nonce)
    }

    /// When the nonce was made, and its salt; `None` if it is not ours.
    fn read_nonce(&self, nonce: &[u8]) -> Option<(Duration, [u8; 8])> {
        let mut bytes = [0; 28];
        hex::decode_to_slice(nonce, &mut bytes).ok()?;
        let mut signed = [0; 16];
        signed.copy_from_slice(&bytes[..16]);
        if !equal_in_constant_time(&self.signature(&signed), &bytes[16..]) {
            return None;
        }
        let (mut micros, mut salt) = ([0; 8], [0; 8]);
        micros.copy_from_slice(&signed[..8]);
        salt.copy_from_slice(&signed[8..]);
        Some((Duration::from_micros(u64::from_be_bytes(micros)), salt))
    }

    /// The lines of a challenge: one header for each algorithm, in order of preference (RFC 8760, 2.4).
    pub(crate) fn challenge(
        &self,
        header: &str,
        realm: &str,
        stale: bool,
        now: Duration,
        salt: u64,
    ) -> Vec<u8> {
        let nonce = self.nonce(now, salt);
        let stale = if stale { ", stale=true" } else { "" };
        let mut lines = Vec::with_capacity(512);
        for algorithm in &self.algorithms {
            for part in [
                header,
                ": Digest realm=\"",
                realm,
                "\", nonce=\"",
                &nonce,
                "\", algorithm=",
                algorithm.name(),
                ", qop=\"auth\"",
                stale,
                "\r\n",
            ] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
        lines
    }

    /// Checks credentials against the secret of the name they give; `None` for a name nobody has.
    pub(crate) fn check(
        &mut self,
        credentials: &Credentials,
        secret: Option<&Secret>,
        method: &[u8],
        now: Duration,
    ) -> Verdict {
        let answered = credentials.is_answer(secret.unwrap_or(&self.nobody), method);
        let is_offered = credentials.algorithm.is_some_and(|given| self.algorithms.contains(&given));
        if !answered || !is_offered || secret.is_none() {
            return Verdict::Bad;
        }
        let Some((made, salt)) = self.read_nonce(&credentials.nonce) else { return Verdict::Stale };
        if now.saturating_sub(made) > self.lifetime {
            return Verdict::Stale;
        }
        self.forget_expired(now);
        let nc = std::str::from_utf8(&credentials.nc).ok().and_then(|nc| u32::from_str_radix(nc, 16).ok());
        // Without qop there is no count: such a nonce is good once.
        let nc = nc.unwrap_or(u32::from(credentials.qop.is_empty()));
        let highest = self.used.get(&salt).copied().unwrap_or(0);
        if nc <= highest {
            return Verdict::Stale;
        }
        if self.used.insert(salt, nc).is_none() {
            self.used_until.push_back((made + self.lifetime, salt));
        }
        Verdict::Good
    }

    fn forget_expired(&mut self, now: Duration) {
        while let Some((until, salt)) = self.used_until.front().copied()
            && (until < now || self.used_until.len() > NONCES_MAX)
        {
            self.used.remove(&salt);
            self.used_until.pop_front();
        }
    }
}

/// A challenge as a phone sees it.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Algorithm,
    has_qop: bool,
}

impl Challenge {
    /// The first of these challenges that we can answer.
    pub(crate) fn choose<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        values.find_map(|value| {
            let fields = Fields::parse(value)?;
            let qop = fields.plain("qop");
            let offers_auth = qop
                .as_deref()
                .is_none_or(|qop| split_commas(qop).any(|one| one.eq_ignore_ascii_case(b"auth")));
            let challenge = Challenge {
                realm: fields.plain("realm")?,
                nonce: fields.plain("nonce")?,
                opaque: fields.plain("opaque"),
                algorithm: Algorithm::of(fields.plain("algorithm").as_deref())?,
                has_qop: qop.is_some(),
            };
            offers_auth.then_some(challenge)
        })
    }

    /// Whether it asks for this realm.
    pub(crate) fn is_of_realm(&self, realm: &str) -> bool {
        self.realm == realm.as_bytes()
    }

    /// The value of the header that answers it.
    pub(crate) fn answer(
        &self,
        username: &str,
        password: &str,
        method: &[u8],
        uri: &str,
        cnonce: u64,
    ) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ha1 = self.algorithm.hash(&[username.as_bytes(), &self.realm, password.as_bytes()]);
        let ha2 = self.algorithm.hash(&[method, uri.as_bytes()]);
        let cnonce = format!("{cnonce:016x}");
        let (response, qop) = if self.has_qop {
            let parts: [&[u8]; 6] =
                [ha1.as_bytes(), &self.nonce, b"00000001", cnonce.as_bytes(), b"auth", ha2.as_bytes()];
            (self.algorithm.hash(&parts), format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""))
        } else {
            (self.algorithm.hash(&[ha1.as_bytes(), &self.nonce, ha2.as_bytes()]), String::new())
        };
        let opaque =
            self.opaque.as_deref().map(|opaque| format!(", opaque=\"{}\"", text(opaque))).unwrap_or_default();
        format!(
            "Digest username=\"{username}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}{qop}{opaque}",
            text(&self.realm),
            text(&self.nonce),
            self.algorithm.name(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn challenger() -> Challenger {
        Challenger::new([7; 32], Duration::from_secs(300), vec![Algorithm::Sha256, Algorithm::Md5])
    }

    fn answered(challenger: &Challenger, pick: usize, password: &str) -> Credentials {
        let lines = challenger.challenge("WWW-Authenticate", "example.net", false, NOW, 5);
        let lines = String::from_utf8(lines).unwrap();
        let value = lines.lines().nth(pick).unwrap().split_once(": ").unwrap().1;
        let challenge = Challenge::choose(std::iter::once(value.as_bytes())).unwrap();
        let value = challenge.answer("alice", password, b"INVITE", "sip:bob@example.net", 99);
        Credentials::parse(value.as_bytes()).unwrap()
    }

    #[test]
    fn right_password_is_good_with_either_algorithm() {
        let secret = secret_of("alice", "example.net", "opensesame");
        for pick in [0, 1] {
            let mut challenger = challenger();
            let credentials = answered(&challenger, pick, "opensesame");
            assert_eq!(challenger.check(&credentials, Some(&secret), b"INVITE", NOW), Verdict::Good);
        }
    }

    #[test]
    fn algorithm_that_was_not_offered_is_refused() {
        let secret = secret_of("alice", "example.net", "opensesame");
        let credentials = answered(&challenger(), 1, "opensesame");
        let mut strict = Challenger::new([7; 32], Duration::from_secs(300), vec![Algorithm::Sha256]);
        assert_eq!(strict.check(&credentials, Some(&secret), b"INVITE", NOW), Verdict::Bad);
    }

    #[test]
    fn wrong_password_unknown_user_and_another_method_are_all_just_bad() {
        let secret = secret_of("alice", "example.net", "opensesame");
        let mut challenger = challenger();
        let wrong = answered(&challenger, 0, "guess");
        assert_eq!(challenger.check(&wrong, Some(&secret), b"INVITE", NOW), Verdict::Bad);
        let right = answered(&challenger, 0, "opensesame");
        assert_eq!(challenger.check(&right, None, b"INVITE", NOW), Verdict::Bad);
        assert_eq!(challenger.check(&right, Some(&secret), b"REGISTER", NOW), Verdict::Bad);
    }

    #[test]
    fn old_forged_and_replayed_nonces_are_stale() {
        let secret = secret_of("alice", "example.net", "opensesame");
        let mut ours = challenger();
        let credentials = answered(&ours, 0, "opensesame");
        let later = NOW + Duration::from_secs(301);
        assert_eq!(ours.check(&credentials, Some(&secret), b"INVITE", later), Verdict::Stale);
        assert_eq!(ours.check(&credentials, Some(&secret), b"INVITE", NOW), Verdict::Good);
        assert_eq!(ours.check(&credentials, Some(&secret), b"INVITE", NOW), Verdict::Stale);

        let other = Challenger::new([8; 32], Duration::from_secs(300), vec![Algorithm::Sha256]);
        let forged = answered(&other, 0, "opensesame");
        assert_eq!(ours.check(&forged, Some(&secret), b"INVITE", NOW), Verdict::Stale);
    }

    #[test]
    fn answer_is_that_of_the_worked_example_of_rfc_7616() {
        // RFC 7616, 3.9.1: the worked example, whose method is GET.
        let fields = |algorithm: &str, response: &str| {
            format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\""
            )
        };
        let secret = secret_of("Mufasa", "http-auth@example.org", "Circle of Life");
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let credentials = Credentials::parse(fields(algorithm, response).as_bytes()).unwrap();
            assert!(credentials.is_answer(&secret, b"GET"), "{algorithm}");
        }
    }
}
