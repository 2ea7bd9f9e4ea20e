//! What peers tell beside the call, for its record alone: whether somebody vouches for the caller's number, and how the media
//! were. Nothing here decides anything, and nothing is verified.
//!
//! Sources: 3GPP TS 24.229 (`verstat`), RFC 8224 and RFC 8588 (Identity, `attest`); the headers P-RTP-Stat and X-RTP-Stat of gateways
//! and phones; RFC 6035 (`application/vq-rtcpxr`).

use model::{AttemptDetail, MediaQuality};

use crate::message::{HeaderName, Message, text};

/// What of this few INVITEs carry; `None` if this one has nothing of it.
pub(crate) fn attempt_detail(message: &Message<'_>, emergency: bool) -> Option<Box<AttemptDetail>> {
    let mut detail = AttemptDetail { emergency, ..AttemptDetail::default() };
    let mut attest = None;
    for (name, raw_name, value) in message.headers() {
        let is = |known: &str| name == HeaderName::Other && raw_name.eq_ignore_ascii_case(known.as_bytes());
        if matches!(name, HeaderName::From | HeaderName::PAssertedIdentity) {
            if detail.stir.is_empty() {
                detail.stir = verstat(value).map(text).unwrap_or_default().into();
            }
        } else if name == HeaderName::PPreferredIdentity {
            detail.preferred_identity = text(value).into();
        } else if is("Identity") || is("y") {
            attest = attest.or_else(|| attestation(value));
        } else if is("User-to-User") {
            detail.user_to_user = text(value).into();
        } else if is("History-Info") {
            detail.history_info = match detail.history_info.as_str() {
                "" => text(value).into(),
                before => format!("{before}, {}", text(value)).into(),
            };
        }
    }
    if let (true, Some(level)) = (detail.stir.is_empty(), attest) {
        detail.stir = format!("attest={level}").into();
    }
    (detail != AttemptDetail::default()).then(|| Box::new(detail))
}

/// The parameter `verstat` of an address, such as `TN-Validation-Passed`.
fn verstat(value: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b";verstat=";
    let is_there =
        |at: &usize| value[*at..].get(..NAME.len()).is_some_and(|is| is.eq_ignore_ascii_case(NAME));
    let from = memchr::memchr_iter(b';', value).find(is_there)? + NAME.len();
    let rest = &value[from..];
    let end =
        rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-')).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// The level of attestation in a full PASSporT: `A`, `B` or `C`.
fn attestation(value: &[u8]) -> Option<char> {
    let token = value.split(|byte| *byte == b';').next()?;
    let claims = unbase64url(token.split(|byte| *byte == b'.').nth(1)?)?;
    let claims: Vec<u8> = claims.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    const NAME: &[u8] = b"\"attest\":\"";
    let from = claims.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let level = char::from(*claims.get(from)?);
    (matches!(level, 'A' | 'B' | 'C') && claims.get(from + 1) == Some(&b'"')).then_some(level)
}

/// RFC 4648, 5, without padding.
fn unbase64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut n_bits) = (0_u32, 0);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push(u8::try_from((held >> n_bits) & 0xff).unwrap_or(0));
        }
    }
    Some(bytes)
}

/// How the media were, as the one who hangs up tells it.
pub(crate) fn media_quality(message: &Message<'_>) -> Option<MediaQuality> {
    let mut quality = None;
    for (name, raw_name, value) in message.headers() {
        if name != HeaderName::Other {
            continue;
        }
        let is = |known: &str| raw_name.eq_ignore_ascii_case(known.as_bytes());
        if is("P-RTP-Stat") || is("X-RTP-Stat") {
            quality = of_pairs(&text(value));
        }
    }
    let is_report = || {
        let media_type = message.value_text(HeaderName::ContentType);
        media_type
            .split(';')
            .next()
            .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/vq-rtcpxr"))
    };
    if quality.is_none() && !message.body().is_empty() && is_report() {
        quality = of_report(&String::from_utf8_lossy(message.body()));
    }
    quality.filter(|quality| *quality != MediaQuality::default())
}

