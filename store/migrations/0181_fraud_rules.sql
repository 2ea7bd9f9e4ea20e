-- What alerts saved; rules that people saved, in versions; accounts that rules leave alone.

ALTER TABLE alerts ADD COLUMN saved_micros BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN n_stopped BIGINT NOT NULL DEFAULT 0;

CREATE TABLE fraud_rules (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    rule_text TEXT NOT NULL,
    is_on BIGINT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE fraud_exceptions (
    account BIGINT NOT NULL,
    rule TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    until_at BIGINT,
    PRIMARY KEY (account, rule)
);

-- Orders to end the calls of an account that are up.

CREATE TABLE kill_orders (
    id IDENTITY_KEY,
    account BIGINT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
