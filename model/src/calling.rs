//! What the switch alone asks about a party: how it writes numbers, whom it may call, how fast, and how a trunk is spoken to.
//!
//! Provisioned with the object it belongs to (`[tenants.calling]`, `[subscribers.calling]`, ...) and kept beside it, so that the rooms
//! that only bill need not know any of it. An empty value is the usual behaviour throughout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, E164, HostPort, RouteAction, RouteId, SubscriberId, TenantId, TrunkId};

/// The calling rules of everybody, by object; who is missing has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallingRules {
    /// Of platforms.
    pub tenants: BTreeMap<TenantId, TenantCalling>,
    /// Of accounts.
    pub accounts: BTreeMap<AccountId, AccountCalling>,
    /// Of subscribers.
    pub subscribers: BTreeMap<SubscriberId, SubscriberCalling>,
    /// Of trunks.
    pub trunks: BTreeMap<TrunkId, TrunkCalling>,
    /// Of routes.
    pub routes: BTreeMap<RouteId, RouteCalling>,
}

/// Of a tenant: what its parties refer to by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantCalling {
    /// Emergency numbers in canonical form, such as `"112"`. They pass every gate and are never hidden.
    pub emergency: Vec<E164>,
    /// Rewrite rule sets.
    pub rewrite: BTreeMap<String, RewriteSet>,
    /// NCOS levels: what may be dialled.
    pub ncos: BTreeMap<String, NcosLevel>,
    /// User-Agents that are refused with 403, as shell patterns such as `"*scanner*"`.
    pub user_agents_refused: Vec<String>,
}

/// Rules that bring numbers into canonical form when they come in, and out of it when they go out. In each list the first rule
/// that matches wins; when none does, the number stays as it is. Rules made from `country` come after the written ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewriteSet {
    /// Makes the usual rules of a country.
    pub country: Option<CountryDialling>,
    /// Calling numbers that the party sends us.
    pub in_caller: Vec<RewriteRule>,
    /// Called numbers that the party sends us.
    pub in_callee: Vec<RewriteRule>,
    /// Calling numbers that we send the party.
    pub out_caller: Vec<RewriteRule>,
    /// Called numbers that we send the party.
    pub out_callee: Vec<RewriteRule>,
}

/// One rule. `${cc}` and `${ac}` stand for the country and area code of the party that the set belongs to, in the match and in the
/// replacement; in the replacement also `${caller_cc}` and `${caller_ac}` for those of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteRule {
    /// Regular expression of linear time: no look-around, no back-references. Such as `"^0([1-9][0-9]+)$"`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What comes instead of what matched; `\1` is the first group. Such as `"${cc}\1"`.
    pub replace: String,
    /// What it is for.
    #[serde(default)]
    pub note: String,
}

/// How a country dials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountryDialling {
    /// Dialled before a country code, such as `"00"` or `"011"`.
    pub international: String,
    /// Dialled before an area code, such as `"0"`; empty where there is none.
    #[serde(default)]
    pub national: String,
    /// Digits of a national number without any prefix, where such a number is complete by itself: 10 in North America.
    #[serde(default)]
    pub national_digits: Option<u8>,
    /// How numbers are written on their way out.
    #[serde(default)]
    pub out: OutForm,
}

