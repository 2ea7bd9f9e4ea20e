//! `tollbook trace`: the SIP messages of one call as a ladder, in full, or as a file for packet analysers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use switch::trace::{TracedMessage, find_call, pcap};

use crate::config::Config;
use crate::failure::UserError;

/// Letters between two participants.
const COLUMN_WIDTH: usize = 30;

/// Prints one call.
pub(crate) fn trace(config: &Config, call: &str, full: bool, file: Option<&Path>) -> anyhow::Result<()> {
    let dir = config.switch.trace_dir.clone().unwrap_or_default();
    let files =
        switch::net::read_trace(&dir).with_context(|| format!("read the trace in {}", dir.display()))?;
    let messages = find_call(&files, call);
    if messages.is_empty() {
        return Err(UserError::new(
            format!("no message of {call:?} is in the trace"),
            "give a Call-ID, a call id or the id of a CDR; old calls are dropped (switch.trace_bytes_max)",
        )
        .into());
    }
    print!("{}", ladder(&messages, config.switch.listen));
    if full {
        for message in &messages {
            let (arrow, how) = (if message.is_sent { "to" } else { "from" }, message.transport);
            println!("\n{} {arrow} {} by {how}", at(message), message.peer);
            println!("{}", String::from_utf8_lossy(&message.bytes).trim_end());
        }
    }
    if let Some(file) = file {
        std::fs::write(file, pcap(&messages, config.switch.listen)).map_err(|why| {
            UserError::new(format!("{}: {why}", file.display()), "choose a file that this user may write")
        })?;
        println!("{} messages written to {}", messages.len(), file.display());
    }
    Ok(())
}

fn at(message: &TracedMessage) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(i64::try_from(message.at_us).unwrap_or(0));
    time.unwrap_or_default().format("%H:%M:%S%.3f").to_string()
}

/// Everybody in a column of his own, the caller's side left of the switch, the others right of it.
fn ladder(messages: &[TracedMessage], own: SocketAddr) -> String {
    let mut peers: Vec<SocketAddr> = Vec::new();
    for message in messages {
        if !peers.contains(&message.peer) {
            peers.push(message.peer);
        }
    }
    // The first to speak is the caller.
    let column_of = |peer: &SocketAddr| match peers.iter().position(|known| known == peer) {
        Some(0) | None => 0,
        Some(place) => place + 1,
    };
    let n_columns = peers.len() + 1;
    let mut names = vec![String::new(); n_columns];
    names[1] = format!("switch {own}");
    for peer in &peers {
        names[column_of(peer)] = peer.to_string();
    }
    let mut out = format!("{:13}", "");
    for name in &names {
        let _ = write!(out, "{name:<COLUMN_WIDTH$} ");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    for message in messages {
        let far = column_of(&message.peer);
        let (left, right) = (far.min(1), far.max(1));
        let points_right = (far > 1) == message.is_sent;
        let mut line = format!("{} ", at(message));
        for column in 0..n_columns {
            let is_inside = (left..right).contains(&column);
            if column == left {
                let width = (right - left) * (COLUMN_WIDTH + 1) - 1;
                let text = format!("- {} ", message.summary());
                let text: String = text.chars().take(width.saturating_sub(2)).collect();
                let (start, end) = if points_right { ("", ">") } else { ("<", "") };
                let n_dashes = width.saturating_sub(text.chars().count() + 1);
                let _ = write!(line, "|{start}{text}{}{end}", "-".repeat(n_dashes));
            } else if !is_inside {
                let blank = if column + 1 == n_columns { 0 } else { COLUMN_WIDTH };
                let _ = write!(line, "|{:blank$}", "");
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use model::Transport;

    use super::*;

    #[test]
    fn ladder_has_the_caller_left_and_each_route_right_of_the_switch() {
        let message = |at_us, is_sent, peer: &str, text: &str| TracedMessage {
            at_us,
            is_sent,
            transport: Transport::Udp,
            peer: peer.parse().unwrap(),
            bytes: format!("{text}\r\nCSeq: 1 INVITE\r\n\r\n").into_bytes(),
        };
        let (caller, first, second) = ("198.51.100.1:5062", "203.0.113.1:5060", "203.0.113.2:5060");
        let messages = [
            message(0, false, caller, "INVITE sip:49301234@example.net SIP/2.0"),
            message(1_000, true, first, "INVITE sip:49301234@203.0.113.1 SIP/2.0"),
            message(2_000, false, first, "SIP/2.0 503 Service Unavailable"),
            message(3_000, true, second, "INVITE sip:49301234@203.0.113.2 SIP/2.0"),
            message(4_000, false, second, "SIP/2.0 180 Ringing"),
            message(5_000, true, caller, "SIP/2.0 180 Ringing"),
        ];
        expect![[r#"
                         198.51.100.1:5062              switch 192.0.2.1:5060          203.0.113.1:5060               203.0.113.2:5060
            00:00:00.000 |- INVITE sip:49301234@exampl->|                              |                              |
            00:00:00.001 |                              |- INVITE sip:49301234@203.0.->|                              |
            00:00:00.002 |                              |<- 503 Service Unavailable (I-|                              |
            00:00:00.003 |                              |- INVITE sip:49301234@203.0.113.2 -------------------------->|
            00:00:00.004 |                              |<- 180 Ringing (INVITE) -------------------------------------|
            00:00:00.005 |<- 180 Ringing (INVITE) ------|                              |                              |
        "#]].assert_eq(&ladder(&messages, "192.0.2.1:5060".parse().unwrap()));
    }
}
