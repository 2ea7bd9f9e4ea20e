//! Codes that prove a sign-in beside the password (RFC 6238, over RFC 4226), and codes for whoever has lost the generator.
//!
//! In: a secret, a time, what somebody typed. Out: which step of time that is the code of. Which steps are used up is the store's to know.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use rand::RngExt;
use sha1::Sha1;

use crate::guard::token_hash;
use crate::sign_in::random_text;

/// Seconds of a step (RFC 6238, 4.1).
const STEP_SECONDS: i64 = 30;

/// Steps that a generator's clock may be early or late (RFC 6238, 5.2).
const STEPS_OFF_MAX: i64 = 1;

/// Digits of a code.
pub(crate) const CODE_DIGITS: usize = 6;

/// Bytes of a secret: as long as the hash (RFC 4226, 4, requirement 6).
const SECRET_BYTES: usize = 20;

/// Recovery codes made at once.
const RECOVERY_CODES: usize = 10;

/// Letters of one, which are read and typed in two halves; about 58 bits.
const RECOVERY_LETTERS: usize = 10;

/// A secret, in base 32, as generators take it.
pub(crate) fn new_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill(&mut bytes);
    BASE32_NOPAD.encode(&bytes)
}

/// What a generator reads from the picture.
pub(crate) fn address_of(user: &str, secret: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@');
    let user: String = user
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!(
        "otpauth://totp/Tollbook:{user}?secret={secret}&issuer=Tollbook&algorithm=SHA1&digits={CODE_DIGITS}&period={STEP_SECONDS}"
    )
}

/// The same as a picture, to be put into a page; `None`: it does not fit into one.
pub(crate) fn picture_of(user: &str, secret: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(address_of(user, secret), EcLevel::M).ok()?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(220, 220).build();
    // The declaration is for a file of its own.
    picture.find("<svg").map(|at| {
        picture[at..].replacen("<svg", "<svg class=\"qr\" role=\"img\" aria-label=\"Code to be scanned\"", 1)
    })
}

/// The step of time whose code `given` is, around `unix_seconds`. Separators in it do not matter.
pub(crate) fn step_of(secret: &str, given: &str, unix_seconds: i64) -> Option<i64> {
    let given: String = given.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if given.len() != CODE_DIGITS || !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let key = BASE32_NOPAD.decode(secret.as_bytes()).ok()?;
    let now = unix_seconds.div_euclid(STEP_SECONDS);
    (now - STEPS_OFF_MAX..=now + STEPS_OFF_MAX).find(|step| {
        u64::try_from(*step).is_ok_and(|step| code_of(&key, step).is_some_and(|code| code == given))
    })
}

/// The code of a step (RFC 4226, 5.3).
fn code_of(key: &[u8], step: u64) -> Option<String> {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).ok()?;
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest.last()? & 0xf);
    let word = u32::from_be_bytes(digest.get(at..at + 4)?.try_into().ok()?) & 0x7fff_ffff;
    Some(format!("{:06}", word % 1_000_000))
}

/// Recovery codes to be shown once, and the hashes of them that the database keeps.
pub(crate) fn new_recovery_codes() -> (Vec<String>, Vec<String>) {
    let code = || {
        let letters = random_text(RECOVERY_LETTERS);
        let (first, second) = letters.split_at(RECOVERY_LETTERS / 2);
        format!("{first}-{second}")
    };
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| code()).collect();
    let hashes = codes.iter().map(|code| recovery_hash(code)).collect();
    (codes, hashes)
}

/// What the database keeps of a recovery code, however it was typed.
pub(crate) fn recovery_hash(given: &str) -> String {
    let letters: String = given.chars().filter(|c| c.is_alphanumeric()).collect();
    token_hash(&letters)
}

/// Whether that is as long as a recovery code; a generator's are shorter.
pub(crate) fn is_recovery_code(given: &str) -> bool {
    given.chars().filter(|c| c.is_alphanumeric()).count() == RECOVERY_LETTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_standard() {
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(SECRET, code, at), Some(at / 30), "{at}");
            // A clock half a minute off is borne with, one of a whole minute is not.
            assert_eq!(step_of(SECRET, code, at + 30), Some(at / 30));
            assert_eq!(step_of(SECRET, code, at - 30), Some(at / 30));
            assert_eq!(step_of(SECRET, code, at + 60), None);
        }
        assert_eq!(step_of(SECRET, "28 70-82", 59), Some(1));
        for bad in ["", "28708", "2870822", "28708x", "２８７０８２"] {
            assert_eq!(step_of(SECRET, bad, 59), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_of_the_length_of_the_hash_and_differ() {
        let (one, other) = (new_secret(), new_secret());
        assert_eq!(BASE32_NOPAD.decode(one.as_bytes()).unwrap().len(), SECRET_BYTES);
        assert_ne!(one, other);
        assert!(
            address_of("ada lovelace:1", &one)
                .starts_with("otpauth://totp/Tollbook:ada%20lovelace%3A1?secret=")
        );
        assert!(picture_of("ada", &one).unwrap().starts_with("<svg "));
        assert_eq!(picture_of(&"a".repeat(5_000), &one), None);
    }

    #[test]
    fn recovery_code_is_known_however_it_is_typed() {
        let (codes, hashes) = new_recovery_codes();
        assert_eq!((codes.len(), hashes.len()), (RECOVERY_CODES, RECOVERY_CODES));
        let typed = codes[0].replace('-', " ");
        assert_eq!(recovery_hash(&typed), hashes[0]);
        assert_ne!(hashes[0], hashes[1]);
    }
}
