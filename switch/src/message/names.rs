//! The words of the protocol: methods and header names, known or not.

/// A method: one that `rsip` has a name for, or any other token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method<'a> {
    /// Known. Whether the switch serves it is another question.
    Known(rsip::Method),
    /// Not known, as sent: deserves a 405, so it must be readable.
    Other(&'a [u8]),
}

macro_rules! methods {
    ($($constant:ident = $variant:ident),+ $(,)?) => {
        impl<'a> Method<'a> {
            $(
                #[doc = concat!("`", stringify!($constant), "`")]
                pub const $constant: Method<'static> = Method::Known(rsip::Method::$variant);
            )+

            /// Methods are case-sensitive (RFC 3261, 7.1).
            pub fn of(token: &'a [u8]) -> Self {
                $(if token == stringify!($constant).as_bytes() {
                    return Self::$constant;
                })+
                Method::Other(token)
            }

            /// As it stands on the wire.
            pub fn as_bytes(&self) -> &'a [u8] {
                match self {
                    $(Method::Known(rsip::Method::$variant) => stringify!($constant).as_bytes(),)+
                    Method::Other(token) => token,
                }
            }
        }
    };
}

methods! {
    INVITE = Invite,
    ACK = Ack,
    BYE = Bye,
    CANCEL = Cancel,
    OPTIONS = Options,
    REGISTER = Register,
    INFO = Info,
    UPDATE = Update,
    PRACK = PRack,
    MESSAGE = Message,
    NOTIFY = Notify,
    PUBLISH = Publish,
    REFER = Refer,
    SUBSCRIBE = Subscribe,
}

macro_rules! header_names {
    ($($(#[$doc:meta])* $variant:ident = $long:literal $(| $compact:literal)?),+ $(,)?) => {
        /// Headers the switch knows by name; their compact forms mean the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $long, "`")] $variant,)+
            /// Any other: passed on as it is.
            Other,
        }

        impl HeaderName {
            /// The name, whatever its case.
            pub fn of(name: &[u8]) -> Self {
                let mut lower = [0u8; LONGEST];
                let Some(lower) = lower.get_mut(..name.len()) else { return HeaderName::Other };
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                $(if *lower == *lowercase::<{ $long.len() }>($long).as_slice() {
                    return HeaderName::$variant;
                })+
                $($(if *lower == *$compact.as_bytes() {
                    return HeaderName::$variant;
                })?)+
                HeaderName::Other
            }

            /// The long form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(HeaderName::$variant => $long,)+
                    HeaderName::Other => "",
                }
            }
        }
    };
}

const LONGEST: usize = 24;

const fn lowercase<const N: usize>(name: &str) -> [u8; N] {
    let mut lower = [0; N];
    let mut idx = 0;
    while idx < N {
        lower[idx] = name.as_bytes()[idx].to_ascii_lowercase();
        idx += 1;
    }
    lower
}

header_names! {
    Via = "Via" | "v",
    From = "From" | "f",
    To = "To" | "t",
    CallId = "Call-ID" | "i",
    CSeq = "CSeq",
    Contact = "Contact" | "m",
    ContentLength = "Content-Length" | "l",
    ContentType = "Content-Type" | "c",
    MaxForwards = "Max-Forwards",
    Route = "Route",
    RecordRoute = "Record-Route",
    Allow = "Allow",
    Supported = "Supported" | "k",
    Require = "Require",
    ProxyRequire = "Proxy-Require",
    UserAgent = "User-Agent",
    Server = "Server",
    Authorization = "Authorization",
    ProxyAuthorization = "Proxy-Authorization",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthenticate = "Proxy-Authenticate",
    Expires = "Expires",
    MinExpires = "Min-Expires",
    Reason = "Reason",
    Privacy = "Privacy",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    RemotePartyId = "Remote-Party-ID",
    Diversion = "Diversion",
    SessionExpires = "Session-Expires" | "x",
    MinSe = "Min-SE",
    RSeq = "RSeq",
    RAck = "RAck",
    RetryAfter = "Retry-After",
    Path = "Path",
    ServiceRoute = "Service-Route",
    Timestamp = "Timestamp",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" | "e",
    ContentLanguage = "Content-Language",
    MimeVersion = "MIME-Version",
    Date = "Date",
    Unsupported = "Unsupported",
}

impl HeaderName {
    /// Whether a header describes the body and goes where the body goes.
    pub(crate) fn describes_body(self) -> bool {
        use HeaderName::{ContentDisposition, ContentEncoding, ContentLanguage, ContentType, MimeVersion};
        [ContentType, ContentDisposition, ContentEncoding, ContentLanguage, MimeVersion].contains(&self)
    }

    /// Whether a B2BUA passes the header from one leg to the other as it is. What belongs to a hop, to a dialog, to a trust
    /// relation or to an extension we would have to take part in stays behind.
    pub(crate) fn crosses_the_switch(self) -> bool {
        use HeaderName::{Date, Other, Privacy, Reason};
        self.describes_body() || [Date, Other, Privacy, Reason].contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_known_in_every_case_and_compact() {
        assert_eq!(HeaderName::of(b"cAlL-iD"), HeaderName::CallId);
        assert_eq!(HeaderName::of(b"I"), HeaderName::CallId);
        assert_eq!(HeaderName::of(b"k"), HeaderName::Supported);
        assert_eq!(HeaderName::of(b"X-Very-Long-Header-Of-Somebody"), HeaderName::Other);
        assert_eq!(HeaderName::of(b""), HeaderName::Other);
    }

    #[test]
    fn unknown_method_keeps_its_bytes() {
        assert_eq!(Method::of(b"NEWMETHOD"), Method::Other(b"NEWMETHOD"));
        assert_eq!(Method::of(b"invite"), Method::Other(b"invite"));
        assert_eq!(Method::of(b"PRACK").as_bytes(), b"PRACK");
    }
}
