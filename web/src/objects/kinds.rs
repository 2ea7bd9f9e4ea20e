//! The table of everything that can be provisioned at the desk.

use store::ObjectKind;

use super::table::FieldKind::{self, Amount, Count, Flag, List, Object, Secret, Text, Texts, Time, Word};
use super::table::{Field, Resource};
use crate::role::Right;

const fn field(path: &'static str, kind: FieldKind, label: &'static str, about: &'static str) -> Field {
    Field { path, kind, label, about, is_needed: false }
}

const fn needed(path: &'static str, kind: FieldKind, label: &'static str, about: &'static str) -> Field {
    Field { path, kind, label, about, is_needed: true }
}

const TENANT: Field =
    field("tenant", Text, "Tenant", "Handle of its tenant; may be left out where there is one alone.");
const CALLS_MAX: Field =
    field("calls_max", Count, "Calls at once", "Left out: without limit; 0: none at all.");
const CALLING: Field = field(
    "calling",
    Object,
    "Rules of the switch",
    "Rewriting, permissions, forwards and limits of calls, as docs/calling.md explains them.",
);

macro_rules! contact {
    ($($more:expr),* $(,)?) => {
        &[
            $($more,)*
            field("contact.name", Text, "Name", "As printed on invoices."),
            field("contact.street", Text, "Street", "Street and number."),
            field("contact.postcode", Text, "Postcode", "Postal code."),
            field("contact.city", Text, "City", "City."),
            field("contact.country", Text, "Country", "Two letters, such as AT."),
            field("contact.email", Text, "E-mail", "Where invoices and notices go; empty sends none."),
            field("contact.vat_id", Text, "VAT ID", "VAT identification number."),
            field("contact.registration", Text, "Registration", "Number in the register of companies."),
            field("contact.iban", Text, "IBAN", "Bank account."),
        ]
    };
}

