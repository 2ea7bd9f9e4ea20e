//! The points themselves.

/// One point: who does what, and what is recorded.
pub(super) struct Point {
    pub(super) name: &'static str,
    /// Dialled; `NN` is the point's own.
    pub(super) number: &'static str,
    /// `user:password` of a subscriber, or a name alone.
    pub(super) user: &'static str,
    pub(super) caller: &'static str,
    /// What the caller's trunk has, where it is known by its address.
    pub(super) caller_trunk: Option<&'static str>,
    /// Trunks in the order in which they are tried, or phones.
    pub(super) gateways: &'static [&'static str],
    /// What these trunks have besides.
    pub(super) trunks: &'static [&'static str],
    /// So many of them, from the first, are phones of a subscriber and no trunks.
    pub(super) phones: usize,
    /// `user:password` of these.
    pub(super) phone: &'static str,
    /// What these phones do before they take calls, each at its own address.
    pub(super) before: &'static [&'static str],
    /// Further lines of the world.
    pub(super) world: &'static str,
    /// Further arguments of sipp.
    pub(super) sipp: &'static str,
    /// A query, and what must be in its rows; empty for none.
    pub(super) record: (&'static str, &'static str),
}

impl Point {
    /// Its name as one word, for trunks and files.
    pub(super) fn word(&self) -> String {
        self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }
}

pub(super) const POINT: Point = Point {
    name: "",
    number: "49900NN1",
    user: "huber:change-me-huber",
    caller: "",
    caller_trunk: None,
    gateways: &[],
    trunks: &[],
    phones: 0,
    phone: "",
    before: &[],
    world: "",
    sipp: "",
    record: (CALL, ""),
};

const CALL: &str = "select call_type, status, cause, code, attempts, ended_by from calls where destination_number = 'NUMBER' order by call_type";

/// Who pays for which part of it: 3 is the account of the caller, 7 that of who forwards.
const FORWARDS: &str = "select call_type, status, payer from calls where destination_number in ('NUMBER', 'TARGET') order by call_type";

/// Calls, and hangs up after a moment.
const CALLS: &str = "invite\n< 180?\n< 183?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200";
/// The same of an exchange that is known by its address.
const EXCHANGE: &str = "invite!\n< 180?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200";
pub(super) const ANSWERS: &str =
    "< INVITE\nanswer 180 Ringing\nwait 100\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK";
const RINGS_UNTIL_CANCELLED: &str =
    "< INVITE\nanswer 180 Ringing\n< CANCEL\nreply 200 OK\nanswer 487 Request Terminated\n< ACK";

const REGISTERS_BY_A_PROXY: &str =
    "register\n  Path: <sip:127.0.9.9:5060;lr>\n  Supported: path\n< 200\n  Path: 127.0.9.9";

/// A header of some four hundred bytes; four of them are more than fits into a datagram on its way (RFC 3261, 18.1.1).
macro_rules! x_long {
    () => {
        concat!("\n  X-Long: ", x_long!(@50), x_long!(@50), x_long!(@50), x_long!(@50), x_long!(@50), x_long!(@50), x_long!(@50), x_long!(@50))
    };
    (@50) => {
        "01234567890123456789012345678901234567890123456789"
    };
}

