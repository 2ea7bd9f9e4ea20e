-- Prices by what an account uses in an interval, as JSON; null: every call has the price of its fee.
ALTER TABLE profile_versions ADD COLUMN interval_price TEXT NOT NULL DEFAULT 'null';
