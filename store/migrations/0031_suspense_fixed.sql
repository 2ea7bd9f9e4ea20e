-- When somebody last changed a suspended record: one that was changed may tell its stage something new.

ALTER TABLE suspense ADD COLUMN fixed_at BIGINT;