/// `PS=124,PR=123,PL=1,JI=2,LA=30,MOS=4.1`, with commas or semicolons: packets received and lost, jitter and latency in milliseconds. A
/// value may have two numbers, sent and received; the first counts.
fn of_pairs(value: &str) -> Option<MediaQuality> {
    let (mut received, mut lost) = (None, None);
    let mut quality = MediaQuality::default();
    // A comma parts pairs, or the two numbers of one value where semicolons part the pairs.
    let separator = if value.contains(';') { ';' } else { ',' };
    for pair in value.split(separator) {
        let Some((name, number)) = pair.split_once('=') else { continue };
        let number = number.split(',').next().unwrap_or_default().trim();
        match name.trim().to_ascii_uppercase().as_str() {
            "PR" => received = number.parse::<u64>().ok(),
            "PL" => lost = number.parse::<u64>().ok(),
            "JI" => quality.jitter_us = scaled(number, 1_000),
            "LA" | "DL" => quality.round_trip_us = scaled(number, 1_000),
            "MOS" | "MOSCQE" | "MOSLQE" => quality.mos_hundredths = scaled(number, 100),
            _ => {}
        }
    }
    if let (Some(received), Some(lost)) = (received, lost) {
        let sent = received.saturating_add(lost);
        quality.loss_hundredths = lost
            .saturating_mul(10_000)
            .checked_div(sent)
            .and_then(|hundredths| u32::try_from(hundredths).ok());
    }
    Some(quality)
}

/// The metrics of the local side in a session report of RFC 6035.
fn of_report(body: &str) -> Option<MediaQuality> {
    let mut quality = MediaQuality::default();
    for line in body.lines() {
        // What follows is how the other side saw it.
        if line.trim_start().starts_with("RemoteMetrics") {
            break;
        }
        let Some((name, metrics)) = line.split_once(':') else { continue };
        for (key, number) in metrics.split_whitespace().filter_map(|metric| metric.split_once('=')) {
            match (name.trim(), key) {
                ("PacketLoss", "NLR") => quality.loss_hundredths = scaled(number, 100),
                ("Delay", "RTD") => quality.round_trip_us = scaled(number, 1_000),
                ("Delay", "IAJ") => quality.jitter_us = scaled(number, 1_000),
                ("QualityEst", "MOSCQ") => quality.mos_hundredths = scaled(number, 100),
                ("QualityEst", "MOSLQ") if quality.mos_hundredths.is_none() => {
                    quality.mos_hundredths = scaled(number, 100);
                }
                _ => {}
            }
        }
    }
    Some(quality)
}

/// A decimal number times `factor`, which is a power of ten; further digits are cut off.
fn scaled(number: &str, factor: u32) -> Option<u32> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u32 = whole.parse().ok()?;
    let mut scaled = whole.checked_mul(factor)?;
    let mut place = factor / 10;
    for digit in fraction.chars() {
        scaled = scaled.checked_add(digit.to_digit(10)?.checked_mul(place)?)?;
        place /= 10;
    }
    Some(scaled)
}

