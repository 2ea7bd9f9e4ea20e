//! What a phone or gateway does in a call, in a few lines, as a scenario of sipp's: sipp checks every message against it, and fails on
//! any that is missing or out of place.
//!
//! A line is a step, and those indented behind it are headers: what a message of ours has besides the usual, what one that comes must have
//! (`Name: regular expression`, perhaps `= variable`).
//!
//! | step | |
//! |---|---|
//! | `invite`, `invite!` | INVITE with a login behind the challenge; without one |
//! | `register` | REGISTER with a login behind the challenge |
//! | `> METHOD`, `> METHOD sdp`, `> METHOD dtmf` | a request, inside the dialog if there is one |
//! | `< 180`, `< 180?`, `< 200!`, `< UPDATE` | what must come, or may; the answer to the INVITE that opened the call |
//! | `answer 183 Phrase sdp` | a response to the INVITE that opened the call |
//! | `reply 200 Phrase sdp` | a response to the request that came last |
//! | `wait 500` | milliseconds |

use std::fmt::Write as _;

const SDP: &str = "\n      v=0\n      o=sipp 53655765 2353687637 IN IP4 [local_ip]\n      s=-\n      c=IN IP4 [local_ip]\n      t=0 0\n      \
    m=audio 6000 RTP/AVP 8\n      a=rtpmap:8 PCMA/8000";
const DTMF: &str = "\n      Signal=5\n      Duration=160";

/// Who plays the script.
pub(crate) struct Role<'a> {
    /// A subscriber of the sample world, or any name of one who needs no login.
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// The number called.
    pub(crate) number: &'a str,
}

struct Step<'a> {
    line: &'a str,
    headers: Vec<&'a str>,
}

fn steps(script: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        match steps.last_mut() {
            Some(step) if line.starts_with("  ") => step.headers.push(line.trim()),
            _ => steps.push(Step { line: line.trim(), headers: Vec::new() }),
        }
    }
    steps
}

struct Writer<'a> {
    role: &'a Role<'a>,
    out: String,
    variables: Vec<String>,
    is_caller: bool,
    /// Of our last request.
    cseq: u32,
    invite_cseq: u32,
    /// The last request that came.
    n_requests: usize,
    last_code: u16,
    has_answer: bool,
    is_opened: bool,
}

/// The scenario of a script.
pub(crate) fn scenario(script: &str, role: &Role<'_>) -> String {
    let steps = steps(script);
    let is_caller = !steps[0].line.starts_with('<');
    let mut writer = Writer {
        role,
        out: String::new(),
        variables: Vec::new(),
        is_caller,
        cseq: 0,
        invite_cseq: 0,
        n_requests: 0,
        last_code: 0,
        has_answer: false,
        is_opened: false,
    };
    for step in &steps {
        writer.step(step);
    }
    let Writer { out, mut variables, .. } = writer;
    variables.sort();
    variables.dedup();
    let references = if variables.is_empty() {
        String::new()
    } else {
        format!("<Reference variables=\"{}\"/>\n", variables.join(","))
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"point\">\n{out}{references}</scenario>\n"
    )
}

