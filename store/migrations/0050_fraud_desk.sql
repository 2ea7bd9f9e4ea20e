-- Limits: whose price, warnings, how a lock ends, and limits of a profile.

ALTER TABLE fraud_limits ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';

CREATE TABLE profile_fraud_limits (
    profile BIGINT NOT NULL REFERENCES billing_profiles (id),
    period TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    lock_level TEXT NOT NULL,
    notify TEXT NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (profile, period)
);

-- One alert for an incident, with its updates, what was found, and what people made of it.

ALTER TABLE alerts ADD COLUMN severity TEXT NOT NULL DEFAULT 'breach';
ALTER TABLE alerts ADD COLUMN n_updates BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN finding TEXT NOT NULL DEFAULT 'null';
ALTER TABLE alerts ADD COLUMN begun_at BIGINT;
ALTER TABLE alerts ADD COLUMN acknowledged_by TEXT;
ALTER TABLE alerts ADD COLUMN acknowledged_at BIGINT;
ALTER TABLE alerts ADD COLUMN verdict TEXT;
ALTER TABLE alerts ADD COLUMN verdict_by TEXT;
ALTER TABLE alerts ADD COLUMN verdict_at BIGINT;

CREATE TABLE alert_notes (
    id IDENTITY_KEY,
    alert BYTES NOT NULL,
    at BIGINT NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX alert_notes_of_alert ON alert_notes (alert, id);
