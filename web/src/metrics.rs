//! Figures for Prometheus, in its text format 0.0.4: the same that the console shows, gathered once a second.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::Shared;
use crate::figures::Figures;
use crate::guard::SignedIn;

/// `/metrics`, for whoever has a token or a session; it tells of traffic, not of people.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, _: SignedIn) -> Response {
    let text = exposition(&shared.desk.figures.borrow());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn exposition(figures: &Figures) -> String {
    let mut out = String::new();
    for (name, kind, help, value) in [
        ("tollbook_calls_active", "gauge", "Calls up or being set up.", figures.calls_active),
        ("tollbook_calls_attempts_total", "counter", "Calls accepted for processing.", figures.calls_total),
        ("tollbook_calls_answered_total", "counter", "Calls that were answered.", figures.calls_answered),
        (
            "tollbook_calls_rejected_total",
            "counter",
            "Calls the switch refused itself.",
            figures.calls_rejected,
        ),
        ("tollbook_registrations_active", "gauge", "Contacts registered.", figures.registrations),
        ("tollbook_sip_malformed_total", "counter", "Datagrams that were not SIP.", figures.malformed),
        ("tollbook_suspense_records", "gauge", "Records put aside and not yet resolved.", figures.suspended),
        ("tollbook_mail_queue", "gauge", "Mails not yet handed over.", figures.mails_waiting),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    let _ = writeln!(
        out,
        "# HELP tollbook_suspense_code_records The same by stage and code.\n# TYPE tollbook_suspense_code_records gauge"
    );
    for (stage, code, n_records) in &figures.suspended_by_code {
        // Names and codes are ours: letters, digits, `/` and `_`, nothing that would have to be escaped.
        let labels = format!("stage=\"{stage}\",code=\"{code}\"");
        let _ = writeln!(out, "tollbook_suspense_code_records{{{labels}}} {n_records}");
    }
    let _ = writeln!(
        out,
        "# HELP tollbook_stage_records_total Records a stage has worked off.\n# TYPE tollbook_stage_records_total counter"
    );
    for stage in &figures.stages {
        let _ = writeln!(out, "tollbook_stage_records_total{{stage=\"{}\"}} {}", stage.name, stage.consumed);
    }
    let _ = writeln!(
        out,
        "# HELP tollbook_stage_lag_records Records waiting for a stage.\n# TYPE tollbook_stage_lag_records gauge"
    );
    for stage in &figures.stages {
        let _ = writeln!(out, "tollbook_stage_lag_records{{stage=\"{}\"}} {}", stage.name, stage.waiting);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StageRow;

    #[test]
    fn every_sample_has_its_type_before_it() {
        let figures = Figures {
            calls_active: 7,
            stages: vec![StageRow { name: "rating".into(), consumed: 3, waiting: 1 }],
            suspended_by_code: vec![("rating".into(), "RAT001".into(), 2)],
            ..Figures::default()
        };
        let text = exposition(&figures);
        let mut typed = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                typed.push(rest.split(' ').next().unwrap());
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(typed.contains(&name), "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<u64>().is_ok(), "{line}");
            }
        }
        assert!(
            text.contains("tollbook_calls_active 7\n")
                && text.contains("tollbook_stage_lag_records{stage=\"rating\"} 1\n")
                && text.contains("tollbook_suspense_code_records{stage=\"rating\",code=\"RAT001\"} 2\n")
        );
    }

    #[test]
    fn dashboard_shows_every_metric_and_no_other() {
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../docs/grafana/tollbook.json")).unwrap();
        let mut shown = std::collections::BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let words =
                    target["expr"].as_str().unwrap().split(|c: char| !c.is_ascii_lowercase() && c != '_');
                shown.extend(words.filter(|word| word.starts_with("tollbook_")).map(str::to_owned));
            }
        }
        let text = exposition(&Figures::default());
        let exposed: std::collections::BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
            .collect();
        assert_eq!(shown, exposed);
    }
}
