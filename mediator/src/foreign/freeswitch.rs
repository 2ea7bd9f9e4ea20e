//! CDRs of FreeSWITCH as `mod_json_cdr` writes them: an object with `variables` and `callflow`, values percent-encoded by default.

use chrono::{DateTime, Utc};
use model::{Cause, Initiator};
use serde_json::Value;

use super::values::{bad, between, check_sense, find, parse_code, scalar};
use super::{Field, Foreign, ForeignError, NumberPlan, cause_of};

/// Causes of FreeSWITCH (`hangup_cause`) and the SIP code that its own table gives them, where `sip_term_status` is absent.
const CODES: &[(&str, u16)] = &[
    ("NORMAL_CLEARING", 200),
    ("SUCCESS", 200),
    ("UNALLOCATED_NUMBER", 404),
    ("NO_ROUTE_TRANSIT_NET", 404),
    ("NO_ROUTE_DESTINATION", 404),
    ("USER_BUSY", 486),
    ("NO_USER_RESPONSE", 408),
    ("RECOVERY_ON_TIMER_EXPIRE", 408),
    ("NO_ANSWER", 480),
    ("SUBSCRIBER_ABSENT", 480),
    ("USER_NOT_REGISTERED", 480),
    ("ORIGINATOR_CANCEL", 487),
    ("CALL_REJECTED", 603),
    ("NUMBER_CHANGED", 410),
    ("INVALID_NUMBER_FORMAT", 484),
    ("DESTINATION_OUT_OF_ORDER", 502),
    ("NORMAL_TEMPORARY_FAILURE", 503),
    ("SWITCH_CONGESTION", 503),
    ("NETWORK_OUT_OF_ORDER", 503),
    ("GATEWAY_DOWN", 503),
    ("INCOMPATIBLE_DESTINATION", 488),
    ("BEARERCAPABILITY_NOTAVAIL", 488),
];

/// Reads one object. Outgoing legs are told by the incoming leg that they belong to: `None`.
pub(super) fn read(text: &str, plan: &NumberPlan) -> Result<Option<Foreign>, ForeignError> {
    let object: Value = serde_json::from_str(text)
        .map_err(|why| ForeignError::Unreadable { why: format!("it is not JSON: {why}") })?;
    if !object.get("variables").is_some_and(Value::is_object) {
        return Err(ForeignError::Unreadable { why: "it has no \"variables\"".to_owned() });
    }
    let record = Record(&object);
    if record.first(&["variables.direction"]).as_deref() == Some("outbound") {
        return Ok(None);
    }
    record.foreign(plan).map(Some)
}

struct Record<'a>(&'a Value);

