-- Billing reads the documents of one account at a time.
CREATE INDEX invoices_of_account ON invoices (account, id);
