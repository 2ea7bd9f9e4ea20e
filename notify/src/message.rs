//! From an [`OutgoingMail`] to the bytes of a message.
//!
//! In: what the queue holds. Out: a MIME message that says the same on every attempt but for its date. Text in, text
//! out: whatever would add a header line is refused.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use crate::NotifyError;

/// Text and attachments of one mail together, before encoding adds a third. Many servers take 25 MB encoded.
pub const MAIL_BYTES_MAX: usize = 18 * 1024 * 1024;

/// RFC 5321, 4.5.3.1.8: every server takes as many.
pub const RECIPIENTS_MAX: usize = 100;

/// One mail of the queue.
///
/// All its recipients get it or none: who must not depend on another's full mailbox gets a mail of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// The queue's; unique for ever. The Message-ID is made from it.
    pub id: i64,
    /// Addresses, with or without a name.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as a whole HTML document. `None`: it is made of the text.
    pub html: Option<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// A file in a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Such as `invoice-2026-000117.pdf`.
    pub name: String,
    /// Such as `application/pdf`.
    pub mime: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({}, {}, {} bytes)", self.name, self.mime, self.bytes.len())
    }
}

/// The Message-ID of mail `id`: the same for every attempt.
pub(crate) fn message_id(id: i64, from: &Address) -> String {
    format!("<tollbook-mail-{id}@{}>", from.domain())
}

/// Builds the message.
pub(crate) fn build(mail: &OutgoingMail, from: &Mailbox, now: DateTime<Utc>) -> Result<Message, NotifyError> {
    let id = mail.id;
    let bad = |what, text: &str, rule: &str| NotifyError::BadHeader {
        id,
        what,
        text: text.to_owned(),
        rule: rule.to_owned(),
    };
    let one_line = |what, text: &str| match text.chars().find(|c| c.is_control()) {
        Some(_) => Err(bad(what, text, "it holds a line end or another control character")),
        None => Ok(()),
    };

    let n_recipients = mail.to.len();
    if n_recipients == 0 || n_recipients > RECIPIENTS_MAX {
        return Err(NotifyError::Recipients { id, n_recipients, max: RECIPIENTS_MAX });
    }
    let html = mail.html.clone().unwrap_or_else(|| html_of(&mail.text));
    let bytes = mail.text.len()
        + mail.html.as_ref().map_or(0, String::len)
        + mail.attachments.iter().map(|attachment| attachment.bytes.len()).sum::<usize>();
    if bytes > MAIL_BYTES_MAX {
        return Err(NotifyError::TooLarge { id, bytes, max: MAIL_BYTES_MAX });
    }
    one_line("the subject", &mail.subject)?;

    let mut builder = Message::builder()
        .from(from.clone())
        .subject(&mail.subject)
        .date(SystemTime::from(now))
        .message_id(Some(message_id(id, &from.email)))
        // So that nobody's holiday notice answers an invoice (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &mail.to {
        one_line("the address", to)?;
        let mailbox: Mailbox = to.parse().map_err(|_| bad("the address", to, "it is not a mail address"))?;
        builder = builder.to(mailbox);
    }

    let body = MultiPart::alternative()
        .boundary(boundary(mail, &html, "body"))
        .singlepart(SinglePart::plain(mail.text.clone()))
        .singlepart(SinglePart::html(html.clone()));
    let built = if mail.attachments.is_empty() {
        builder.multipart(body)
    } else {
        let mut parts = MultiPart::mixed().boundary(boundary(mail, &html, "parts")).multipart(body);
        for Attachment { name, mime, bytes } in &mail.attachments {
            one_line("the attachment name", name)?;
            if name.is_empty() {
                return Err(bad("the attachment name", name, "it is empty"));
            }
            // An invoice 2026/117 is mailed as 2026-117.pdf: a receiver must not be led into a folder.
            let name = name.replace(['/', '\\'], "-");
            one_line("the attachment type", mime)?;
            let content_type = ContentType::parse(mime)
                .map_err(|_| bad("the attachment type", mime, "it is not a type such as application/pdf"))?;
            // A `Vec` is always sent as base64, to the byte.
            // A picture is shown where the text ends; anything else is a file.
            let part = if mime.starts_with("image/") {
                lettre::message::Attachment::new_inline_with_name(name.clone(), name)
            } else {
                lettre::message::Attachment::new(name)
            };
            parts = parts.singlepart(part.body(bytes.clone(), content_type));
        }
        builder.multipart(parts)
    };
    built.map_err(|error| bad("the message", &mail.subject, &error.to_string()))
}

/// A boundary that does not occur in the text. Attachments are base64 and cannot hold it.
fn boundary(mail: &OutgoingMail, html: &str, of: &str) -> String {
    let mut boundary = format!("=_tollbook_{}_{of}_0", mail.id);
    let mut n = 0_u64;
    while mail.text.contains(&boundary) || html.contains(&boundary) {
        n += 1;
        boundary = format!("=_tollbook_{}_{of}_{n}", mail.id);
    }
    boundary
}

/// The same words for readers that show HTML: paragraphs as they are, addresses of the web to be clicked, nothing fetched from outside.
/// Lines that begin with spaces are columns and stay so.
fn html_of(text: &str) -> String {
    let mut html = String::from(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"></head><body \
         style=\"font:15px/1.5 system-ui,sans-serif;color:#1b2733;max-width:42em\">",
    );
    let text = text.replace("\r\n", "\n");
    for paragraph in text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')) {
        if paragraph.is_empty() {
            continue;
        }
        html.push_str("<p style=\"white-space:pre-wrap\">");
        for (n, line) in paragraph.lines().enumerate() {
            if n > 0 {
                html.push('\n');
            }
            let words: Vec<String> = line.split(' ').map(html_word).collect();
            html.push_str(&words.join(" "));
        }
        html.push_str("</p>\n");
    }
    html.push_str("</body></html>\n");
    html
}

