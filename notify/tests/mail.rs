//! Mails to a real SMTP server (Debian's `python3-aiosmtpd`, started by each test on a free port), to one that is
//! down, and into the outbox folder. Where the server is missing, its tests say so and pass, unless `CI` is `true`.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests themselves")]

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use chrono::{DateTime, TimeDelta, Utc};
use notify::{
    Attachment, Claimed, DRAIN_MAX, Delivered, DkimConfig, Drained, MailConfig, Mailer, NotifyError,
    OutgoingMail, Queue, Secret, SmtpConfig, TlsMode, drain,
};
use tempfile::TempDir;

fn now() -> DateTime<Utc> {
    "2026-11-01T06:00:00Z".parse().unwrap()
}

fn mail(id: i64, to: &str) -> OutgoingMail {
    OutgoingMail {
        id,
        to: vec![to.to_owned()],
        subject: "Rechnung Nº 117 für Công ty Nguyễn & Söhne – Oktober".to_owned(),
        text: "Sehr geehrte Damen und Herren,\n\n.\nim Anhang.\n..\nEnde".to_owned(),
        html: None,
        attachments: vec![Attachment {
            name: "hóa đơn 117.pdf".to_owned(),
            mime: "application/pdf".to_owned(),
            bytes: (0..=255).cycle().take(100_000).collect(),
        }],
    }
}

/// The server, ended with the test.
struct Server {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A Python that has aiosmtpd: Debian's, mostly, even where another comes first in the path.
fn python() -> Option<&'static str> {
    let found = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let has_it = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        has_it.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "aiosmtpd is missing");
        #[expect(clippy::print_stderr, reason = "says what was left out")]
        {
            eprintln!("skipped: no SMTP server to talk to; apt-get install python3-aiosmtpd");
        }
    }
    found
}