named_enum! {
    /// How numbers are written on their way out.
    OutForm {
        /// Canonical: `43512900100`.
        Canonical = "canonical",
        /// `+43512900100`.
        Plus = "plus",
        /// As dialled in the country: `0512900100`, `0049301234`.
        National = "national",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro of named words derives no Default")]
impl Default for OutForm {
    fn default() -> Self {
        OutForm::Canonical
    }
}

/// What may be dialled, by canonical number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NcosLevel {
    /// Whether the patterns are what is forbidden or what is allowed.
    pub mode: ListMode,
    /// Regular expressions on the canonical number, such as `"^43(900|930)"`.
    pub patterns: Vec<String>,
    /// Regular expressions on the whole canonical number, such as `"43900123456"` or `"4390012.*"`; these numbers pass whatever the
    /// patterns say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

named_enum! {
    /// What a list means.
    ListMode {
        /// What is listed is refused.
        Deny = "deny",
        /// All but what is listed is refused.
        Allow = "allow",
    }
}

/// Numbers that are refused, or all but them, as shell patterns: `*`, `?`, `[0-4]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockList {
    /// What the list means.
    pub mode: ListMode,
    /// Such as `"4390*"`.
    pub numbers: Vec<String>,
}

/// Of an account: what holds for all calls it pays for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountCalling {
    /// NCOS level of the operator; checked before the subscriber's own.
    pub ncos: Option<String>,
    /// Numbers that are not called.
    pub block_out: Option<BlockList>,
    /// New calls a second; `None` is unlimited.
    pub calls_per_second: Option<u32>,
    /// New calls at once after a quiet time; `None`: as many as in a second.
    pub calls_burst: Option<u32>,
    /// Longest call, seconds; `None`: the switch's own limit, which also bounds this one.
    pub call_seconds_max: Option<u32>,
}

named_enum! {
    /// What happens to a calling number that the caller may not use.
    CliPolicy {
        /// The network-provided number takes its place.
        Replace = "replace",
        /// The number is hidden.
        Anonymous = "anonymous",
        /// The call is refused with 403.
        Reject = "reject",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro of named words derives no Default")]
impl Default for CliPolicy {
    fn default() -> Self {
        CliPolicy::Replace
    }
}

named_enum! {
    /// Where a number is read from.
    NumberSource {
        /// Request-URI.
        RequestUri = "request_uri",
        /// From.
        From = "from",
        /// To.
        To = "to",
        /// P-Asserted-Identity; where there is none, From.
        Asserted = "pai",
        /// P-Preferred-Identity; where there is none, From.
        Preferred = "ppi",
        /// Remote-Party-ID; where there is none, From.
        RemoteParty = "rpid",
        /// Diversion; where there is none, the Request-URI or From.
        Diversion = "diversion",
    }
}

/// Of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriberCalling {
    /// Country code, such as `"43"`, for rewrite rules.
    pub country_code: String,
    /// Area code, such as `"512"`, for rewrite rules.
    pub area_code: String,
    /// Rewrite rule set of the tenant.
    pub rewrite: Option<String>,
    /// Where the number that the caller wants shown is read. `None`: it is not read, the network-provided number is shown.
    pub shown_number_from: Option<NumberSource>,
    /// Numbers the caller may show, as shell patterns on the canonical form, besides the numbers it owns.
    pub allowed_clis: Vec<String>,
    /// What happens to one it may not.
    pub cli_policy: CliPolicy,
    /// Hide the number on every call.
    pub hide_cli: bool,
    /// NCOS level.
    pub ncos: Option<String>,
    /// Numbers that are not called.
    pub block_out: Option<BlockList>,
    /// Numbers that may not call.
    pub block_in: Option<BlockList>,
    /// Whether callers who hide their number are refused.
    pub block_anonymous: bool,
    /// Addresses and networks that calls and registrations may come from; empty: all.
    pub allowed_sources: Vec<String>,
    /// New calls a second; `None` is unlimited.
    pub calls_per_second: Option<u32>,
    /// New calls at once after a quiet time; `None`: as many as in a second.
    pub calls_burst: Option<u32>,
    /// Longest call, seconds.
    pub call_seconds_max: Option<u32>,
    /// Whether it is told at the end of its calls what they have cost: it is trusted with its prices.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub advice_of_charge: bool,
    /// Where it is reached without registering, such as `"sip:pbx@192.0.2.7:5060"`.
    pub permanent_contacts: Vec<String>,
    /// Where its calls go instead. In each kind the first enabled one counts.
    pub forwards: Vec<CallForward>,
}

named_enum! {
    /// When a call is forwarded.
    ForwardKind {
        /// Always.
        Always = "cfu",
        /// The callee is busy.
        Busy = "cfb",
        /// Nobody picks up in time.
        NoAnswer = "cft",
        /// Not registered, or out of reach.
        Unreachable = "cfna",
    }
}

/// Where calls go instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallForward {
    /// When.
    pub when: ForwardKind,
    /// The number, as the subscriber would dial it.
    pub to: String,
    /// For `cft`: after so many seconds of ringing.
    #[serde(default = "twenty")]
    pub after_seconds: u32,
    /// In force.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn twenty() -> u32 {
    20
}

