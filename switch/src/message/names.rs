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

        /// Long and compact forms.
        static KNOWN: [(&str, HeaderName); N_KNOWN] = by_first_letter([
            $(($long, HeaderName::$variant),)+
            $($(($compact, HeaderName::$variant),)?)+
        ]);
        const N_KNOWN: usize = [$($long,)+ $($($compact,)?)+].len();

        impl HeaderName {
            /// The name, whatever its case.
            pub fn of(name: &[u8]) -> Self {
                let Some(first) = name.first() else { return HeaderName::Other };
                // Bit 5 is what letters of either case differ in.
                let (from, to) = PLACES[usize::from(first & 0x1f)];
                let known = &KNOWN[from..to];
                // Nearly everybody writes them as the RFC does.
                if let Some((_, found)) = known.iter().find(|(known, _)| known.as_bytes() == name) {
                    return *found;
                }
                let found = known.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
                found.map_or(HeaderName::Other, |(_, found)| *found)
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

/// Where those of each first letter stand in [`KNOWN`]: from, and up to.
static PLACES: [(usize, usize); 32] = {
    let mut places = [(0, 0); 32];
    let mut idx = 0;
    while idx < KNOWN.len() {
        let letter = (KNOWN[idx].0.as_bytes()[0] & 0x1f) as usize;
        if places[letter].1 == 0 {
            places[letter].0 = idx;
        }
        places[letter].1 = idx + 1;
        idx += 1;
    }
    places
};

/// In the order of their first letters, each letter's together.
const fn by_first_letter<const N: usize>(
    mut names: [(&'static str, HeaderName); N],
) -> [(&'static str, HeaderName); N] {
    let mut sorted = 1;
    while sorted < N {
        let mut idx = sorted;
        while idx > 0 && names[idx - 1].0.as_bytes()[0] & 0x1f > names[idx].0.as_bytes()[0] & 0x1f {
            (names[idx - 1], names[idx]) = (names[idx], names[idx - 1]);
            idx -= 1;
        }
        sorted += 1;
    }
    names
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
    fn every_known_name_is_found_however_it_is_written() {
        for (name, known) in KNOWN {
            for written in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(HeaderName::of(written.as_bytes()), known, "{written}");
            }
            // With another bit turned than that of the case it is no name.
            let turned: Vec<u8> = name.bytes().map(|byte| byte ^ 0x40).collect();
            assert_eq!(HeaderName::of(&turned), HeaderName::Other, "{name}");
        }
    }

    #[test]
    fn unknown_method_keeps_its_bytes() {
        assert_eq!(Method::of(b"NEWMETHOD"), Method::Other(b"NEWMETHOD"));
        assert_eq!(Method::of(b"invite"), Method::Other(b"invite"));
        assert_eq!(Method::of(b"PRACK").as_bytes(), b"PRACK");
    }
}
