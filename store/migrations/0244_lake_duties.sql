-- Rows of the lake that nothing may change while somebody else has a right to them, and persons who asked to be forgotten. The number of
-- whoever was forgotten leaves this table too: `said` is what is left of it.
CREATE TABLE lake_holds (
    id IDENTITY_KEY,
    tenant BIGINT,
    account BIGINT,
    number TEXT,
    reason TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    lifted_by TEXT,
    lifted_at BIGINT
);

CREATE TABLE lake_erasures (
    id IDENTITY_KEY,
    tenant BIGINT,
    number TEXT,
    said TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    done_at BIGINT,
    rows_changed BIGINT NOT NULL DEFAULT 0,
    rows_held BIGINT NOT NULL DEFAULT 0,
    proofs TEXT NOT NULL DEFAULT ''
);
