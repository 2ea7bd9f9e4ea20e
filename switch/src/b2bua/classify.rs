//! What the answer of a route means: whether the next one is tried, whether a forward follows, what the record says.
//!
//! Pure tables. Source: switch-reference 5.3; RFC 3261, 16.7.

use model::{Cause, ForwardKind};

/// What Reason says of a Q.850 cause that speaks of the network and not of the callee (switch-reference 5.3).
const CAUSES_OF_CONGESTION: &[u64] = &[34, 38, 41, 42];

/// Which of several refusals the caller hears: the lowest (RFC 3261, 16.7, step 6, in short).
pub(super) fn rank(code: u16) -> u16 {
    match code {
        600.. => 0,
        // One phone says busy, the other rings on: busy is what the caller wants to know.
        486 => 1,
        404 | 410 | 484 => 2,
        480 => 3,
        408 | 487 => 9,
        300..=499 => 4,
        _ => 5,
    }
}

/// The forward that a refusal of the callee's phones calls for.
pub(super) fn forward_kind(code: u16) -> Option<ForwardKind> {
    match code {
        486 | 600 | 603 => Some(ForwardKind::Busy),
        404 | 408 | 410 | 430 | 480 | 500..=599 => Some(ForwardKind::Unreachable),
        _ => None,
    }
}

/// Whether the next route is tried after this answer (switch-reference 5.3).
pub(super) fn goes_on(code: u16, reason: &str) -> bool {
    match code {
        300..=399 | 401 | 403 | 407 | 408 | 437 | 488 | 500 | 502 | 503 | 504 | 513 | 580 => true,
        480 => q850_cause(reason).is_some_and(|cause| CAUSES_OF_CONGESTION.contains(&cause)),
        _ => false,
    }
}

/// `Q.850;cause=34` in a Reason header.
fn q850_cause(reason: &str) -> Option<u64> {
    let q850 = reason.split(',').find(|one| one.trim_start().to_ascii_uppercase().starts_with("Q.850"))?;
    q850.split(';').find_map(|param| param.trim().strip_prefix("cause=")?.trim().parse().ok())
}

/// What a final code of the called side means.
pub(super) fn cause_of(code: u16) -> Cause {
    match code {
        486 | 600 => Cause::Busy,
        480 => Cause::NoAnswer,
        487 => Cause::Cancelled,
        404 | 410 | 484 | 604 => Cause::CalleeUnknown,
        408 => Cause::Timeout,
        488 => Cause::NotAcceptable,
        403 | 603 | 606 | 607 | 608 => Cause::Declined,
        500..=599 => Cause::PeeringUnavailable,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_goes_on_and_a_busy_callee_stops() {
        assert!(goes_on(503, ""));
        assert!(goes_on(480, "SIP;cause=480, Q.850;cause=34;text=\"no circuit\""));
        assert!(!goes_on(480, "Q.850;cause=19"));
        for code in [404, 410, 480, 484, 486, 487, 600, 603, 604, 606] {
            assert!(!goes_on(code, ""), "{code}");
        }
    }
}