const fn yes() -> bool {
    true
}

/// Of a trunk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrunkCalling {
    /// Country code, for rewrite rules.
    pub country_code: String,
    /// Area code, for rewrite rules.
    pub area_code: String,
    /// Rewrite rule set of the tenant.
    pub rewrite: Option<String>,
    /// Where the calling number is read. `None`: P-Asserted-Identity, else From.
    pub caller_from: Option<NumberSource>,
    /// Where the called number is read. `None`: Request-URI.
    pub callee_from: Option<NumberSource>,
    /// Numbers that its calls are for, where several trunks share an address.
    pub numbers: Vec<E164>,
    /// Whether it takes the calls that none of several trunks at one address can be told to own.
    pub default_for_address: bool,
    /// New calls a second from there; `None` is unlimited.
    pub calls_per_second: Option<u32>,
    /// New calls a second to there; a trunk that has no room is skipped.
    pub calls_per_second_out: Option<u32>,
    /// Longest call, seconds.
    pub call_seconds_max: Option<u32>,
    /// Whether it is told at the end of calls from there what they have cost: it is trusted with its prices.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub advice_of_charge: bool,
    /// Name and password at the far end, for its challenges and our registration.
    pub login: Option<TrunkLogin>,
    /// Whether we register there.
    pub register: bool,
    /// Wish for the life of our registration, seconds.
    pub register_seconds: Option<u32>,
    /// Name of the far end in the DNS (RFC 3263): requests go to the servers it leads to, and calls may come from them. `None`, or
    /// while the name cannot be found: the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPort>,
    /// Whether the DNS may choose the transport, too (NAPTR). A trunk by TLS stays with TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub naptr: bool,
    /// Requests go here instead, an address or a name.
    pub outbound_proxy: Option<HostPort>,
    /// It is not offered acknowledged provisional answers (100rel, RFC 3262), which a few peers claim to know and do not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_100rel: bool,
    /// User part of From. `None`: the calling number.
    pub from_user: Option<String>,
    /// Host part of From and of the Request-URI. `None`: our address in From, the trunk's in the Request-URI.
    pub domain: Option<String>,
    /// Send OPTIONS every so many seconds and leave the trunk out while it is down. `None`: not probed.
    pub probe_seconds: Option<u32>,
    /// What an answer code leads to, where the usual table is not right for this carrier, such as `{ 404 = "next" }`.
    pub failover: BTreeMap<u16, RouteAction>,
    /// Codes of this trunk that are told to the caller as another one, such as `{ 603 = 480 }`.
    pub answer_as: BTreeMap<u16, u16>,
    /// Name in its certificate (DNS or address). `None`: the domain, else the address. Only for TLS.
    pub tls_name: Option<String>,
}

/// How we prove who we are at a trunk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkLogin {
    /// Name in digest authentication.
    pub username: String,
    /// Password; needed in the clear to answer challenges.
    pub password: String,
    /// The only realm it is for. `None`: whatever the trunk's challenge names.
    #[serde(default)]
    pub realm: Option<String>,
}

impl std::fmt::Debug for TrunkLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrunkLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteCalling {
    /// Only for called numbers that this regular expression matches.
    pub callee_pattern: Option<String>,
    /// Only for callers whose number, or `user@domain`, this regular expression matches.
    pub caller_pattern: Option<String>,
    /// Whether no further route is looked at once this one matches.
    pub stopper: bool,
    /// Out of use.
    pub disabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_of_a_trunk_is_not_printed() {
        let login = TrunkLogin { username: "u".into(), password: "very-secret".into(), realm: None };
        assert!(!format!("{login:?}").contains("very-secret"));
    }
}