impl Writer<'_> {
    fn step(&mut self, step: &Step<'_>) {
        let (verb, rest) = step.line.split_once(' ').unwrap_or((step.line, ""));
        match verb {
            "invite" => self.log_in("INVITE", 407, "Proxy-Authorization", &step.headers),
            "register" => self.log_in("REGISTER", 401, "Authorization", &step.headers),
            "invite!" => self.request("INVITE", "sdp", &step.headers, &[]),
            ">" => {
                let (method, body) = rest.split_once(' ').unwrap_or((rest, ""));
                self.request(method, body, &step.headers, &[]);
            }
            "<" => self.receive(rest, &step.headers),
            "answer" => self.respond(rest, "i", &step.headers),
            "reply" => {
                let of = format!("r{}", self.n_requests);
                self.respond(rest, &of, &step.headers);
            }
            "wait" => writeln!(self.out, "<pause milliseconds=\"{rest}\"/>").unwrap(),
            other => panic!("no such step: {other}"),
        }
    }

    fn log_in(&mut self, method: &str, challenge: u16, header: &str, headers: &[&str]) {
        let body = if method == "INVITE" { "sdp" } else { "" };
        self.request(method, body, headers, &[]);
        writeln!(self.out, "<recv response=\"100\" optional=\"true\"></recv>").unwrap();
        writeln!(self.out, "<recv response=\"{challenge}\" auth=\"true\"></recv>").unwrap();
        self.last_code = challenge;
        if method == "INVITE" {
            self.send("ACK", self.cseq, self.cseq, "[last_To:]", "", &[], &[]);
        }
        let Role { user, password, .. } = self.role;
        let login = format!("[authentication username={user} password={password}]");
        assert!(!header.is_empty());
        self.request(method, body, headers, &[&login]);
    }

    fn request(&mut self, method: &str, body: &str, headers: &[&str], lines: &[&str]) {
        let to = if self.is_caller && !self.is_opened {
            format!(
                "To: <sip:{}@sip.meridian.example>",
                if method == "REGISTER" { self.role.user } else { self.role.number }
            )
        } else if self.is_caller {
            "To: [$to]".to_owned()
        } else {
            "To: [$ifrom]".to_owned()
        };
        let (cseq, branch) = match method {
            "ACK" if (200..300).contains(&self.last_code) => (self.invite_cseq, self.invite_cseq + 1_000),
            "ACK" => (self.invite_cseq, self.invite_cseq),
            // It is of the same transaction, and names no dialog.
            "CANCEL" => (self.invite_cseq, self.invite_cseq),
            _ => {
                self.cseq += 1;
                (self.cseq, self.cseq)
            }
        };
        if method == "INVITE" {
            self.invite_cseq = cseq;
        }
        let to = if method == "CANCEL" {
            format!("To: <sip:{}@sip.meridian.example>", self.role.number)
        } else {
            to
        };
        self.send(method, cseq, branch, &to, body, headers, lines);
        if method == "INVITE" {
            writeln!(self.out, "<recv response=\"100\" optional=\"true\"></recv>").unwrap();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of a request")]
    fn send(
        &mut self,
        method: &str,
        cseq: u32,
        branch: u32,
        to: &str,
        body: &str,
        headers: &[&str],
        lines: &[&str],
    ) {
        let Role { user, number, .. } = self.role;
        let uri = match (self.is_caller, self.has_answer) {
            (true, _) if method == "REGISTER" => "sip:sip.meridian.example".to_owned(),
            (true, true) if method != "CANCEL" => "[next_url]".to_owned(),
            (true, _) => format!("sip:{number}@sip.meridian.example"),
            (false, _) => "[$icontact]".to_owned(),
        };
        let from = if self.is_caller {
            format!("From: <sip:{user}@sip.meridian.example>;tag=[pid]c[call_number]")
        } else {
            "From: [$ito];tag=[pid]g[call_number]".to_owned()
        };
        let retrans = if method == "ACK" { "" } else { " retrans=\"500\"" };
        let mut message = format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK[pid]x[local_port]x[call_number]x{branch}\n\
             {from}\n{to}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:{user}@[local_ip]:[local_port]>\nUser-Agent: sipp\n"
        );
        if !headers.iter().any(|header| header.starts_with("Max-Forwards:")) {
            message.push_str("Max-Forwards: 70\n");
        }
        for line in headers.iter().chain(lines) {
            message.push_str(line);
            message.push('\n');
        }
        let message = replace_from(message, headers);
        self.message(&message, body, retrans);
    }

    fn respond(&mut self, status: &str, of: &str, headers: &[&str]) {
        let (status, body) = match status.rsplit_once(' ') {
            Some((status, body @ ("sdp" | "dtmf"))) => (status, body),
            _ => (status, ""),
        };
        // One inside the dialog has a tag already.
        let tag = if of == "i" { ";tag=[pid]g[call_number]" } else { "" };
        let mut message = format!(
            "SIP/2.0 {status}\nVia: [${of}via]\nFrom: [${of}from]\nTo: [${of}to]{tag}\nCall-ID: [call_id]\nCSeq: [${of}cseq]\n\
             Contact: <sip:[local_ip]:[local_port]>\n"
        );
        for line in headers {
            message.push_str(line);
            message.push('\n');
        }
        let is_final_of_invite = of == "i" && !status.starts_with('1');
        self.has_answer |= of == "i" && status.starts_with('2');
        self.message(&message, body, if is_final_of_invite { " retrans=\"500\"" } else { "" });
    }

    fn message(&mut self, head: &str, body: &str, retrans: &str) {
        let (kind, body) = match body {
            "sdp" => ("Content-Type: application/sdp\n", SDP),
            "dtmf" => ("Content-Type: application/dtmf-relay\n", DTMF),
            "" => ("", ""),
            other => panic!("no such body: {other}"),
        };
        let head = head.replace('\n', "\n      ");
        let head = head.trim_end();
        let kind = if kind.is_empty() { String::new() } else { format!("\n      {}", kind.trim_end()) };
        let length = if body.is_empty() { "0" } else { "[len]" };
        writeln!(
            self.out,
            "<send{retrans}><![CDATA[\n\n      {head}{kind}\n      Content-Length: {length}\n{body}\n    ]]></send>"
        )
        .unwrap();
    }

    fn receive(&mut self, what: &str, checks: &[&str]) {
        let (what, optional) = match what.strip_suffix('?') {
            Some(what) => (what, " optional=\"true\""),
            None => (what, ""),
        };
        let (what, is_answer) = match what.strip_suffix('!') {
            Some(what) => (what, true),
            None => (what, false),
        };
        let mut actions = String::new();
        let mut save = |variables: &mut Vec<String>, header: &str, regexp: &str, name: String, must: bool| {
            let regexp = regexp.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            writeln!(
                actions,
                "<ereg regexp=\"{regexp}\" search_in=\"hdr\" header=\"{header}:\" check_it=\"{must}\" assign_to=\"{name}\"/>"
            )
            .unwrap();
            variables.push(name);
        };
        let code: Option<u16> = what.parse().ok();
        if let Some(code) = code {
            if self.is_caller && code > 100 {
                save(&mut self.variables, "To", "[<s].*", "to".to_owned(), false);
                self.is_opened = true;
            }
            self.last_code = code;
        } else {
            let of = if self.is_caller || self.is_opened {
                self.n_requests += 1;
                vec![format!("r{}", self.n_requests)]
            } else {
                self.n_requests += 1;
                vec!["i".to_owned(), format!("r{}", self.n_requests)]
            };
            // A second INVITE of the same call, after a challenge, is the one to be answered.
            let again = what == "INVITE" && self.is_opened && !self.is_caller && !self.has_answer;
            let of = if again { vec!["i".to_owned(), format!("r{}", self.n_requests)] } else { of };
            for of in of {
                save(&mut self.variables, "Via", "SIP.*", format!("{of}via"), true);
                save(&mut self.variables, "From", "[^ ].*", format!("{of}from"), true);
                save(&mut self.variables, "To", "[^ ].*", format!("{of}to"), true);
                save(&mut self.variables, "CSeq", "[0-9]+ [A-Z]+", format!("{of}cseq"), true);
                if of == "i" && what == "INVITE" {
                    save(&mut self.variables, "Contact", "sip:[^>]*", "icontact".to_owned(), true);
                }
            }
            self.is_opened = true;
        }
        for (idx, check) in checks.iter().enumerate() {
            let (header, regexp) = check.split_once(": ").unwrap();
            let (regexp, name) = match regexp.rsplit_once(" = ") {
                Some((regexp, name)) => (regexp, name.to_owned()),
                None => (regexp, format!("check{}x{idx}", self.variables.len())),
            };
            save(&mut self.variables, header, regexp, name, true);
        }
        let rrs = if is_answer { " rrs=\"true\"" } else { "" };
        self.has_answer |= is_answer;
        let kind = if code.is_some() { "response" } else { "request" };
        let actions =
            if actions.is_empty() { String::new() } else { format!("<action>\n{actions}</action>") };
        writeln!(self.out, "<recv {kind}=\"{what}\"{optional}{rrs}>{actions}</recv>").unwrap();
    }
}

/// A From or Contact among the headers takes the place of the usual one.
fn replace_from(message: String, headers: &[&str]) -> String {
    let mut seen = Vec::new();
    let own: Vec<&str> = ["From:", "Contact:"]
        .into_iter()
        .filter(|name| headers.iter().any(|header| header.starts_with(name)))
        .collect();
    let keep = |line: &&str| {
        let Some(name) = own.iter().find(|name| line.starts_with(**name)) else { return true };
        let is_usual = !seen.contains(name);
        seen.push(*name);
        !is_usual
    };
    message.lines().filter(keep).map(|line| format!("{line}\n")).collect()
}
