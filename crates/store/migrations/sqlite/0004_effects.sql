-- Owner writes and their check, poison that fails alone, undo.

-- What the hourly budget of an object counts, and what is still to be held against the vendor's history.
CREATE TABLE owner_write (
    effect      TEXT PRIMARY KEY,
    connection  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    external_id TEXT NOT NULL,
    expected    TEXT,
    owner       TEXT,
    at          INTEGER NOT NULL,
    check_at    INTEGER, -- claimed: lapse of the lease
    overwritten TEXT     -- whom it overwrote, in words
) STRICT, WITHOUT ROWID;
CREATE INDEX owner_write_object ON owner_write (connection, kind, external_id, at);
CREATE INDEX owner_write_check ON owner_write (connection, check_at) WHERE check_at IS NOT NULL;
CREATE INDEX owner_write_at ON owner_write (at) WHERE check_at IS NULL AND overwritten IS NULL;

-- How often whoever held the effect died or panicked.
ALTER TABLE effect ADD COLUMN lapses INTEGER NOT NULL DEFAULT 0;

-- Records whose preparation has died before: taken one by one, so that they take no neighbour with them.
CREATE INDEX record_again ON record (attempts, due_at) WHERE state = 'fetched' AND attempts > 0;

CREATE INDEX turn_decision ON turn (decision);

-- When we sent the create that made the object, where its first try was answered: it had no owner then.
ALTER TABLE slot ADD COLUMN made_at INTEGER;

-- A digest of what the mapping last read of the object: a version that brings nothing new opens nothing.
ALTER TABLE link ADD COLUMN seen TEXT;

-- Undo looks for what was decided in a span of time.
ALTER TABLE decision ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE decision SET at = coalesce((SELECT opened_at FROM lead WHERE lead.id = decision.lead), 0);
CREATE INDEX decision_at ON decision (at);
