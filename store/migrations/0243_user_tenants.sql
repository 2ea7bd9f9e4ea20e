-- A user of one tenant asks about that tenant's rows alone, over the PostgreSQL protocol.
ALTER TABLE users ADD COLUMN tenant BIGINT;
