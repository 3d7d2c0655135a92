-- Merges followed, the standing of each connection's streams and webhooks.

-- The vendor's word that two objects became one; the loser's id is never routed again.
CREATE TABLE merge (
    connection TEXT NOT NULL,
    object     TEXT NOT NULL,
    loser      TEXT NOT NULL,
    winner     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (connection, object, loser)
) STRICT, WITHOUT ROWID;

-- What is wrong with a connection at present; the row goes when it is right again.
CREATE TABLE trouble (
    connection TEXT NOT NULL,
    topic      TEXT NOT NULL, -- what suffers: `contacts/live`, `webhooks`
    since      INTEGER NOT NULL,
    problem    TEXT NOT NULL,
    PRIMARY KEY (connection, topic)
) STRICT, WITHOUT ROWID;

-- The last whole look at a stream: how much was there, and what the steps before it had missed.
CREATE TABLE recount (
    connection TEXT NOT NULL,
    stream     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    missed     INTEGER NOT NULL,
    gone       INTEGER NOT NULL,
    PRIMARY KEY (connection, stream)
) STRICT, WITHOUT ROWID;

-- What came to a connection's webhook address.
CREATE TABLE hook (
    connection TEXT PRIMARY KEY,
    heard_at   INTEGER, -- the last genuine call
    refused    INTEGER NOT NULL, -- calls that were not genuine, ever
    refused_at INTEGER,
    reason     TEXT
) STRICT, WITHOUT ROWID;

-- A person's object at a vendor, from the vendor's id.
CREATE INDEX slot_external ON slot (external_id, connection) WHERE kind = 'person';
CREATE INDEX link_person ON link (person);
