//! A price list for a profile: sent, compared with what is in force, and applied once somebody has seen what it changes.
//!
//! A list is kept here between the two steps, so that what is applied is what was looked at, and nobody sends a long one twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use model::TariffVersion;
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::{local_time, when};
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::sign_in::random_text;
use crate::tariff_desk::{FeesProposed, FeesRefused, FeesWanted};

/// Longest form that is taken: a list of some hundred thousand fees.
pub(crate) const FORM_BYTES_MAX: usize = 96 << 20;

/// Longest list that comes back with its faults.
const SHOWN_AGAIN_BYTES_MAX: usize = 256 << 10;

/// Lists kept at once; the oldest makes room.
const LISTS_KEPT_MAX: usize = 4;

/// For how long.
const LIST_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// Letters of the name of one.
const LIST_NAME_LETTERS: usize = 24;

/// Days of calls that are priced unless others are asked for.
pub(crate) const DAYS: u32 = 7;

/// And at most.
pub(crate) const DAYS_MAX: u32 = 366;

/// Lists that were looked at and not applied yet.
#[derive(Default)]
pub(crate) struct Lists {
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    name: String,
    user: String,
    /// The version on whose page it was sent.
    page: i64,
    wanted: FeesWanted,
    since: Duration,
}

impl Lists {
    fn keep(&self, list: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| list.since.saturating_sub(other.since) < LIST_AGE_MAX);
        while kept.len() >= LISTS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(list);
    }

    /// Takes the list of this name out, if this user sent it on this page a while ago at most.
    fn take(&self, name: &str, user: &str, page: i64, now: Duration) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|list| now.saturating_sub(list.since) < LIST_AGE_MAX);
        let is_it = |list: &Kept| list.name == name && list.user == user && list.page == page;
        let at = kept.iter().position(is_it)?;
        kept.remove(at)
    }
}

#[derive(Template)]
#[template(path = "fee_import.html")]
struct Page {
    frame: Frame,
    id: i64,
    handle: String,
    timezone: String,
    n_fees: usize,
    form: Sent,
    fault: String,
    /// What it would change, and the name of the list.
    seen: Option<(FeesProposed, String)>,
    begins: String,
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sent {
    /// `check` or `apply`.
    act: String,
    list: String,
    valid_from: String,
    keep: bool,
    days: String,
    /// Name of the list that was looked at.
    kept: String,
}

/// Somebody who may change prices. As an extractor it stands before the form: nobody else's list is read.
pub(crate) struct MayPrice(SignedIn);

impl<S: Sync> FromRequestParts<S> for MayPrice {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let user = SignedIn::from_request_parts(parts, state).await?;
        require(&user, Right::ChangeTerms, "change prices")?;
        Ok(Self(user))
    }
}

/// The form.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    MayPrice(user): MayPrice,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    let page = with_version(&shared, id, |version| {
        let form = Sent { days: DAYS.to_string(), ..Sent::default() };
        page_of(&user, version, form, String::new())
    })?;
    html(&page)
}

/// Compares a list, or applies the one that was compared.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    MayPrice(user): MayPrice,
    Path(id): Path<i64>,
    Form(mut form): Form<Sent>,
) -> Result<Response, Refusal> {
    let outcome = match form.act.as_str() {
        "check" => check(&shared, &user, id, &form).await,
        "apply" => apply(&shared, &user, id, &form).await,
        other => Err(Refusal::Invalid(format!("{other:?} is nothing that this page does"))),
    };
    match outcome {
        Err(why @ (Refusal::Invalid(_) | Refusal::Conflict(_) | Refusal::Busy(_))) => {
            let mut fault = why.to_string();
            if form.list.len() > SHOWN_AGAIN_BYTES_MAX {
                form.list = String::new();
                fault.push_str("\nThe list is too long to be shown again; send it once more.");
            }
            let page = with_version(&shared, id, |version| page_of(&user, version, form, fault))?;
            Ok(why.on(html(&page)?))
        }
        other => other,
    }
}

async fn check(shared: &Shared, user: &SignedIn, id: i64, form: &Sent) -> Result<Response, Refusal> {
    if form.list.trim().is_empty() {
        return Err(Refusal::Invalid("there is no fee in the list; paste one, or choose a file".to_owned()));
    }
    let days = match form.days.trim() {
        "" => DAYS,
        text => text.parse().ok().filter(|days| *days <= DAYS_MAX).ok_or_else(|| {
            Refusal::Invalid(format!("days of calls: {text:?} is not a whole number up to {DAYS_MAX}"))
        })?,
    };
    let (profile, valid_from) = with_version(shared, id, |version| {
        Ok::<_, Refusal>((version.profile.id, local_time(version.profile.timezone, &form.valid_from)?))
    })??;
    let list = form.list.as_str().into();
    let wanted = FeesWanted { profile, list, valid_from, keep: form.keep, days, seen: None };
    let proposed = list_compared(shared, wanted.clone()).await?.map_err(of_desk)?;
    let name = random_text(LIST_NAME_LETTERS);
    let wanted = FeesWanted { seen: Some(proposed.base), ..wanted };
    let since = (shared.desk.clock)().mono;
    shared.fee_lists.keep(Kept { name: name.clone(), user: user.name.clone(), page: id, wanted, since });
    let form = Sent {
        valid_from: form.valid_from.clone(),
        keep: form.keep,
        days: days.to_string(),
        ..Sent::default()
    };
    let page = with_version(shared, id, |version| page_of(user, version, form, String::new()))?;
    let begins = match valid_from {
        Some(at) => format!("from {} UTC on", when(at)),
        None => "from when it is applied".to_owned(),
    };
    html(&Page { seen: Some((proposed, name)), begins, ..page })
}