impl Server {
    fn start(options: &[&str]) -> Option<Server> {
        let python = python()?;
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp_server.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(dir.path())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("server.log")).unwrap())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        let log = || fs::read_to_string(dir.path().join("server.log")).unwrap_or_default();
        let port = port.trim().parse().unwrap_or_else(|_| panic!("the server did not start: {}", log()));
        Some(Server { process, port, dir })
    }

    fn config(&self) -> SmtpConfig {
        smtp("127.0.0.1", self.port)
    }

    fn message(&self, n: u32) -> String {
        fs::read_to_string(self.dir.path().join(format!("{n}.eml"))).unwrap()
    }

    /// What the server noted of mail `n`.
    fn facts(&self, n: u32) -> String {
        fs::read_to_string(self.dir.path().join(format!("{n}.json"))).unwrap()
    }

    /// Our end of the session that mail `n` came in.
    fn peer(&self, n: u32) -> String {
        self.facts(n).split("peer_port").nth(1).unwrap().to_owned()
    }

    fn n_mails(&self) -> usize {
        fs::read_dir(self.dir.path()).unwrap().filter(|entry| path_of(entry).ends_with(".eml")).count()
    }

    /// What Python's own mail reader finds in mail `n`: `expression` over the message `m`.
    fn read(&self, n: u32, expression: &str) -> String {
        let script = format!(
            "import email, email.policy, hashlib; \
             m = email.message_from_bytes(open('{n}.eml', 'rb').read(), policy=email.policy.default); \
             print({expression}, end='')"
        );
        let output = Command::new(python().unwrap())
            .env("PYTHONIOENCODING", "utf-8")
            .args(["-c", &script])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn path_of(entry: &std::io::Result<fs::DirEntry>) -> String {
    entry.as_ref().unwrap().path().display().to_string()
}

fn smtp(host: &str, port: u16) -> SmtpConfig {
    SmtpConfig {
        host: host.to_owned(),
        port: Some(port),
        user: None,
        password: None,
        tls: TlsMode::None,
        ca_file: None,
        timeout: Duration::from_secs(20),
    }
}

fn mailer(smtp: SmtpConfig) -> Mailer {
    let from = "Nordtel Télécom <billing@nordtel.example>".to_owned();
    Mailer::new(MailConfig { from, smtp: Some(smtp), ..MailConfig::default() }).unwrap()
}

/// A port with nobody behind it.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn invoice_arrives_with_its_names_and_its_attachment_to_the_byte() {
    let Some(server) = Server::start(&[]) else { return };
    let sent = mail(117, "Nguyễn Thị Bé <be@kunde.example>");
    let delivered = mailer(server.config()).send(&sent, now()).await.unwrap();
    let Delivered::Accepted { message_id, answer } = delivered else { panic!("{delivered:?}") };
    assert_eq!(message_id, "<tollbook-mail-117@nordtel.example>");
    assert!(answer.contains("queued as 1"), "{answer}");

    assert!(server.facts(1).contains(r#""from": "billing@nordtel.example", "to": ["be@kunde.example"]"#));
    assert!(server.message(1).is_ascii());
    assert_eq!(server.read(1, "m['subject']"), sent.subject);
    assert_eq!(server.read(1, "m['from']"), "Nordtel Télécom <billing@nordtel.example>");
    assert_eq!(server.read(1, "m['to']"), "Nguyễn Thị Bé <be@kunde.example>");
    assert_eq!(server.read(1, "m['message-id']"), message_id);
    assert_eq!(server.read(1, "m['date'].datetime.isoformat()"), "2026-11-01T06:00:00+00:00");
    assert_eq!(server.read(1, "m.get_body(('plain',)).get_content().replace('\\r', '').rstrip()"), sent.text);
    let html = server.read(1, "m.get_body(('html',)).get_content()");
    assert!(html.contains("<p style=\"white-space:pre-wrap\">Sehr geehrte Damen und Herren,</p>"), "{html}");
    let attachment = "next(m.iter_attachments())";
    assert_eq!(server.read(1, &format!("{attachment}.get_filename()")), "hóa đơn 117.pdf");
    assert_eq!(server.read(1, &format!("{attachment}.get_content_type()")), "application/pdf");
    assert_eq!(
        server.read(1, &format!("{attachment}.get_content() == bytes(range(256)) * 390 + bytes(range(160))")),
        "True"
    );
}

/// A private key and the record that a receiver finds in the DNS, made by OpenSSL.
fn dkim_key(dir: &Path, algorithm: &str) -> (String, String) {
    let (private, public) = (dir.join(format!("{algorithm}.pem")), dir.join(format!("{algorithm}.der")));
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).stderr(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "openssl {args:?}");
    };
    openssl(&["genpkey", "-algorithm", algorithm, "-out", private.to_str().unwrap()]);
    let (from, to) = (private.to_str().unwrap(), public.to_str().unwrap());
    openssl(&["pkey", "-in", from, "-pubout", "-outform", "DER", "-out", to]);
    let der = fs::read(&public).unwrap();
    // RFC 8463: of Ed25519 the key alone, the last 32 bytes of its DER.
    let (kind, key) =
        if algorithm == "RSA" { ("rsa", &der[..]) } else { ("ed25519", &der[der.len() - 32..]) };
    let record = format!("v=DKIM1; k={kind}; p={}", base64::engine::general_purpose::STANDARD.encode(key));
    (fs::read_to_string(private).unwrap(), record)
}

/// What dkimpy, another's implementation, says of a mail.
fn dkim_verified(python: &str, mail: &Path, record: &str) -> bool {
    let program = "import dkim,sys\n\
        ask=lambda name,timeout=5:sys.argv[2].encode() if name==b'tollbook._domainkey.nordtel.example.' else None\n\
        print(dkim.verify(open(sys.argv[1],'rb').read(),dnsfunc=ask))";
    let shown = Command::new(python).args(["-c", program]).arg(mail).arg(record).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).trim().to_owned();
    assert!(matches!(text.as_str(), "True" | "False"), "{text}\n{}", String::from_utf8_lossy(&shown.stderr));
    text == "True"
}

