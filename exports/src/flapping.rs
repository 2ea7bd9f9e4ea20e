//! What of a run of EDRs a partner is spared: what came and went within the run, and changes of what has only just begun.
//!
//! In: the EDRs of one file, oldest first. Out: for each of them whether it is told, left out or told as another one. Source:
//! billing-reference 7.10, with the result that the reference intended: a profile that begins and then changes is told once, as
//! begun with the later value.

use model::{Edr, EdrKind};

/// What becomes of one EDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is told as it is.
    Keep,
    /// It is left out.
    Filtered,
    /// It is told as this one, under its own id.
    KeepAs(Box<Edr>),
}

/// Which of the two filters are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flapping {
    /// A beginning and the end of the same within one run cancel out (`FILTER_FLAPPING` of the reference).
    pub filter: bool,
    /// A beginning and a change of the same within one run are one beginning (`MERGE_UPDATE`).
    pub merge: bool,
}

/// The part of an EDR that begins, changes and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Update,
    End,
}

/// A beginning that nothing has ended yet.
struct Open<'a> {
    /// Which EDR of the run tells it.
    idx: usize,
    subject: Subject<'a>,
    /// The state that has begun.
    value: &'a str,
}

/// Of whom and of what.
type Subject<'a> = (Option<i64>, &'a str, Option<model::E164>);

/// One fate for each of `edrs`, in their order.
pub fn settle(edrs: &[Edr], flapping: Flapping) -> Vec<Fate> {
    let mut fates = vec![Fate::Keep; edrs.len()];
    let mut open: Vec<Open<'_>> = Vec::new();
    for (idx, edr) in edrs.iter().enumerate() {
        let Some((step, before, after)) = step_of(edr) else { continue };
        let subject: Subject<'_> =
            (edr.subscriber.map(|subscriber| subscriber.0), family(edr.kind), edr.number);
        // The most recent beginning of the same.
        let begun = open.iter().rposition(|open| open.subject == subject && open.value == before);
        match (step, begun) {
            (Step::Start, _) => open.push(Open { idx, subject, value: after }),
            (Step::Update, Some(place)) if flapping.merge => {
                fates[open[place].idx] = Fate::Filtered;
                let begins = Edr { kind: EdrKind::StartProfile, old_status: String::new(), ..edr.clone() };
                fates[idx] = Fate::KeepAs(Box::new(begins));
                open[place] = Open { idx, subject, value: after };
            }
            // Both are told; what ends next is the later value.
            (Step::Update, Some(place)) => {
                open.remove(place);
            }
            (Step::End, Some(place)) if flapping.filter => {
                fates[open[place].idx] = Fate::Filtered;
                fates[idx] = Fate::Filtered;
                open.remove(place);
            }
            (Step::End, Some(place)) => {
                open.remove(place);
            }
            (Step::Update | Step::End, None) => {}
        }
    }
    fates
}

/// `None`: neither begins nor ends anything. Else the step, and the state before and after.
fn step_of(edr: &Edr) -> Option<(Step, &str, &str)> {
    let (old, new) = (edr.old_status.as_str(), edr.new_status.as_str());
    match edr.kind {
        EdrKind::StartProfile => Some((Step::Start, old, new)),
        EdrKind::UpdateProfile => Some((Step::Update, old, new)),
        EdrKind::EndProfile => Some((Step::End, old, new)),
        // The state that begins and ends is the owner.
        EdrKind::NumberAssigned => Some((Step::Start, "", &edr.uuid)),
        EdrKind::NumberReleased => Some((Step::End, &edr.uuid, "")),
        EdrKind::Registered
        | EdrKind::Unregistered
        | EdrKind::RegisterFailed
        | EdrKind::TrunkState
        | EdrKind::LockChanged
        | EdrKind::Security => None,
    }
}

