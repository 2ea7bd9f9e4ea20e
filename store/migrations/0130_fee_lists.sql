-- The fees of a tariff version, all of them in one value: a list of hundreds of thousands is written and read as one, and never in
-- part. Versions from before have theirs in fees, a row each, and keep them there. How the value is made is told in
-- store/src/fee_list.rs; its fees have the ids from first_fee on.
CREATE TABLE fee_lists (
    version BIGINT PRIMARY KEY REFERENCES profile_versions (id),
    first_fee BIGINT NOT NULL,
    n_fees BIGINT NOT NULL,
    digest TEXT NOT NULL,
    packed BYTES NOT NULL
);