/// One word; an address of the web becomes a link.
fn html_word(word: &str) -> String {
    if !word.starts_with("https://") && !word.starts_with("http://") {
        return escaped(word);
    }
    let (address, rest) =
        word.split_at(word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '>', '"']).len());
    let address = escaped(address);
    format!("<a href=\"{address}\">{address}</a>{}", escaped(rest))
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> OutgoingMail {
        OutgoingMail {
            id: 7,
            to: vec!["Zoë Nguyễn <zoe@example.com>".to_owned(), "ops@example.com".to_owned()],
            subject: "Invoice 2026-000117".to_owned(),
            text: "Dear customer,\nplease find attached.\n".to_owned(),
            html: None,
            attachments: vec![Attachment {
                name: "invoice.pdf".to_owned(),
                mime: "application/pdf".to_owned(),
                bytes: vec![0, 255, 13, 10, 46, 13, 10],
            }],
        }
    }

    fn text_of(mail: &OutgoingMail) -> Result<String, NotifyError> {
        let from = "Nordtel <billing@nordtel.example>".parse().unwrap();
        let now = "2026-11-01T06:00:00Z".parse().unwrap();
        Ok(String::from_utf8(build(mail, &from, now)?.formatted()).unwrap())
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut OutgoingMail), expected: &str) {
        let mut mail = mail();
        change(&mut mail);
        let error = text_of(&mail).unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn same_mail_is_the_same_message() {
        let text = text_of(&mail()).unwrap();
        assert_eq!(text_of(&mail()).unwrap(), text);
        for line in [
            "Message-ID: <tollbook-mail-7@nordtel.example>\r\n",
            "Date: Sun, 01 Nov 2026 06:00:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Disposition: attachment; filename=\"invoice.pdf\"\r\n",
            "please find attached.\r\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text}");
        }
        assert!(text.is_ascii(), "names and subjects beyond ASCII are encoded");
    }

    #[test]
    fn line_ends_cannot_add_headers() {
        check_refused(|mail| mail.subject = "Hi\r\nBcc: thief@example.com".to_owned(), "the subject");
        check_refused(|mail| mail.subject = "Hi\nX: y".to_owned(), "line end");
        check_refused(
            |mail| mail.to[0] = "a@example.com\r\nRCPT TO:<b@example.com>".to_owned(),
            "the address",
        );
        check_refused(
            |mail| mail.to[0] = "\"x\r\nBcc: b@example.com\" <a@example.com>".to_owned(),
            "the address",
        );
        check_refused(|mail| mail.attachments[0].name = "a\r\nX: y".to_owned(), "the attachment name");
        check_refused(
            |mail| mail.attachments[0].mime = "text/plain\r\nX: y".to_owned(),
            "the attachment type",
        );
    }

    #[test]
    fn what_can_never_be_sent_is_permanent() {
        check_refused(|mail| mail.to.clear(), "0 recipients");
        check_refused(|mail| mail.to = vec!["a@example.com".to_owned(); 101], "101 recipients");
        check_refused(|mail| mail.to[1] = "nobody".to_owned(), "not a mail address");
        check_refused(|mail| mail.attachments[0].mime = "pdf".to_owned(), "application/pdf");
        check_refused(|mail| mail.attachments[0].name.clear(), "it is empty");
        check_refused(|mail| mail.attachments[0].bytes = vec![0; MAIL_BYTES_MAX], "too large");
    }

    #[test]
    fn number_with_a_slash_is_no_folder() {
        let mut mail = mail();
        mail.attachments[0].name = "2026/117.pdf".to_owned();
        assert!(text_of(&mail).unwrap().contains("filename=\"2026-117.pdf\""));
    }

    #[test]
    fn text_that_holds_the_boundary_does_not_end_its_part() {
        let mut mail = mail();
        mail.text = "--=_tollbook_7_body_0--\n=_tollbook_7_body_1\n=_tollbook_7_parts_0".to_owned();
        let text = text_of(&mail).unwrap();
        for boundary in ["boundary=\"=_tollbook_7_body_2\"", "boundary=\"=_tollbook_7_parts_1\""] {
            assert!(text.contains(boundary), "{text}");
        }
    }

    #[test]
    fn html_says_the_same_and_takes_no_markup_from_the_text() {
        let shown =
            html_of("Dear <b>&\"you\",\n\nplease see https://t.example/a?b=1&c=\"x.\n  Sum:  12\n\n\nBye\n");
        let paragraphs: Vec<&str> = shown.lines().filter(|line| !line.contains("DOCTYPE")).collect();
        assert_eq!(
            paragraphs,
            [
                "<p style=\"white-space:pre-wrap\">please see <a href=\"https://t.example/a?b=1&amp;c=&quot;x\">\
                 https://t.example/a?b=1&amp;c=&quot;x</a>.",
                "  Sum:  12</p>",
                "<p style=\"white-space:pre-wrap\">Bye</p>",
                "</body></html>"
            ]
        );
        assert!(
            shown.contains("<p style=\"white-space:pre-wrap\">Dear &lt;b&gt;&amp;&quot;you&quot;,</p>"),
            "{shown}"
        );
    }
}
