//! What surrounds every page: who is signed in, and where he can go.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use crate::guard::SignedIn;
use crate::refusal::Refusal;
use crate::role::Right;

/// One place of the navigation.
pub(crate) struct Place {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
    /// The page shown belongs here.
    pub(crate) is_current: bool,
}

/// Where each page belongs, and the right that opens it; `None` is for everybody of the house.
const PLACES: [(&str, &str, Option<Right>); 13] = [
    ("/own", "Overview", Some(Right::Own)),
    ("/own/calls", "Calls", Some(Right::Own)),
    ("/", "Live", None),
    ("/calls", "Calls", Some(Right::Calls)),
    ("/accounts", "Accounts", Some(Right::Provisioning)),
    ("/provisioning", "Provisioning", Some(Right::Provisioning)),
    ("/tariffs", "Tariffs", Some(Right::Provisioning)),
    ("/fraud", "Fraud", Some(Right::FraudDesk)),
    ("/invoices", "Billing", Some(Right::Books)),
    ("/files", "Exchange", Some(Right::Files)),
    ("/sql", "SQL", Some(Right::Sql)),
    ("/access", "Access", Some(Right::Users)),
    ("/health", "Health", None),
];

/// The frame of a page.
pub(crate) struct Frame {
    pub(crate) user: String,
    pub(crate) role: &'static str,
    pub(crate) places: Vec<Place>,
    pub(crate) can_search: bool,
    /// What the last form did; shown above the page.
    pub(crate) notice: Option<String>,
}

impl Frame {
    /// For `user`, on the page that belongs to `current`, one of the places' paths.
    pub(crate) fn of(user: &SignedIn, current: &str) -> Self {
        let places = PLACES
            .into_iter()
            .filter(|(_, _, right)| match right {
                Some(right) => user.role.may(*right),
                None => !user.role.is_outside(),
            })
            .map(|(href, label, _)| Place { href, label, is_current: href == current })
            .collect();
        Self {
            user: user.name.clone(),
            role: user.role.as_str(),
            places,
            can_search: user.role.may(Right::Calls),
            notice: None,
        }
    }

    /// With what the last form did.
    pub(crate) fn noting(mut self, notice: Option<String>) -> Self {
        self.notice = notice.filter(|text| !text.is_empty());
        self
    }
}

/// Renders a page.
pub(crate) fn html(page: &impl Template) -> Result<Response, Refusal> {
    Ok(Html(page.render()?).into_response())
}
