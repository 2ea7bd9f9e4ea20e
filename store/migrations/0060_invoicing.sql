-- Billing terms of tenants and accounts, credit notes and corrected invoices, states in the words of the trade.

-- `owner` is `tenant:ID` or `account:ID`; `terms` is JSON of `model::BillingTerms`.
CREATE TABLE billing_terms (
    owner TEXT PRIMARY KEY,
    terms TEXT NOT NULL,
    revision BIGINT NOT NULL
);

-- The invoice that a credit note takes back, or a corrected invoice replaces. NULL for an invoice.
ALTER TABLE invoices ADD COLUMN corrects BIGINT;
CREATE INDEX invoices_corrected ON invoices (corrects) WHERE corrects IS NOT NULL;
CREATE UNIQUE INDEX invoices_corrected_once ON invoices (corrects) WHERE kind = 'corrected';
-- When its sum came in, as noted by hand or by the API.
ALTER TABLE invoices ADD COLUMN paid_at BIGINT;

UPDATE invoices SET state = 'final' WHERE state = 'issued';
UPDATE invoices SET state = 'void' WHERE state = 'cancelled';

-- The files of a tenant's own invoice template, checked before they got here. No rows: the template of the program.
CREATE TABLE invoice_templates (
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    content BYTES NOT NULL,
    PRIMARY KEY (tenant, name)
);
