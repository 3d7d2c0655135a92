-- Owner writes and their check, poison that fails alone, undo, as migrations/sqlite has them.

CREATE TABLE owner_write (
    effect      TEXT PRIMARY KEY,
    connection  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    external_id TEXT NOT NULL,
    expected    TEXT,
    owner       TEXT,
    at          BIGINT NOT NULL,
    check_at    BIGINT, -- claimed: lapse of the lease
    overwritten TEXT    -- whom it overwrote, in words
);
CREATE INDEX owner_write_object ON owner_write (connection, kind, external_id, at);
CREATE INDEX owner_write_check ON owner_write (connection, check_at) WHERE check_at IS NOT NULL;
CREATE INDEX owner_write_at ON owner_write (at) WHERE check_at IS NULL AND overwritten IS NULL;

ALTER TABLE effect ADD COLUMN lapses BIGINT NOT NULL DEFAULT 0;
CREATE INDEX record_again ON record (attempts, due_at) WHERE state = 'fetched' AND attempts > 0;
CREATE INDEX turn_decision ON turn (decision);
ALTER TABLE slot ADD COLUMN made_at BIGINT;
ALTER TABLE link ADD COLUMN seen TEXT;
ALTER TABLE decision ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
UPDATE decision d SET at = l.opened_at FROM lead l WHERE l.id = d.lead;
CREATE INDEX decision_at ON decision (at);
