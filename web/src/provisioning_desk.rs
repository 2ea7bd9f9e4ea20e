//! What the console asks of the house about what is provisioned.

use std::pin::Pin;
use std::sync::Arc;

use store::DeskRules;

/// Tells every part of the house that what is provisioned is at this revision now; ready when this process knows it.
pub(crate) type Announce = Arc<dyn Fn(i64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Where a call would go: who calls, by address, number or trunk, and what is dialled.
pub(crate) type TryRoute = Arc<dyn Fn(&str, &str) -> Result<TestedCall, String> + Send + Sync>;

/// What a rewrite rule set of a tenant makes of a number: the set, country code, area code, number. For each crossing its name, the
/// number it becomes, and the rule that did it.
pub(crate) type TryRewrite =
    Arc<dyn Fn(&str, &str, &str, &str) -> Result<Vec<[String; 3]>, String> + Send + Sync>;

/// Changes of what is provisioned, and trying what they come to.
pub struct ProvisioningDesk {
    /// What must hold.
    pub rules: DeskRules,
    /// Makes a change known.
    pub announce: Announce,
    /// Where a call would go.
    pub try_route: TryRoute,
    /// What becomes of a number.
    pub try_rewrite: TryRewrite,
}

/// What would become of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestedCall {
    /// What is found out about it, each by name: the number dialled, billed, shown.
    pub facts: Vec<(&'static str, String)>,
    /// Why it would be refused; empty: it would not.
    pub refusal: String,
    /// Where it would be tried, in order.
    pub routes: Vec<TriedRoute>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriedRoute {
    /// Name of the trunk, or `phone`.
    pub over: String,
    /// The route's prefix, priority and weight; empty for a phone.
    pub route: String,
    /// Where the request goes.
    pub next_hop: String,
    /// What is called there.
    pub uri: String,
    /// The number that calls, as shown there.
    pub from: String,
    /// Why it is skipped; empty: it is not.
    pub skipped: String,
}
