//! Proving who we are at a trunk: a challenged request, sent again with credentials (RFC 3261, 22.2 and 22.3; RFC 8760).

use model::TrunkLogin;

use crate::digest::Challenge;
use crate::message::{HeaderName, Message, Method, StartLine, Writer, text};

/// `request` again with a new `via`, the next CSeq and the answer to the challenge in `response`. `None`: no challenge that we can
/// answer, or one for another realm than the login is for.
pub(super) fn with_credentials(
    request: &[u8],
    response: &Message<'_>,
    code: u16,
    login: &TrunkLogin,
    via: &str,
    cnonce: u64,
) -> Option<Vec<u8>> {
    let (asked, header) = match code {
        401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
        _ => (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
    };
    let challenge = Challenge::choose(response.values(asked))?;
    if login.realm.as_ref().is_some_and(|realm| !challenge.is_of_realm(realm)) {
        return None;
    }
    let message = Message::scan(request).ok()?;
    let StartLine::Request { method, uri } = message.start() else { return None };
    let cseq = message.cseq()?.number + 1;
    let answer = challenge.answer(&login.username, &login.password, method.as_bytes(), &text(uri), cnonce);
    let mut writer = Writer::request(method.as_bytes(), uri).header("Via", via);
    for (name, raw_name, value) in message.headers() {
        use HeaderName::{Authorization, CSeq, ContentLength, ProxyAuthorization, Via};
        if name == CSeq {
            writer.push_header(b"CSeq", format!("{cseq} {}", method_text(method)).as_bytes());
        } else if ![Via, ContentLength, Authorization, ProxyAuthorization].contains(&name) {
            writer.push_header(raw_name, value);
        }
    }
    writer.push_header(header.as_str().as_bytes(), answer.as_bytes());
    Some(writer.finish(message.body()))
}

fn method_text(method: Method<'_>) -> String {
    text(method.as_bytes())
}