/// What a list would change. One at a time: it takes the memory of both lists, and reads the calls of many days.
pub(crate) async fn list_compared(
    shared: &Shared,
    wanted: FeesWanted,
) -> Result<Result<FeesProposed, FeesRefused>, Refusal> {
    let Ok(turn) = shared.comparisons.clone().try_acquire_owned() else {
        return Err(Refusal::Busy("another list is being compared; try again".to_owned()));
    };
    let proposing = (shared.desk.tariffs.propose)(wanted);
    // It keeps its turn until it ends, also where whoever sent it goes away.
    let done = tokio::spawn(async move {
        let proposed = proposing.await;
        drop(turn);
        proposed
    });
    done.await.map_err(Refusal::failed)
}

async fn apply(shared: &Shared, user: &SignedIn, id: i64, form: &Sent) -> Result<Response, Refusal> {
    let now = (shared.desk.clock)().mono;
    let list = shared.fee_lists.take(&form.kept, &user.name, id, now).ok_or_else(|| {
        Refusal::Conflict("the list is not here any more, or has been applied; send it again".to_owned())
    })?;
    let applied = match (shared.desk.tariffs.apply)(list.wanted.clone(), user.name.clone()).await {
        Ok(applied) => applied,
        Err(why) => {
            // Whoever goes back and tries again need not send it again.
            shared.fee_lists.keep(list);
            return Err(of_desk(why));
        }
    };
    let again = match applied.n_resubmitted {
        0 => String::new(),
        n => format!(" {n} suspended calls waited for a fee and are sent in again."),
    };
    let done = if applied.is_changed {
        format!("{} fees apply from {} UTC.{again}", applied.n_fees, when(applied.valid_from))
    } else {
        "These fees apply already.".to_owned()
    };
    let to = format!("/tariffs/{}?done={}", applied.version.0, escaped(&done));
    Ok(Redirect::to(&to).into_response())
}

fn of_desk(why: FeesRefused) -> Refusal {
    match why {
        FeesRefused::Invalid(why) | FeesRefused::Faults { said: why, .. } => Refusal::Invalid(why),
        FeesRefused::Stale(why) => Refusal::Conflict(why),
        FeesRefused::Failed(why) => Refusal::failed(why),
    }
}

/// What `make` makes of the version of this id.
fn with_version<T>(shared: &Shared, id: i64, make: impl FnOnce(&TariffVersion) -> T) -> Result<T, Refusal> {
    let directory = (shared.desk.directory)();
    let version = directory.tariffs.iter().find(|version| version.id.0 == id);
    let version = version.ok_or_else(|| Refusal::NotFound(format!("there is no tariff version {id}")))?;
    Ok(make(version))
}

fn page_of(user: &SignedIn, version: &TariffVersion, form: Sent, fault: String) -> Page {
    Page {
        frame: Frame::of(user, "/tariffs"),
        id: version.id.0,
        handle: version.profile.handle.clone(),
        timezone: version.profile.timezone.to_string(),
        n_fees: version.fees.len(),
        form,
        fault,
        seen: None,
        begins: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use model::{ProfileId, ProfileVersionId};

    use super::*;

    fn list(name: &str, since: u64) -> Kept {
        let wanted = FeesWanted {
            profile: ProfileId(1),
            list: name.into(),
            valid_from: None,
            keep: false,
            days: 7,
            seen: Some(ProfileVersionId(1)),
        };
        Kept {
            name: name.to_owned(),
            user: "ada".to_owned(),
            page: 1,
            wanted,
            since: Duration::from_secs(since),
        }
    }

    #[test]
    fn list_is_applied_once_by_whoever_sent_it() {
        let (lists, now) = (Lists::default(), Duration::from_secs(60));
        lists.keep(list("one", 0));
        for (name, user, page) in [("one", "bob", 1), ("one", "ada", 2), ("two", "ada", 1)] {
            assert!(lists.take(name, user, page, now).is_none());
        }
        let taken = lists.take("one", "ada", 1, now).unwrap();
        assert_eq!(&*taken.wanted.list, "one");
        assert!(lists.take("one", "ada", 1, now).is_none());
        // It could not be applied.
        lists.keep(taken);
        assert!(lists.take("one", "ada", 1, now).is_some());
    }

    #[test]
    fn few_lists_are_kept_and_none_for_long() {
        let lists = Lists::default();
        for n in 0..=LISTS_KEPT_MAX {
            lists.keep(list(&n.to_string(), 0));
        }
        assert!(lists.take("0", "ada", 1, Duration::ZERO).is_none());
        assert!(lists.take("1", "ada", 1, Duration::ZERO).is_some());
        assert!(lists.take("2", "ada", 1, LIST_AGE_MAX).is_none());
        assert!(lists.kept.lock().unwrap().is_empty(), "the others were as old");
        lists.keep(list("old", 0));
        lists.keep(list("new", LIST_AGE_MAX.as_secs()));
        assert_eq!(lists.kept.lock().unwrap().len(), 1);
    }
}
