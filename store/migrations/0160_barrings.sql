-- Ranges of numbers that somebody may not call, or only so often. Account 0 is everybody of the tenant, the empty range every number.

CREATE TABLE barrings (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    number_range TEXT NOT NULL,
    calls_per_minute BIGINT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    alert BYTES,
    since BIGINT NOT NULL,
    until_at BIGINT,
    PRIMARY KEY (tenant, account, number_range)
);
