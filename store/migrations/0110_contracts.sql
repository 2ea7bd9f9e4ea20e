-- Profile packages; what one says is JSON of the shared data model.
CREATE TABLE packages (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    handle TEXT NOT NULL,
    package TEXT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, handle)
);

-- Accounts whose balance is kept.
CREATE TABLE contracts (
    account BIGINT PRIMARY KEY REFERENCES accounts (id),
    created_at BIGINT NOT NULL,
    terms TEXT NOT NULL,
    revision BIGINT NOT NULL
);

-- Every attempt to top up, good or bad. One that was good is sent to rating by its number, once.
CREATE TABLE topups (
    id IDENTITY_KEY,
    account BIGINT NOT NULL REFERENCES accounts (id),
    token TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    message TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    currency TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    is_waiting BIGINT NOT NULL
);
CREATE UNIQUE INDEX topups_once ON topups (account, token) WHERE outcome = 'done';
CREATE INDEX topups_waiting ON topups (id) WHERE is_waiting = 1;
CREATE INDEX topups_of_account ON topups (account, at);

-- Only hashes of codes are kept.
CREATE TABLE vouchers (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    code_hash TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    currency TEXT NOT NULL,
    valid_until BIGINT NOT NULL,
    account BIGINT REFERENCES accounts (id),
    created_at BIGINT NOT NULL,
    used_by BIGINT REFERENCES accounts (id),
    used_at BIGINT,
    UNIQUE (tenant, code_hash)
);
