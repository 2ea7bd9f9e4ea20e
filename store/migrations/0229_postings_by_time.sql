-- Ids of postings say nothing of when, so their rows lay anywhere in an index of ids, and the larger a ledger, the more of its pages each
-- commit wrote. What a call costs is held to one row by its time and id: beside each other, where the last ones went. What no call
-- caused is still held to one row by its id alone: of a payment that is sent in twice, the second may say another time.
CREATE TABLE postings_by_time (
    id BYTES NOT NULL,
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    at BIGINT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    cdr BYTES,
    reverses BYTES
);
INSERT INTO postings_by_time
    SELECT id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses FROM postings ORDER BY at, id;
DROP TABLE postings;
ALTER TABLE postings_by_time RENAME TO postings;
CREATE UNIQUE INDEX postings_once ON postings (at, id);
CREATE UNIQUE INDEX postings_once_without_call ON postings (id) WHERE cdr IS NULL;
CREATE INDEX postings_of_account ON postings (account, at);
