-- Processes of the installation, as they see each other. `beat` counts up while one lives; no clock is compared.
CREATE TABLE processes (
    id TEXT PRIMARY KEY,
    roles TEXT NOT NULL,
    beat BIGINT NOT NULL
);

-- Who works which lane of which stage. A claim raises the epoch; a commit under another owner or epoch is refused.
CREATE TABLE leases (
    name TEXT NOT NULL,
    part BIGINT NOT NULL,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (name, part)
);
