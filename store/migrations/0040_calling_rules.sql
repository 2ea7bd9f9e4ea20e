-- What the switch alone asks about an object: one JSON document an object, read as a whole with every snapshot. Its form is
-- model::calling. An object without rules has no row.
CREATE TABLE calling_rules (
    kind TEXT NOT NULL,
    object BIGINT NOT NULL,
    rules TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, object)
);
