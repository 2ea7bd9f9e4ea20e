//! Credit notes and corrected invoices.

use invoicing::{Credited, Invoice};
use model::Account;
use store::InvoiceKind;

use crate::billing::Run;
use crate::billing::calls::Calls;
use crate::billing::seller::Seller;

impl Run<'_> {
    /// Takes back an invoice or a part of it, with the next number of whoever issued it: that the account has another
    /// seller by now changes nothing about who took the money.
    pub(crate) async fn credit(
        &self,
        account: &Account,
        of: &store::Invoice,
        credited: Credited,
        reason: &str,
    ) -> anyhow::Result<store::Invoice> {
        let seller = Seller::that_issued(of, account, self.directory, &self.terms)?;
        let invoice = Invoice::from_json(&of.document)?;
        let draft = invoicing::credit_note(&invoice, credited, reason, self.today(&seller))?;
        let kind = InvoiceKind::CreditNote { of: of.id };
        let (kept, _) = self.number(seller, account, &draft, kind, None).await?;
        self.finish(account, &kept).await?;
        Ok(kept)
    }

    /// Bills again the period of an invoice that was taken back, from what is known now.
    pub(crate) async fn correct(
        &self,
        account: &Account,
        of: &store::Invoice,
        reason: &str,
    ) -> anyhow::Result<store::Invoice> {
        let seller = Seller::that_issued(of, account, self.directory, &self.terms)?;
        let wrong = Invoice::from_json(&of.document)?;
        let documents = self.store.invoices_of(account.id).await?;
        let days = self.days_without_others(account, of, wrong.period, &documents).await?;
        let calls = Calls { days, late: Vec::new() };
        let draft = self.draft(&seller, account, wrong.period, wrong.period, calls).await?;
        let draft = invoicing::corrected(&wrong, draft, reason)?;
        let kind = InvoiceKind::Corrected { of: of.id };
        let (kept, _) = self.number(seller, account, &draft, kind, Some(documents.len())).await?;
        self.finish(account, &kept).await?;
        Ok(kept)
    }
}
