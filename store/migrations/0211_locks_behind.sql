-- Locks of rules and of packages that are not in force, because another one is: the strongest comes back when that one ends.
ALTER TABLE locks ADD COLUMN behind TEXT NOT NULL DEFAULT '[]';