#[tokio::test]
async fn signed_mail_is_believed_and_a_changed_one_is_not() {
    let Some(server) = Server::start(&[]) else { return };
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let has_it = Command::new(python).args(["-c", "import dkim, nacl"]).stderr(Stdio::null()).status();
        has_it.is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3-dkim is missing");
        eprintln!("skipped: apt-get install python3-dkim python3-nacl");
        return;
    };
    for (idx, algorithm) in ["RSA", "ED25519"].into_iter().enumerate() {
        let (key, record) = dkim_key(server.dir.path(), algorithm);
        let dkim = DkimConfig {
            domain: "nordtel.example".to_owned(),
            selector: "tollbook".to_owned(),
            key: Secret::Plain(key),
        };
        let config = MailConfig {
            from: "Nordtel Télécom <billing@nordtel.example>".to_owned(),
            smtp: Some(server.config()),
            dkim: Some(dkim),
            ..MailConfig::default()
        };
        let mailer = Mailer::new(config).unwrap();
        assert!(!format!("{mailer:?}").contains("PRIVATE"));
        mailer.send(&mail(117, "be@kunde.example"), now()).await.unwrap();
        let received = server.dir.path().join(format!("{}.eml", idx + 1));
        assert!(dkim_verified(python, &received, &record), "{algorithm}");
        // One digit of the subject, one letter of the text, another sender.
        let text = fs::read_to_string(&received).unwrap();
        for (from, to) in [
            ("im Anhang", "im anhang"),
            ("Subject: Rechnung", "Subject: Mahnung"),
            ("\r\nTo:", "\r\nFrom: x@y.example\r\nTo:"),
        ] {
            assert!(text.contains(from), "{text}");
            let forged = server.dir.path().join("forged");
            fs::write(&forged, text.replacen(from, to, 1)).unwrap();
            assert!(!dkim_verified(python, &forged, &record), "{algorithm}, {to:?}");
        }
    }
}

#[tokio::test]
async fn server_says_later_or_never_and_the_next_mail_still_goes() {
    let Some(server) = Server::start(&[]) else { return };
    let mailer = mailer(server.config());
    for (to, code, is_permanent) in [
        ("later-451@kunde.example", "NTF007", false),
        ("full-452@kunde.example", "NTF007", false),
        ("later-421@kunde.example", "NTF007", false),
        ("never-550@kunde.example", "NTF006", true),
        ("spam-554@kunde.example", "NTF006", true),
        // This server does not know SMTPUTF8.
        ("straße@kunde.example", "NTF006", true),
    ] {
        let error = mailer.send(&mail(1, to), now()).await.unwrap_err();
        assert_eq!((error.code(), error.is_permanent()), (code, is_permanent), "{to}: {error}");
        assert_eq!(error.is_outage(), to.starts_with("later-421"), "{to}");
    }
    assert_eq!(server.n_mails(), 0);
    mailer.send(&mail(2, "be@kunde.example"), now()).await.unwrap();
    mailer.send(&mail(3, "be@kunde.example"), now()).await.unwrap();
    assert_eq!(server.peer(1), server.peer(2), "one session for both");
}

#[tokio::test]
async fn wrong_password_is_no_mails_fault() {
    let Some(server) = Server::start(&["--login"]) else { return };
    let with = |password: &str| SmtpConfig {
        user: Some("billing".to_owned()),
        password: Some(Secret::Plain(password.to_owned())),
        ..server.config()
    };
    let error = mailer(with("wrong")).send(&mail(1, "be@kunde.example"), now()).await.unwrap_err();
    assert!(!error.is_permanent() && error.is_outage(), "{error}");
    assert!(error.to_string().contains("logging in") && !error.to_string().contains("wrong"), "{error}");

    mailer(with("s3cret word")).send(&mail(1, "be@kunde.example"), now()).await.unwrap();
    assert!(server.facts(1).contains(r#""login": true"#));
}

/// A certificate for `localhost`, made by openssl; `None` where that is missing.
fn certificate(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) if status.success() => Some((cert, key)),
        _ => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "openssl: {made:?}");
            None
        }
    }
}

