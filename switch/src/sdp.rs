//! The little the switch reads in a session description (RFC 8866); it is passed on byte for byte.

use crate::message::trim;

/// Name and clock rate of the first audio codec, such as `PCMA/8000`; empty if there is none.
pub(crate) fn first_audio_codec(sdp: &[u8]) -> String {
    let mut payload: Option<&[u8]> = None;
    for line in lines(sdp) {
        if let Some(media) = line.strip_prefix(b"m=") {
            if payload.is_some() {
                break;
            }
            if media.starts_with(b"audio ") {
                payload = media.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).nth(3);
            }
        } else if let (Some(payload), Some(map)) = (payload, line.strip_prefix(b"a=rtpmap:"))
            && let Some(space) = memchr::memchr(b' ', map)
            && &map[..space] == payload
        {
            return String::from_utf8_lossy(trim(&map[space + 1..])).into_owned();
        }
    }
    // Static types need no rtpmap (RFC 3551, table 4).
    match payload {
        Some(b"0") => "PCMU/8000",
        Some(b"3") => "GSM/8000",
        Some(b"8") => "PCMA/8000",
        Some(b"9") => "G722/8000",
        Some(b"18") => "G729/8000",
        _ => "",
    }
    .to_owned()
}

/// Whether the description puts the other side on hold (RFC 3264, 8.4; the zero address is the older way).
pub(crate) fn is_hold(sdp: &[u8]) -> bool {
    lines(sdp).any(|line| {
        line == b"a=sendonly"
            || line == b"a=inactive"
            || line == b"c=IN IP4 0.0.0.0"
            || line == b"c=IN IP6 ::"
    })
}

fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    sdp.split(|byte| *byte == b'\n').map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_is_the_first_of_the_audio_line_with_its_map_or_its_number() {
        let mapped =
            b"v=0\r\nm=audio 4000 RTP/AVP 96 8\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 opus/48000/2\r\n";
        assert_eq!(first_audio_codec(mapped), "opus/48000/2");
        assert_eq!(first_audio_codec(b"v=0\r\nm=audio 4000 RTP/AVP 8 0\r\n"), "PCMA/8000");
        assert_eq!(first_audio_codec(b"m=video 1 RTP/AVP 31\r\n"), "");
        assert_eq!(first_audio_codec(b"\xff\x00junk"), "");
    }

    #[test]
    fn hold_is_seen_in_both_its_forms() {
        assert!(is_hold(b"c=IN IP4 192.0.2.1\r\na=sendonly\r\n"));
        assert!(is_hold(b"c=IN IP4 0.0.0.0\r\n"));
        assert!(!is_hold(b"c=IN IP4 192.0.2.1\r\na=sendrecv\r\n"));
    }
}
