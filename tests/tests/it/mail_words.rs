//! Invoices mailed in a tenant's own words by a real SMTP server, and fetched by the link that takes the place of an attachment too large.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::rig::{Installation, eventually, tollbook_path, write_file};

/// aiosmtpd, as `./test` installs it, ended with the test.
struct SmtpServer {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl SmtpServer {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notify/tests/smtp_server.py");
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        Self { process, port: port.trim().parse().expect("the server is up"), dir }
    }

    /// The mails there are, as they came in.
    fn n_mails(&self) -> usize {
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        files.filter(|file| file.path().extension().is_some_and(|ending| ending == "eml")).count()
    }

    /// What Python's mail reader finds in mail `n`: `expression` over the message `m`.
    fn read(&self, n: usize, expression: &str) -> String {
        let script = format!(
            "import email, email.policy; \
             m = email.message_from_bytes(open('{n}.eml', 'rb').read(), policy=email.policy.default); \
             print({expression}, end='')"
        );
        let output = Command::new("/usr/bin/python3")
            .env("PYTHONIOENCODING", "utf-8")
            .args(["-c", &script])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Status and file of an address, by curl.
fn curl(url: &str, out: &Path) -> String {
    let output = Command::new("curl")
        .args(["-s", "-w", "%{http_code} %{content_type}", "-o"])
        .arg(out)
        .arg(url)
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// What the command says against it, which must fail for the user's sake.
fn refused(house: &Installation, args: &[&str]) -> String {
    let output =
        Command::new(tollbook_path()).args(args).arg("--config").arg(house.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn house_with_one_customer(server: &SmtpServer) -> Installation {
    let house = Installation::new();
    let base = format!("http://{}", house.web);
    house.configure(&format!(
        "[mail]\nfrom = \"Meridian <billing@meridian.example>\"\n[mail.smtp]\nhost = \"127.0.0.1\"\nport = {}\n\
         tls = \"none\"\n[mail.links]\nbase_url = \"{base}/\"\nallow_http = true\nabove = 5000\n",
        server.port
    ));
    let world = "[[accounts]]\nhandle = \"weber\"\nvat_percent = \"20\"\n[accounts.contact]\nname = \"Weber & Söhne\"\n\
         street = \"Ring 1\"\npostcode = \"1010\"\ncity = \"Wien\"\ncountry = \"AT\"\nemail = \"weber@customer.example\"\n\
         [[billing_terms]]\naccount = \"weber\"\nterms = { language = \"de\", fees = [{ name = \"Leitung\", amount = \"12.50\" }] }\n";
    let world = write_file(house.path(), "customer.toml", world);
    house.run_command(&["import", world.to_str().unwrap()]);
    // Makes event log and lake.
    house.start().stop();
    house
}

fn files_of(house: &Installation, text: &str, html: &str) -> [PathBuf; 2] {
    [write_file(house.path(), "mail.txt", text), write_file(house.path(), "mail.html", html)]
}

#[test]
fn invoice_comes_in_the_tenants_words_with_a_link_that_only_its_receiver_can_use() {
    let server = SmtpServer::start();
    let house = house_with_one_customer(&server);
    let [text, html] =
        files_of(&house, "Subject: {{ nummer }}\n\nHallo {{ customer }}", "<p>{{ customer }}</p>");
    let (text, html) = (text.to_str().unwrap(), html.to_str().unwrap());
    let template =
        |action: &'static str| vec!["mail", "template", action, "invoice", "--text", text, "--html", html];
    let said = refused(&house, &template("use"));
    assert!(said.contains("mail.txt:1:13: there is no variable nummer"), "{said}");
    assert!(said.contains("number, issuer, issuer_email, customer"), "{said}");
    files_of(
        &house,
        "Subject: Ihre Rechnung {{ number }}\n\nHallo {{ customer }},\nbitte zahlen Sie {{ total }}.\n",
        "<html><body><p>Hallo <b>{{ customer }}</b></p></body></html>",
    );
    let mut german = template("use");
    german.extend(["--language", "de"]);
    house.run_command(&german);
    let listed = house.run_command(&["mail", "template", "list"]);
    assert!(listed.lines().any(|line| line.contains("invoice") && line.contains("version 1")), "{listed}");

    // The running house is asked whether all calls have come through.
    let running = house.start();
    let run = Command::new(tollbook_path())
        .args(["invoice", "run", "--period", "2026-10", "--account", "weber", "--config"])
        .arg(house.config())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    let run = String::from_utf8(run.stdout).unwrap();
    let number = run.split_whitespace().find(|word| word.starts_with("INV-")).unwrap().to_owned();
    eventually("the invoice is mailed", || server.n_mails() > 0);
    assert_eq!(server.read(1, "m['subject']"), format!("Ihre Rechnung {number}"));
    let body = server.read(1, "m.get_body(('plain',)).get_content().replace('\\r\\n', '\\n')");
    assert!(body.starts_with("Hallo Weber & Söhne,\nbitte zahlen Sie EUR 15.00."), "{body}");
    let shown = server.read(1, "m.get_body(('html',)).get_content()");
    assert!(shown.contains("Hallo <b>Weber &amp; Söhne</b>"), "{shown}");
    assert_eq!(server.read(1, "len(list(m.iter_attachments()))"), "0");

    // The link leads to the invoice, for whoever has it, without a sign-in.
    let link = body.lines().find(|line| line.contains("/d/")).unwrap();
    assert!(shown.contains(link), "{shown}");
    let (fetched, printed) = (house.path().join("fetched.pdf"), house.path().join("printed.pdf"));
    assert_eq!(curl(link, &fetched), "200 application/pdf");
    house.run_command(&["invoice", "pdf", &number, "--out", printed.to_str().unwrap()]);
    assert_eq!(std::fs::read(&fetched).unwrap(), std::fs::read(&printed).unwrap());

    // Whoever makes one up, or changes one, is told nothing.
    let token = link.rsplit('/').next().unwrap();
    let other = if token.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{other}", &link[..link.len() - 1]);
    let first = link.replace(token, &format!("B{}", &token[1..]));
    let made_up = link.replace(token, &"A".repeat(token.len()));
    let mut answers = Vec::new();
    for wrong in [&changed, &first, &made_up, &link.replace(token, "1")] {
        assert_eq!(curl(wrong, &fetched), "404 text/plain; charset=utf-8", "{wrong}");
        answers.push(std::fs::read(&fetched).unwrap());
    }
    // An ended one neither, and in the same words.
    let listed = house.run_command(&["mail", "links"]);
    let row = listed.lines().find(|line| line.contains(&format!("{number}.pdf"))).unwrap();
    assert!(row.contains("works"), "{listed}");
    let id = row.split_whitespace().next().unwrap();
    house.run_command(&["mail", "revoke", id]);
    assert_eq!(curl(link, &fetched), "404 text/plain; charset=utf-8");
    answers.push(std::fs::read(&fetched).unwrap());
    answers.dedup();
    assert_eq!(answers.len(), 1);

    // It is not overdue: nobody is reminded of it.
    let said = refused(&house, &["invoice", "remind", &number]);
    assert!(said.contains("and not overdue"), "{said}");
    assert!(house.run_command(&["invoice", "remind"]).contains("nothing is overdue"));
    running.stop();
    house.run_command(&["audit"]);
}