#[tokio::test]
async fn encrypted_session_needs_a_certificate_we_trust() {
    let dir = tempfile::tempdir().unwrap();
    let Some((cert, key)) = certificate(dir.path()) else { return };
    let files = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    for (tls, options) in
        [(TlsMode::Starttls, &files[..]), (TlsMode::Tls, &[&files[..], &["--implicit"]].concat())]
    {
        let Some(server) = Server::start(options) else { return };
        let untrusted = SmtpConfig { tls, ..smtp("localhost", server.port) };
        let trusted = SmtpConfig { ca_file: Some(cert.clone()), ..untrusted.clone() };
        let wrong_name = SmtpConfig { host: "127.0.0.1".to_owned(), ..trusted.clone() };

        for config in [untrusted, wrong_name] {
            let error = mailer(config).send(&mail(1, "be@kunde.example"), now()).await.unwrap_err();
            assert!(matches!(error, NotifyError::NoSession { .. }), "{tls:?}: {error}");
        }
        assert_eq!(server.n_mails(), 0);
        mailer(trusted).send(&mail(1, "be@kunde.example"), now()).await.unwrap();
        assert!(server.facts(1).contains(r#""tls": true"#), "{tls:?}");
    }
}

#[tokio::test]
async fn server_without_starttls_gets_no_mail_in_the_clear() {
    let Some(server) = Server::start(&[]) else { return };
    let config = SmtpConfig { tls: TlsMode::Starttls, ..server.config() };
    let error = mailer(config).send(&mail(1, "be@kunde.example"), now()).await.unwrap_err();
    assert!(error.to_string().contains("starting TLS") && !error.is_permanent(), "{error}");
    assert_eq!(server.n_mails(), 0);
}

#[tokio::test]
async fn silent_server_is_given_up_and_asked_again_later() {
    let Some(server) = Server::start(&[]) else { return };
    let config = SmtpConfig { timeout: Duration::from_millis(150), ..server.config() };
    let error = mailer(config).send(&mail(1, "slow@kunde.example"), now()).await.unwrap_err();
    assert!(error.to_string().contains("took too long") && !error.is_permanent(), "{error}");

    // Accepts the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = SmtpConfig { timeout: Duration::from_millis(150), ..smtp("127.0.0.1", port) };
    let error = mailer(config).send(&mail(1, "be@kunde.example"), now()).await.unwrap_err();
    assert!(error.to_string().contains("took too long") && error.is_outage(), "{error}");
}

#[tokio::test]
async fn session_that_the_server_ended_is_opened_again() {
    let Some(server) = Server::start(&[]) else { return };
    let mailer = mailer(server.config());
    mailer.send(&mail(1, "bye@kunde.example"), now()).await.unwrap();
    mailer.send(&mail(2, "be@kunde.example"), now()).await.unwrap();
    assert_ne!(server.peer(1), server.peer(2));

    let port = server.port;
    drop(server);
    let error = mailer.send(&mail(3, "be@kunde.example"), now()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port} while connecting")), "{error}");
    mailer.close().await;
}

#[tokio::test]
async fn without_a_server_each_mail_is_one_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let outbox_dir = dir.path().join("deep/outbox");
    let mailer = Mailer::new(MailConfig { outbox_dir: outbox_dir.clone(), ..MailConfig::default() }).unwrap();
    let delivered = mailer.send(&mail(7, "be@kunde.example"), now()).await.unwrap();
    let path = outbox_dir.join("mail-0000000007.eml");
    let message_id = "<tollbook-mail-7@localhost>".to_owned();
    assert_eq!(delivered, Delivered::Filed { message_id, path: path.clone() });
    let first = fs::read(&path).unwrap();

    // After a crash the same mail comes again: the same file, nothing beside it.
    mailer.send(&mail(7, "be@kunde.example"), now()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(fs::read_dir(&outbox_dir).unwrap().count(), 1);

    fs::remove_dir_all(&outbox_dir).unwrap();
    fs::write(&outbox_dir, "a file in the way").unwrap();
    let error = mailer.send(&mail(8, "be@kunde.example"), now()).await.unwrap_err();
    assert!(!error.is_permanent() && error.is_outage(), "{error}");
}

/// A queue in memory: the store's keeps the same promises in SQL.
#[derive(Default)]
struct Shelf {
    waiting: Mutex<VecDeque<Claimed>>,
    notes: Mutex<Vec<String>>,
}

impl Shelf {
    fn with(mails: impl IntoIterator<Item = OutgoingMail>) -> Self {
        let waiting = mails.into_iter().map(|mail| Claimed { mail, attempt: 1 }).collect();
        Self { waiting: Mutex::new(waiting), notes: Mutex::default() }
    }

    fn note(&self, note: String) -> Result<(), String> {
        self.notes.lock().unwrap().push(note);
        Ok(())
    }
}

impl Queue for Shelf {
    type Error = String;

    async fn claim(&self, _now: DateTime<Utc>) -> Result<Option<Claimed>, String> {
        Ok(self.waiting.lock().unwrap().pop_front())
    }

    async fn sent(&self, id: i64, delivered: &Delivered, _now: DateTime<Utc>) -> Result<(), String> {
        self.note(format!("{id} sent as {}", delivered.message_id()))
    }

    async fn failed(
        &self,
        id: i64,
        error: &NotifyError,
        retry_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let when = retry_at.map(|at| format!("again in {} s", (at - now).num_seconds()));
        self.note(format!("{id} failed {} {}", error.code(), when.unwrap_or_else(|| "for good".to_owned())))
    }
}

#[tokio::test]
async fn queue_is_emptied_and_only_what_may_succeed_is_tried_again() {
    let Some(server) = Server::start(&[]) else { return };
    let shelf = Shelf::with([
        mail(1, "be@kunde.example"),
        mail(2, "never-550@kunde.example"),
        mail(3, "later-451@kunde.example"),
        mail(4, "no address"),
        mail(5, "be@kunde.example"),
    ]);
    shelf
        .waiting
        .lock()
        .unwrap()
        .push_back(Claimed { mail: mail(6, "later-451@kunde.example"), attempt: 36 });
    // As the binary does it: on a task of the runtime.
    let mailer = mailer(server.config());
    let (drained, shelf) =
        tokio::spawn(async move { (drain(&shelf, &mailer, now()).await, shelf) }).await.unwrap();
    assert_eq!(drained, Ok(Drained { n_sent: 2, n_retried: 1, n_given_up: 3, ..Drained::default() }));
    assert_eq!(
        *shelf.notes.lock().unwrap(),
        [
            "1 sent as <tollbook-mail-1@nordtel.example>",
            "2 failed NTF006 for good",
            "3 failed NTF007 again in 60 s",
            "4 failed NTF003 for good",
            "5 sent as <tollbook-mail-5@nordtel.example>",
            "6 failed NTF007 for good",
        ]
    );
}

#[tokio::test]
async fn outage_costs_one_mail_one_attempt_and_not_the_whole_queue() {
    let shelf = Shelf::with((1..=50).map(|id| mail(id, "be@kunde.example")));
    let mailer = mailer(smtp("127.0.0.1", closed_port()));
    let drained = drain(&shelf, &mailer, now()).await.unwrap();
    assert_eq!(drained, Drained { n_retried: 1, is_outage: true, ..Drained::default() });
    assert_eq!(*shelf.notes.lock().unwrap(), ["1 failed NTF008 again in 60 s"]);
    assert_eq!(shelf.waiting.lock().unwrap().len(), 49);
}

#[tokio::test]
async fn long_queue_is_sent_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let outbox_dir = dir.path().to_owned();
    let mailer = Mailer::new(MailConfig { outbox_dir, ..MailConfig::default() }).unwrap();
    let extra = 3;
    let small = |id| OutgoingMail { attachments: Vec::new(), ..mail(id, "be@kunde.example") };
    let shelf = Shelf::with((1..).take(DRAIN_MAX + extra).map(small));
    let drained = drain(&shelf, &mailer, now()).await.unwrap();
    assert_eq!(drained, Drained { n_sent: DRAIN_MAX, has_more: true, ..Drained::default() });
    let later = now() + TimeDelta::seconds(5);
    let drained = drain(&shelf, &mailer, later).await.unwrap();
    assert_eq!(drained, Drained { n_sent: extra, ..Drained::default() });
}