/// Whether the one who hangs up says that it was for want of media, in the words of common servers.
pub(crate) fn says_media_stopped(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase().replace(['_', '-'], " ");
    ["rtp timeout", "media timeout", "no rtp", "no media"].iter().any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &str, body: &str) -> Vec<u8> {
        format!(
            "BYE sip:a@192.0.2.1 SIP/2.0\r\nFrom: <sip:+431@192.0.2.2>;tag=1\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn quality(headers: &str, body: &str) -> Option<MediaQuality> {
        let bytes = message(headers, body);
        media_quality(&Message::scan(&bytes).expect("a message"))
    }

    fn stir(headers: &str) -> String {
        let bytes = message(headers, "");
        attempt_detail(&Message::scan(&bytes).expect("a message"), false)
            .map_or_else(String::new, |it| it.stir.to_string())
    }

    #[test]
    fn verstat_goes_before_the_attestation_of_an_identity() {
        // {"attest":"A","dest":{"tn":["1"]}}
        let identity = "Identity: eyJhbGciOiJFUzI1NiJ9.eyJhdHRlc3QiOiJBIiwiZGVzdCI6eyJ0biI6WyIxIl19fQ.c2ln;info=<https://c.example/c.pem>\r\n";
        assert_eq!(stir(identity), "attest=A");
        let asserted =
            "P-Asserted-Identity: <sip:+431;verstat=TN-Validation-Passed@192.0.2.2;user=phone>\r\n";
        assert_eq!(stir(&format!("{identity}{asserted}")), "TN-Validation-Passed");
        assert_eq!(stir("P-Asserted-Identity: <tel:+431;verstat=No-TN-Validation>\r\n"), "No-TN-Validation");
        assert_eq!(stir("Identity: not.base64!.at-all\r\n"), "");
        assert_eq!(stir(""), "");
    }

    #[test]
    fn headers_that_only_the_record_wants_are_kept_as_sent() {
        let bytes = message(
            "P-Preferred-Identity: <sip:a@b>\r\nUser-to-User: 56a3;encoding=hex\r\n\
             History-Info: <sip:x@y>;index=1\r\nHistory-Info: <sip:z@y>;index=1.1\r\n",
            "",
        );
        let detail = attempt_detail(&Message::scan(&bytes).expect("a message"), true).expect("a detail");
        let expected = AttemptDetail {
            emergency: true,
            stir: "".into(),
            preferred_identity: "<sip:a@b>".into(),
            user_to_user: "56a3;encoding=hex".into(),
            history_info: "<sip:x@y>;index=1, <sip:z@y>;index=1.1".into(),
        };
        assert_eq!(*detail, expected);
    }

    #[test]
    fn quality_is_read_from_each_form_that_peers_send() {
        let loss = |mos, lost, jitter, round_trip| MediaQuality {
            mos_hundredths: mos,
            loss_hundredths: lost,
            jitter_us: jitter,
            round_trip_us: round_trip,
        };
        assert_eq!(
            quality("P-RTP-Stat: PS=1240,OS=297600,PR=985,OR=236400,PL=15,JI=2,LA=31\r\n", ""),
            Some(loss(None, Some(150), Some(2_000), Some(31_000)))
        );
        assert_eq!(
            quality("X-RTP-Stat: CS=0;PS=1240;PR=990;PL=10,0;JI=12,3;EN=PCMA;MOS=4.12\r\n", ""),
            Some(loss(Some(412), Some(100), Some(12_000), None))
        );
        let report = "VQSessionReport: CallTerm\r\nLocalMetrics:\r\nPacketLoss:NLR=5.0 JDR=2.0\r\n\
                      Delay:RTD=200 ESD=140 IAJ=2\r\nQualityEst:RLQ=90 MOSLQ=4.2 MOSCQ=4.1\r\n\
                      RemoteMetrics:\r\nPacketLoss:NLR=9.0\r\n";
        assert_eq!(
            quality("Content-Type: application/vq-rtcpxr\r\n", report),
            Some(loss(Some(410), Some(500), Some(2_000), Some(200_000)))
        );
    }

    #[test]
    fn nonsense_is_no_quality() {
        for header in ["", "P-RTP-Stat: nonsense\r\n", "X-RTP-Stat: PR=-;PL=99999999999999999999;MOS=x\r\n"] {
            assert_eq!(quality(header, ""), None, "{header}");
        }
        assert_eq!(quality("P-RTP-Stat: PR=0,PL=0\r\n", ""), None);
        assert_eq!(quality("Content-Type: application/sdp\r\n", "PacketLoss:NLR=5.0\r\n"), None);
    }

    #[test]
    fn want_of_media_is_told_in_the_words_of_common_servers() {
        for reason in ["Q.850;cause=16;text=\"RTP Timeout\"", "SIP;cause=604;text=\"MEDIA_TIMEOUT\""] {
            assert!(says_media_stopped(reason), "{reason}");
        }
        assert!(!says_media_stopped("Q.850;cause=16;text=\"Normal call clearing\""));
    }
}
