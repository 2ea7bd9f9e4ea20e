-- Addresses and networks that people shut out of the switch.

CREATE TABLE source_bans (
    network TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    since BIGINT NOT NULL,
    until_at BIGINT
);