const fn family(kind: EdrKind) -> &'static str {
    match kind {
        EdrKind::StartProfile | EdrKind::UpdateProfile | EdrKind::EndProfile => "profile",
        EdrKind::NumberAssigned | EdrKind::NumberReleased => "number",
        EdrKind::Registered
        | EdrKind::Unregistered
        | EdrKind::RegisterFailed
        | EdrKind::TrunkState
        | EdrKind::LockChanged
        | EdrKind::Security => "",
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use model::{AccountId, SubscriberId, TenantId};

    use super::*;

    const BOTH: Flapping = Flapping { filter: true, merge: true };

    /// `1 start_profile - flat-s`: subscriber, kind, before and after.
    fn edr(line: &str) -> Edr {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [subscriber, kind, old, new] = words[..] else { panic!("{line}") };
        let state = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
        Edr {
            id: String::new(),
            tenant: TenantId(1),
            account: AccountId(10),
            subscriber: Some(SubscriberId(subscriber.parse().expect("a number"))),
            kind: kind.parse().expect("a kind"),
            old_status: state(old),
            new_status: state(new),
            detail: String::new(),
            at: DateTime::<Utc>::UNIX_EPOCH,
            reseller: AccountId::NOBODY,
            uuid: format!("uuid-{subscriber}"),
            number: "43512100".parse().ok(),
        }
    }

    fn check(flapping: Flapping, lines: &[&str], expected: &[&str]) {
        let edrs: Vec<Edr> = lines.iter().map(|line| edr(line)).collect();
        let shown = |edr: &Edr| format!("{} {:?} {:?}", edr.kind, edr.old_status, edr.new_status);
        let told: Vec<String> = settle(&edrs, flapping)
            .iter()
            .zip(&edrs)
            .map(|(fate, edr)| match fate {
                Fate::Keep => shown(edr),
                Fate::Filtered => "filtered".to_owned(),
                Fate::KeepAs(other) => shown(other),
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_began_and_ended_within_a_run_is_left_out() {
        let lines = ["1 start_profile - flat-s", "2 start_profile - flat-s", "1 end_profile flat-s -"];
        check(BOTH, &lines, &["filtered", r#"start_profile "" "flat-s""#, "filtered"]);
        let off = Flapping::default();
        check(
            off,
            &lines,
            &[r#"start_profile "" "flat-s""#, r#"start_profile "" "flat-s""#, r#"end_profile "flat-s" """#],
        );
    }

    #[test]
    fn beginning_that_changes_is_told_once_with_the_later_value() {
        check(
            BOTH,
            &["1 start_profile - flat-s", "1 update_profile flat-s flat-m", "1 update_profile flat-m flat-l"],
            &["filtered", "filtered", r#"start_profile "" "flat-l""#],
        );
    }

    #[test]
    fn merged_beginning_and_its_end_cancel_out() {
        check(
            BOTH,
            &["1 start_profile - flat-s", "1 update_profile flat-s flat-m", "1 end_profile flat-m -"],
            &["filtered", "filtered", "filtered"],
        );
    }

    #[test]
    fn change_and_end_of_what_began_before_the_run_are_told() {
        check(
            BOTH,
            &["1 update_profile flat-s flat-m", "1 end_profile flat-m -", "1 end_profile other -"],
            &[
                r#"update_profile "flat-s" "flat-m""#,
                r#"end_profile "flat-m" """#,
                r#"end_profile "other" """#,
            ],
        );
    }

    #[test]
    fn end_of_another_value_or_of_an_earlier_time_cancels_nothing() {
        check(
            BOTH,
            &["1 end_profile flat-s -", "1 start_profile - flat-s", "1 end_profile flat-x -"],
            &[r#"end_profile "flat-s" """#, r#"start_profile "" "flat-s""#, r#"end_profile "flat-x" """#],
        );
    }

    #[test]
    fn without_merging_an_updated_beginning_and_the_end_are_all_told() {
        let filter = Flapping { filter: true, merge: false };
        check(
            filter,
            &["1 start_profile - flat-s", "1 update_profile flat-s flat-m", "1 end_profile flat-m -"],
            &[
                r#"start_profile "" "flat-s""#,
                r#"update_profile "flat-s" "flat-m""#,
                r#"end_profile "flat-m" """#,
            ],
        );
    }

    #[test]
    fn number_that_comes_and_goes_is_left_out() {
        check(BOTH, &["1 number_assigned - uuid-1", "1 number_released uuid-1 -"], &["filtered", "filtered"]);
    }
}
