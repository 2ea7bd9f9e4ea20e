-- What a price depends on beyond rates: terms of a version and of a fee, schedules of profiles by network, what currencies are worth, and
-- who serves a ported number.

ALTER TABLE profile_versions ADD COLUMN compat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE profile_versions ADD COLUMN interval_unit TEXT NOT NULL DEFAULT 'month';
ALTER TABLE profile_versions ADD COLUMN interval_count BIGINT NOT NULL DEFAULT 1;

ALTER TABLE fees ADD COLUMN failed_attempt_fee TEXT NOT NULL DEFAULT '0';
-- Free time and extra rates, on-peak then off-peak, as JSON; empty when there are none.
ALTER TABLE fees ADD COLUMN peak_options TEXT NOT NULL DEFAULT '';

ALTER TABLE profile_mappings ADD COLUMN valid_to BIGINT;

CREATE TABLE networks (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    blocks TEXT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE network_mappings (
    account BIGINT NOT NULL REFERENCES accounts (id),
    network BIGINT NOT NULL REFERENCES networks (id),
    valid_from BIGINT NOT NULL,
    valid_to BIGINT,
    profile BIGINT NOT NULL REFERENCES billing_profiles (id),
    revision BIGINT NOT NULL,
    PRIMARY KEY (account, network, valid_from)
);

CREATE TABLE exchange_rates (
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    from_currency TEXT NOT NULL,
    to_currency TEXT NOT NULL,
    valid_from BIGINT NOT NULL,
    rate TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, from_currency, to_currency, valid_from)
);

CREATE TABLE ported_numbers (
    id IDENTITY_KEY,
    number TEXT NOT NULL,
    carrier TEXT NOT NULL,
    number_type TEXT NOT NULL,
    valid_from BIGINT,
    valid_to BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX ported_numbers_by_number ON ported_numbers (number);