/// Everything that can be provisioned at the desk.
pub(crate) static RESOURCES: &[Resource] = &[
    Resource {
        kind: ObjectKind::Tenant,
        path: "tenants",
        title: "Tenants",
        one: "tenant",
        about: "operators and brands: issuers of invoices, with rewrite sets and permission levels of their parties",
        change: Right::ChangeProvisioning,
        columns: &["handle", "contact.name", "currency", "timezone"],
        fields: contact![
            needed("handle", Text, "Handle", "Letters, digits, - and _."),
            field("currency", Text, "Currency", "Of its books, such as EUR. Left out: EUR."),
            field("timezone", Text, "Time zone", "IANA zone of its periods. Left out: UTC."),
            CALLING,
        ],
    },
    Resource {
        kind: ObjectKind::Account,
        path: "accounts",
        title: "Accounts",
        one: "account",
        about: "who pays for calls and who is paid: customers, resellers, carriers",
        change: Right::ChangeProvisioning,
        columns: &["handle", "contact.name", "kind", "reseller", "status"],
        fields: contact![
            TENANT,
            needed("handle", Text, "Handle", "Letters, digits, - and _."),
            field(
                "kind",
                Word(&["customer", "reseller", "carrier"]),
                "Kind",
                "Left out: customer. It never changes."
            ),
            field("reseller", Text, "Reseller", "Handle of the reseller above it."),
            field("status", Word(&["active", "suspended", "terminated"]), "Status", "Left out: active."),
            field(
                "profile",
                Text,
                "Tariff from now on",
                "Handle of a billing profile: it prices the calls from now on."
            ),
            field("valid_from", Time, "Tariff from", "Since when the profile beside it counts."),
            field(
                "profiles",
                List,
                "Schedule of tariffs",
                "Each with profile, from, to and network. What has priced calls stays; its end may be set.",
            ),
            field("currency", Text, "Currency", "Left out: the tenant's."),
            field(
                "timezone",
                Text,
                "Time zone",
                "IANA zone of its days, months and invoices. Left out: the tenant's."
            ),
            field("vat_percent", Amount, "VAT, percent", "On its invoices. Left out: 0."),
            CALLS_MAX,
            field(
                "fraud",
                Object,
                "Spend limits",
                "daily and interval, each with amount, lock and notify; left out: those of its profile.",
            ),
            CALLING,
        ],
    },
    Resource {
        kind: ObjectKind::Subscriber,
        path: "subscribers",
        title: "Subscribers",
        one: "subscriber",
        about: "SIP identities: phones and switchboards of customers, with their numbers",
        change: Right::ChangeProvisioning,
        columns: &["username", "domain", "account", "cli", "numbers"],
        fields: &[
            TENANT,
            needed("account", Text, "Account", "Handle of the customer who pays."),
            needed(
                "username",
                Text,
                "User name",
                "User part of its address, and its name in authentication.",
            ),
            needed("domain", Text, "Domain", "Host part of its address, and the realm."),
            field("password", Secret, "Password", "Eight characters at least; only hashes of it are kept."),
            field("ha1_md5", Secret, "HA1, MD5", "In place of the password, with the other one (RFC 8760)."),
            field("ha1_sha256", Secret, "HA1, SHA-256", "In place of the password, with the other one."),
            field(
                "numbers",
                Texts,
                "Numbers",
                "All it owns, E.164 digits: one that is left out is taken away.",
            ),
            field("cli", Text, "Calls as", "Number that its calls bear, E.164 digits."),
            CALLS_MAX,
            field("uuid", Text, "UUID", "Its key in files for partners. Left out: made from its address."),
            field(
                "profile",
                Text,
                "Product",
                "Which of the operator's products it is; partners are told by EDRs.",
            ),
            CALLING,
        ],
    },
    Resource {
        kind: ObjectKind::Trunk,
        path: "trunks",
        title: "Trunks",
        one: "trunk",
        about: "peers known by their address: carriers' switches",
        change: Right::ChangeProvisioning,
        columns: &["name", "account", "address", "transport", "calls_max", "enabled"],
        fields: &[
            TENANT,
            needed("account", Text, "Account", "Handle of the carrier."),
            needed("name", Text, "Name", "Letters, digits, - and _."),
            needed(
                "address",
                Text,
                "Address",
                "Address and port that calls go to, and may come from, such as 192.0.2.7:5060.",
            ),
            field("transport", Word(&["udp", "tcp", "tls"]), "Transport", "Left out: udp."),
            field(
                "sources",
                Texts,
                "Further sources",
                "Networks that calls may come from, such as 192.0.2.0/28.",
            ),
            field("tech_prefix", Text, "Technical prefix", "Put in front of the number called."),
            CALLS_MAX,
            field("enabled", Flag, "In use", "Left out: yes."),
            CALLING,
        ],
    },
    Resource {
        kind: ObjectKind::Route,
        path: "routes",
        title: "Routing",
        one: "route",
        about: "rows of the routing table: longest prefix first, then priority, then weight",
        change: Right::ChangeProvisioning,
        columns: &["prefix", "trunk", "priority", "weight"],
        fields: &[
            field("prefix", Text, "Prefix", "Digits of the number called; empty matches all."),
            needed("trunk", Text, "Trunk", "Name of the trunk."),
            field("priority", Count, "Priority", "1 is tried first. Left out: 1."),
            field("weight", Count, "Weight", "Share among equals. Left out: 1."),
            CALLING,
        ],
    },
    Resource {
        kind: ObjectKind::Network,
        path: "networks",
        title: "Networks",
        one: "network",
        about: "networks that billing profiles may be bound to",
        change: Right::ChangeProvisioning,
        columns: &["name", "blocks"],
        fields: &[
            TENANT,
            needed("name", Text, "Name", "Letters, digits, - and _."),
            needed("blocks", Texts, "Blocks", "Address and prefix length, such as 192.0.2.0/24."),
        ],
    },
    Resource {
        kind: ObjectKind::ExchangeRate,
        path: "exchange-rates",
        title: "Exchange rates",
        one: "exchange rate",
        about: "what one unit of a currency is worth in another",
        change: Right::ChangeTerms,
        columns: &["from", "to", "valid_from", "rate"],
        fields: &[
            TENANT,
            needed("from", Text, "From", "One unit of this currency."),
            needed("to", Text, "To", "In units of that one."),
            needed("rate", Amount, "Rate", "Above 0."),
            needed("valid_from", Time, "Valid from", "For calls that start at or after this."),
        ],
    },
    Resource {
        kind: ObjectKind::Package,
        path: "packages",
        title: "Packages",
        one: "package",
        about: "profile packages: how balances are renewed, carried over, topped up and guarded",
        change: Right::ChangeTerms,
        columns: &["package.handle", "package.start", "package.carry_over"],
        fields: &[
            TENANT,
            needed(
                "package",
                Object,
                "Package",
                "handle, interval, start, carry_over and more, as docs/balances.md explains them.",
            ),
            field(
                "initial_profiles",
                List,
                "First profiles",
                "Of an account from the day on which it gets the package: each with profile and network.",
            ),
            field("underrun_profiles", Object, "Profiles after an underrun", "below and then."),
            field("topup_profiles", List, "Profiles after a top-up", "Each with profile and network."),
        ],
    },
    Resource {
        kind: ObjectKind::Contract,
        path: "contracts",
        title: "Contracts",
        one: "contract",
        about: "what was agreed with an account about its balance",
        change: Right::ChangeTerms,
        columns: &["account", "package", "credit_limit"],
        fields: &[
            TENANT,
            needed("account", Text, "Account", "Handle of the account."),
            field("package", Text, "Package", "Handle of its package; empty: none."),
            field(
                "credit_limit",
                Amount,
                "Credit limit",
                "How far below 0 a balance may go, or how much may be owed.",
            ),
            field("low_balance", Object, "Little left", "below and notify: who is told when."),
        ],
    },
    Resource {
        kind: ObjectKind::BillingTerms,
        path: "billing-terms",
        title: "Billing terms",
        one: "billing terms",
        about: "what a party agreed to about invoices; deleted, they go back to the usual ones",
        change: Right::ChangeTerms,
        columns: &["account"],
        fields: &[
            TENANT,
            field(
                "account",
                Text,
                "Account",
                "Handle of the account; empty: the tenant itself, as a seller.",
            ),
            needed(
                "terms",
                Object,
                "Terms",
                "cycle, language, einvoice, payment_days, fees and more, as invoicing/README.md explains them.",
            ),
        ],
    },
    Resource {
        kind: ObjectKind::ProfileLimits,
        path: "profile-limits",
        title: "Limits of profiles",
        one: "limits of a profile",
        about: "spend limits of every account that a profile prices and that has none of its own",
        change: Right::ChangeTerms,
        columns: &["profile"],
        fields: &[
            TENANT,
            needed("profile", Text, "Profile", "Handle of the profile."),
            field("daily", Object, "Of a day", "amount, lock, notify and more."),
            field("interval", Object, "Of a month", "amount, lock, notify and more."),
        ],
    },
];