impl Record<'_> {
    /// The first of these that is there and not empty.
    fn first(&self, paths: &[&str]) -> Option<String> {
        paths.iter().find_map(|path| {
            let text = percent_decoded(&scalar(find(self.0, path)?)?);
            (!text.is_empty()).then_some(text)
        })
    }

    /// Microseconds since 1970 or, in older records, seconds; 0 is never.
    fn time(&self, name: &str, field: Field) -> Result<Option<DateTime<Utc>>, ForeignError> {
        let us_path = format!("variables.{name}_uepoch");
        let seconds_path = format!("variables.{name}_epoch");
        let (written, per_unit) = match (self.first(&[&us_path]), self.first(&[&seconds_path])) {
            (Some(us), _) => (us, 1),
            (None, Some(seconds)) => (seconds, 1_000_000),
            (None, None) => return Ok(None),
        };
        let us = written.parse::<i64>().ok().and_then(|units| units.checked_mul(per_unit));
        match us.map(|us| (us, DateTime::from_timestamp_micros(us))) {
            Some((0, _)) => Ok(None),
            Some((_, Some(at))) => Ok(Some(at)),
            Some((_, None)) | None => Err(bad(field, &written, "a time since 1970")),
        }
    }

    fn foreign(&self, plan: &NumberPlan) -> Result<Foreign, ForeignError> {
        let missing = |field: Field, place: &str| ForeignError::Missing {
            field: field.as_str(),
            place: place.to_owned(),
        };
        let key = self.first(&["variables.uuid"]).ok_or_else(|| missing(Field::Key, "variables.uuid"))?;
        let destination = self
            .first(&[
                "callflow.0.caller_profile.destination_number",
                "variables.sip_req_user",
                "variables.sip_to_user",
            ])
            .map(|written| plan.normalise(&written))
            .filter(|digits| !digits.is_empty())
            .ok_or_else(|| missing(Field::Destination, "callflow.0.caller_profile.destination_number"))?;
        let source = self
            .first(&[
                "callflow.0.caller_profile.caller_id_number",
                "variables.caller_id_number",
                "variables.sip_from_user",
            ])
            .map(|written| plan.normalise(&written))
            .unwrap_or_default();
        let init_at = self
            .time("start", Field::Start)?
            .ok_or_else(|| missing(Field::Start, "variables.start_uepoch"))?;
        let (answer, end) = (self.time("answer", Field::Answer)?, self.time("end", Field::End)?);
        let duration_us = self.billed_us(answer, end)?;
        let hangup = self.first(&["variables.hangup_cause"]).unwrap_or_default();
        let code = if answer.is_some() {
            200
        } else {
            match self.first(&["variables.sip_term_status", "variables.sip_invite_failure_status"]) {
                Some(code) => parse_code(&code)?,
                // A call that was cleared before anybody answered was given up by its caller.
                None => match CODES.iter().find(|(word, _)| *word == hangup) {
                    Some((_, code)) if *code != 200 => *code,
                    Some(_) => 487,
                    None => 500,
                },
            }
        };
        let start_at = answer.unwrap_or(init_at);
        check_sense(code, duration_us, init_at, start_at)?;
        let progress = self.time("progress", Field::Pdd)?.or(self.time("progress_media", Field::Pdd)?);
        Ok(Foreign {
            key,
            source,
            destination,
            init_at,
            start_at,
            duration_us,
            code,
            cause: match hangup.as_str() {
                "MEDIA_TIMEOUT" => Cause::RtpTimeout,
                "ALLOTTED_TIMEOUT" => Cause::MaxDuration,
                "MANAGER_REQUEST" => Cause::Killed,
                _ => cause_of(code),
            },
            ended_by: match self.first(&["variables.sip_hangup_disposition"]).as_deref() {
                // Of the incoming leg: what it received came from the caller.
                Some("recv_bye" | "recv_cancel") => Initiator::Caller,
                Some("send_bye" | "send_refuse" | "send_cancel") => Initiator::Callee,
                Some(_) | None => Initiator::Switch,
            },
            account: self.first(&["variables.accountcode", "callflow.0.caller_profile.account_code"]),
            trunk_in: None,
            trunk_out: self.first(&["variables.sip_gateway_name", "variables.last_bridge_gateway"]),
            call_id: self.first(&["variables.sip_call_id"]).unwrap_or_default(),
            codec: match (self.first(&["variables.read_codec"]), self.first(&["variables.read_rate"])) {
                (Some(codec), Some(rate)) => format!("{codec}/{rate}"),
                (Some(codec), None) => codec,
                (None, _) => String::new(),
            },
            user_agent: self.first(&["variables.sip_user_agent"]).unwrap_or_default(),
            ip: self
                .first(&["variables.sip_network_ip", "callflow.0.caller_profile.network_addr"])
                .unwrap_or_default(),
            pdd_us: progress.map(|progress| between(init_at, progress)).transpose()?,
        })
    }

    fn billed_us(
        &self,
        answer: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<u64, ForeignError> {
        let Some(answer) = answer else { return Ok(0) };
        if let Some(us) = self.first(&["variables.billusec"]) {
            return us.parse().map_err(|_| bad(Field::Duration, &us, "microseconds, not negative"));
        }
        if let Some(end) = end {
            return between(answer, end);
        }
        let seconds = self.first(&["variables.billsec"]).ok_or(ForeignError::Missing {
            field: Field::Duration.as_str(),
            place: "variables.billusec".to_owned(),
        })?;
        let us = seconds.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000));
        us.ok_or_else(|| bad(Field::Duration, &seconds, "seconds, not negative"))
    }
}

/// `%40` and the like back to what they were; what is no such code stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if let (b'%', [high, low, behind @ ..]) = (*first, after)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
            && let Ok(byte) = u8::try_from(high * 16 + low)
        {
            bytes.push(byte);
            rest = behind;
            continue;
        }
        bytes.push(*first);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
