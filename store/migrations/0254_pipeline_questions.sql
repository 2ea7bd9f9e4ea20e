-- Commands ask a running house whether all records made until now have come through; it answers here.
CREATE TABLE pipeline_questions (
    id IDENTITY_KEY,
    asked_at BIGINT NOT NULL,
    -- A running house has begun to look.
    seen_at BIGINT,
    answered_at BIGINT,
    -- What was still on its way when it was answered; empty: nothing.
    waiting TEXT NOT NULL DEFAULT ''
);
