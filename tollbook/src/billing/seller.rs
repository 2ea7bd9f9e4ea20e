//! Who issues the invoice of an account, and under which numbers.

use anyhow::Context;
use model::{Account, AccountId, AccountKind, BillingTerms, Contact, Directory, Tenant};
use store::TermsBook;

/// Letters of a reseller's handle in its invoice numbers: a number has forty at most.
const PREFIX_MAX: usize = 20;

/// In front of the number of every invoice that a tenant itself issues, with a dash.
const TENANT_PREFIX: &str = "INV";

/// Who issues the invoice of an account: the reseller above it, or the tenant.
#[derive(Debug)]
pub(super) struct Seller {
    /// The tenant, with the letterhead and the zone of whoever sells.
    pub(super) issuer: Tenant,
    /// Id and handle, if a reseller sells.
    pub(super) reseller: Option<(AccountId, String)>,
    /// What it agreed to as a seller.
    pub(super) terms: BillingTerms,
    /// In front of its numbers.
    pub(super) prefix: String,
}

impl Seller {
    pub(super) fn of(account: &Account, directory: &Directory, book: &TermsBook) -> anyhow::Result<Self> {
        let mut issuer = tenant_of(account, directory)?.clone();
        let Some(id) = account.reseller else {
            let terms = book.tenant(issuer.id);
            return Ok(Self { issuer, reseller: None, terms, prefix: format!("{TENANT_PREFIX}-") });
        };
        let reseller =
            directory.accounts.iter().find(|reseller| reseller.id == id).with_context(|| {
                format!("account {} is below account {id}, which is gone", account.handle)
            })?;
        issuer.contact.clone_from(&reseller.contact);
        issuer.timezone = reseller.timezone;
        Ok(Self {
            issuer,
            reseller: Some((id, reseller.handle.clone())),
            terms: book.account(id),
            prefix: prefix_of(reseller, directory),
        })
    }

    /// Whoever issued `of`, with the letterhead and the terms of today, and the prefix of its number then.
    pub(super) fn that_issued(
        of: &store::Invoice,
        account: &Account,
        directory: &Directory,
        book: &TermsBook,
    ) -> anyhow::Result<Self> {
        let issuer = Account { tenant: of.tenant, reseller: of.seller, ..account.clone() };
        let seller = Self::of(&issuer, directory, book)?;
        Ok(match prefix_in(&of.number) {
            Some(prefix) => Self { prefix: prefix.to_owned(), ..seller },
            None => seller,
        })
    }

    /// Why it cannot issue an invoice yet.
    pub(super) fn hold(&self) -> Option<String> {
        let (_, handle) = self.reseller.as_ref()?;
        let Contact { name, address, .. } = &self.issuer.contact;
        let needed = [
            ("name", name),
            ("street", &address.street),
            ("city", &address.city),
            ("country", &address.country),
        ];
        let missing: Vec<_> =
            needed.into_iter().filter(|(_, value)| value.trim().is_empty()).map(|(what, _)| what).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "its reseller {handle} issues the invoice; add {} to the contact of {handle} and import it",
                missing.join(", ")
            )
        })
    }
}

/// What stands in front of year and sequence: `ALPINE-` of `ALPINE-2026-000001`.
fn prefix_in(number: &str) -> Option<&str> {
    let (rest, _) = number.rsplit_once('-')?;
    let year = rest.rfind('-')? + 1;
    number.get(..year)
}

/// In front of a reseller's invoice numbers: its handle in capitals. No other seller of the tenant has the same, because handles
/// have no dot; and it stays the same for ever, because ids only grow.
fn prefix_of(reseller: &Account, directory: &Directory) -> String {
    let name = reseller.handle.to_ascii_uppercase();
    let is_taken = name == TENANT_PREFIX
        || directory.accounts.iter().any(|other| {
            other.tenant == reseller.tenant
                && other.kind == AccountKind::Reseller
                && other.id.0 < reseller.id.0
                && other.handle.eq_ignore_ascii_case(&name)
        });
    if is_taken || name.len() > PREFIX_MAX {
        let begin: String = name.chars().take(PREFIX_MAX / 2).collect();
        format!("{begin}.{}-", reseller.id.0)
    } else {
        format!("{name}-")
    }
}

fn tenant_of<'a>(account: &Account, directory: &'a Directory) -> anyhow::Result<&'a Tenant> {
    let tenants = &directory.tenants;
    tenants
        .iter()
        .find(|tenant| tenant.id == account.tenant)
        .with_context(|| format!("account {} belongs to no tenant", account.handle))
}
