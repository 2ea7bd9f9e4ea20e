-- Postings by which a balance fell below what its owner wants to hear of, and that was told: every process that holds calls to balances
-- reads the same postings.
CREATE TABLE balances_told (
    posting BYTES PRIMARY KEY,
    account BIGINT NOT NULL,
    told_at BIGINT NOT NULL
);
