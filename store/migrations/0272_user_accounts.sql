-- A user of one account, who is outside the house: a customer, or a reseller with its customers, sees that account alone.
ALTER TABLE users ADD COLUMN account BIGINT;
