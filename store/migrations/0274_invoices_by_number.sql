-- An invoice is looked for by its number alone, whoever issued it.
CREATE INDEX invoices_by_number ON invoices (number);