pub(super) const POINTS: &[Point] = &[
    Point {
        name: "early UPDATE with glare",
        caller: "invite
  Supported: 100rel
  Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE
< 183
  Require: 100rel
  RSeq: [0-9]+ = rseq
> PRACK
  RAck: [$rseq] 2 INVITE
< 200
< UPDATE
> UPDATE sdp
< 491
reply 200 OK sdp
< 200!
> ACK
wait 200
> BYE
< 200",
        gateways: &["< INVITE
  Supported: 100rel
answer 183 Session Progress sdp
  Require: 100rel
  RSeq: 7
  Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE
< PRACK
  RAck: 7 [0-9]+ INVITE
reply 200 OK
wait 200
> UPDATE sdp
< 200
answer 200 OK
< ACK
< BYE
reply 200 OK"],
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "re-INVITE with glare",
        caller: "invite\n< 200!\n> ACK\n< INVITE\n> INVITE sdp\n< 491\n> ACK\nreply 200 OK sdp\n< ACK\nwait 200\n> BYE\n< 200",
        gateways: &[
            "< INVITE\nanswer 200 OK sdp\n< ACK\nwait 200\n> INVITE sdp\n< 200\n> ACK\n< BYE\nreply 200 OK",
        ],
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "INFO both ways",
        caller: "invite\n< 200!\n> ACK\n> INFO dtmf\n< 200\n< INFO\n  Content-Type: application/dtmf-relay\nreply 200 OK\n> BYE\n< 200",
        gateways: &[
            "< INVITE\nanswer 200 OK sdp\n< ACK\n< INFO\n  Content-Type: application/dtmf-relay\nreply 200 OK\n> INFO dtmf\n< 200\n< BYE\nreply 200 OK",
        ],
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "session timer of a phone that stops refreshing",
        caller: "invite
  Supported: timer
  Session-Expires: 90;refresher=uac
< 200!
  Session-Expires: 90;refresher=uac
> ACK
< BYE
reply 200 OK",
        gateways: &["< INVITE\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK"],
        record: (CALL, "call,ok,session_expired,200,1,switch"),
        ..POINT
    },
    Point {
        name: "CANCEL while it rings",
        caller: "invite\n< 180\nwait 200\n> CANCEL\n< 200\n< 487\n> ACK",
        gateways: &[RINGS_UNTIL_CANCELLED],
        record: (CALL, "call,cancel,cancelled,487,1,caller"),
        ..POINT
    },
    Point {
        name: "CANCEL that crosses the 200",
        caller: "invite\n< 180\nwait 200\n> CANCEL\n< 200\n< 487\n> ACK",
        gateways: &[
            "< INVITE\nanswer 180 Ringing\n< CANCEL\nreply 200 OK\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK",
        ],
        record: (CALL, "call,cancel,cancelled,487,1,caller"),
        ..POINT
    },
    Point {
        name: "failover after silence and 503",
        caller: "invite\n< 180\n< 200!\n> ACK\nwait 200\n> BYE\n< 200",
        gateways: &[
            "< INVITE\nwait 6000",
            "< INVITE\nanswer 180 Ringing\nwait 100\nanswer 503 Service Unavailable\n< ACK",
            ANSWERS,
        ],
        record: (
            "select attempts, regexp_replace(routes, ':t[0-9]+:', ':', 'g') from calls where destination_number = 'NUMBER'",
            "3,1:408",
        ),
        ..POINT
    },
    Point {
        name: "trunk without room is passed over",
        caller: CALLS,
        gateways: &["< OPTIONS\nreply 200 OK", ANSWERS],
        trunks: &["calls_max = 0\ncalling = { probe_seconds = 5 }", ""],
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "busy with its Q.850 cause",
        caller: "invite\n< 486\n  Reason: Q.850;cause=17\n> ACK",
        gateways: &["< INVITE\nanswer 486 Busy Here\n  Reason: Q.850;cause=17;text=\"busy\"\n< ACK"],
        record: (CALL, "call,busy,"),
        ..POINT
    },
    Point {
        name: "callee hangs up with a reason",
        caller: "invite\n< 200!\n> ACK\n< BYE\n  Reason: Q.850;cause=16\nreply 200 OK",
        gateways: &["< INVITE\nanswer 200 OK sdp\n< ACK\nwait 200\n> BYE\n  Reason: Q.850;cause=16\n< 200"],
        record: (
            "select reason, ended_by from calls where destination_number = 'NUMBER'",
            "Q.850;cause=16,callee",
        ),
        ..POINT
    },
    Point {
        name: "carrier that asks for a password",
        caller: CALLS,
        gateways: &["< INVITE
answer 407 Proxy Authentication Required
  Proxy-Authenticate: Digest realm=\"carrier.example\", nonce=\"n1\", qop=\"auth\", algorithm=MD5
< ACK
< INVITE
  Proxy-Authorization: username=\"us\", realm=\"carrier.example\"
answer 200 OK sdp
< ACK
< BYE
reply 200 OK"],
        trunks: &["calling = { login = { username = \"us\", password = \"our-secret\" } }"],
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "registration at a registrar that challenges",
        gateways: &["< REGISTER
reply 401 Unauthorized
  WWW-Authenticate: Digest realm=\"registrar.example\", nonce=\"n1\", qop=\"auth\", algorithm=MD5
< REGISTER
  Authorization: username=\"us\", realm=\"registrar.example\"
  Contact: tb-trunk=[0-9]+
reply 200 OK
  [last_Contact:]"],
        trunks: &[
            "calling = { login = { username = \"us\", password = \"our-secret\" }, register = true, domain = \"registrar.example\" }",
        ],
        ..POINT
    },
    Point {
        name: "long request by TCP",
        caller: concat!(
            "invite",
            x_long!(),
            x_long!(),
            x_long!(),
            x_long!(),
            "\n< 180?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200"
        ),
        // The caller speaks TCP as well: sipp has one transport for both. The trunk is provisioned for UDP.
        gateways: &["< INVITE\n  Via: SIP/2.0/TCP\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK"],
        sipp: "-t t1",
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
    Point {
        name: "caller's number from P-Asserted-Identity",
        user: "exchange",
        caller: "invite!\n  From: <sip:pilot@x>;tag=[pid]c[call_number]\n  P-Asserted-Identity: <sip:+431555001@x>\n< 180?\n< 200!\n> ACK\n> BYE\n< 200",
        caller_trunk: Some("calling = { caller_from = \"pai\" }"),
        gateways: &[ANSWERS],
        phones: 1,
        number: "43111NN1",
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"paid\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-paid\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { permanent_contacts = [CONTACTS] }\n",
        record: ("select source_number from calls where destination_number = 'NUMBER'", "431555001"),
        ..POINT
    },
    Point {
        name: "caller's number from Remote-Party-ID",
        user: "exchange",
        caller: "invite!\n  From: <sip:pilot@x>;tag=[pid]c[call_number]\n  Remote-Party-ID: <sip:+431555002@x>;party=calling\n< 180?\n< 200!\n> ACK\n> BYE\n< 200",
        caller_trunk: Some("calling = { caller_from = \"rpid\" }"),
        gateways: &[ANSWERS],
        phones: 1,
        number: "43111NN1",
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"rpid\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-rpid\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { permanent_contacts = [CONTACTS] }\n",
        record: ("select source_number from calls where destination_number = 'NUMBER'", "431555002"),
        ..POINT
    },
    Point {
        name: "caller's number from Diversion",
        user: "exchange",
        caller: "invite!\n  From: <sip:+49555@x>;tag=[pid]c[call_number]\n  Diversion: <sip:+431555003@x>;reason=unconditional\n< 180?\n< 200!\n> ACK\n> BYE\n< 200",
        caller_trunk: Some("calling = { caller_from = \"diversion\" }"),
        gateways: &[ANSWERS],
        phones: 1,
        number: "43111NN1",
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"diverted\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-diverted\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { permanent_contacts = [CONTACTS] }\n",
        record: (
            "select source_number, diversion from calls where destination_number = 'NUMBER'",
            "431555003,<sip:+431555003@x>",
        ),
        ..POINT
    },
    Point {
        name: "hidden number",
        caller: "invite\n  Privacy: id\n< 180?\n< 200!\n> ACK\n> BYE\n< 200",
        gateways: &[
            "< INVITE\n  From: anonymous.invalid\n  Privacy: id\n  P-Asserted-Identity: 43512900100\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK",
        ],
        record: (
            "select source_number, clir from calls where destination_number = 'NUMBER'",
            "43512900100,true",
        ),
        ..POINT
    },
    Point {
        name: "too short a session interval",
        caller: "invite!\n  Supported: timer\n  Session-Expires: 30\n< 422\n  Min-SE: 90\n> ACK",
        ..POINT
    },
    Point {
        name: "extension nobody knows",
        caller: "invite!\n  Require: foo\n< 420\n  Unsupported: foo\n> ACK",
        ..POINT
    },
    Point { name: "no hops left", caller: "invite!\n  Max-Forwards: 0\n< 483\n> ACK", ..POINT },
    Point { name: "OPTIONS to us", caller: "> OPTIONS\n< 200\n  Allow: INVITE, ACK, BYE, CANCEL", ..POINT },
    Point {
        name: "OPTIONS from us",
        gateways: &["< OPTIONS\nreply 200 OK"],
        trunks: &["calling = { probe_seconds = 60 }"],
        ..POINT
    },
    Point {
        name: "call forwarded at once",
        number: "43111NN1",
        caller: CALLS,
        gateways: &[ANSWERS],
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"cfu\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-cfu\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { forwards = [{ when = \"cfu\", to = \"TARGET\" }] }\n",
        record: (FORWARDS, "call,ok,3; cfu,ok,7"),
        ..POINT
    },
    Point {
        name: "call forwarded from a phone that is not registered",
        number: "43111NN1",
        caller: CALLS,
        gateways: &[ANSWERS],
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"cfna\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-cfna\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { forwards = [{ when = \"cfna\", to = \"TARGET\" }] }\n",
        record: (FORWARDS, "call,ok,3; cfna,ok,7"),
        ..POINT
    },
    Point {
        name: "nobody picks up and the call goes on",
        number: "43111NN1",
        caller: "invite\n< 180\n< 180?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200",
        gateways: &[RINGS_UNTIL_CANCELLED, ANSWERS],
        phones: 1,
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"cft\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-cft\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { permanent_contacts = [CONTACTS], forwards = [{ when = \"cft\", to = \"TARGET\", after_seconds = 1 }] }\n",
        record: (FORWARDS, "call,ok,3; cft,ok,7"),
        ..POINT
    },
    Point {
        name: "phones in parallel behind a proxy",
        number: "43111NN1",
        caller: "invite\n< 180\n< 180?\n< 200!\n> ACK\nwait 200\n> BYE\n< 200",
        gateways: &[
            "< INVITE\n  Route: 127.0.9.9:5060;lr\nanswer 180 Ringing\n< CANCEL\nreply 200 OK\nanswer 487 Request Terminated\n< ACK",
            "< INVITE\n  Route: 127.0.9.9:5060;lr\nanswer 180 Ringing\nwait 600\nanswer 200 OK sdp\n< ACK\n< BYE\nreply 200 OK",
        ],
        phones: 2,
        phone: "forked:change-me-forked",
        before: &[REGISTERS_BY_A_PROXY, REGISTERS_BY_A_PROXY],
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"forked\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-forked\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\n",
        record: (CALL, "call,ok,normal,200"),
        ..POINT
    },
    Point {
        name: "exchange known by its address",
        user: "exchange",
        caller: EXCHANGE,
        caller_trunk: Some(""),
        gateways: &[ANSWERS],
        phones: 1,
        number: "43111NN1",
        world: "[[subscribers]]\naccount = \"atelier-novak\"\nusername = \"known\"\ndomain = \"sip.meridian.example\"\npassword = \"change-me-known\"\n\
            numbers = [\"NUMBER\"]\ncli = \"NUMBER\"\ncalling = { permanent_contacts = [CONTACTS] }\n",
        record: (CALL, "call,ok,normal,200,1,caller"),
        ..POINT
    },
];
