-- What people did at the CRM to what leads hang on, and who touched each lead first.

-- An event counts for every lead that it is about.
CREATE TABLE happening (
    lead       TEXT NOT NULL,
    connection TEXT NOT NULL,
    event      TEXT NOT NULL, -- the connection's name of it
    at         INTEGER NOT NULL,
    stored_at  INTEGER NOT NULL,
    outcome    TEXT CHECK (outcome IN ('won', 'lost', 'disqualified', 'reopened')),
    body       TEXT NOT NULL, -- json
    PRIMARY KEY (lead, connection, event)
) STRICT, WITHOUT ROWID;

-- Moves back when an earlier touch is entered late.
CREATE TABLE first_touch (
    lead       TEXT PRIMARY KEY,
    arrived_at INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    how        TEXT NOT NULL,
    owner      TEXT -- the CRM's id of who touched it
) STRICT, WITHOUT ROWID;

-- How objects that leads hang on looked when last seen.
CREATE TABLE sight (
    connection  TEXT NOT NULL,
    object      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    owner       TEXT,
    print       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (connection, object, external_id)
) STRICT, WITHOUT ROWID;
