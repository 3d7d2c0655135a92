-- The first schema. Ids are 32 hexadecimal digits, times are UTC milliseconds, `json` columns hold serde shapes.
-- Every queue has a partial index of its own, so that a row costs an index entry only while it stands in that queue.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connection (
    name        TEXT PRIMARY KEY,
    started_at  INTEGER NOT NULL,
    held_at     INTEGER,
    held_reason TEXT,
    released_at INTEGER,
    CHECK ((held_at IS NULL) = (held_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    connection TEXT NOT NULL,
    stream     TEXT NOT NULL,
    value      TEXT NOT NULL, -- json, opaque
    moved_at   INTEGER NOT NULL,
    PRIMARY KEY (connection, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    split_at    INTEGER,
    body        BLOB NOT NULL
) STRICT;
CREATE INDEX delivery_waiting ON delivery (seq) WHERE split_at IS NULL;

-- hinted_at grows with every hint for the object, so that a hint renewed after it was read is never taken for the one
-- that was read.
CREATE TABLE hint (
    connection  TEXT NOT NULL,
    object      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    first_at    INTEGER NOT NULL,
    hinted_at   INTEGER NOT NULL,
    PRIMARY KEY (connection, object, external_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX hint_oldest ON hint (connection, first_at);

-- Narrow on purpose: a record changes state three times, and its payload is written once.
CREATE TABLE record (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    object      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    revision    TEXT NOT NULL,
    lane        INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 2), -- live, sweep, backfill
    created_at  INTEGER,
    modified_at INTEGER,
    imported    INTEGER NOT NULL,
    gone        INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('fetched', 'mapped', 'opened', 'updated', 'ignored', 'failed')),
    due_at      INTEGER NOT NULL, -- fetched: lapse of the lease or next try; mapped: ready from then on
    attempts    INTEGER NOT NULL DEFAULT 0,
    reason      TEXT,
    detail      TEXT,
    lead        TEXT,
    ended_at    INTEGER,
    UNIQUE (connection, object, external_id, revision),
    CHECK ((state = 'ignored') = (reason IS NOT NULL))
) STRICT;
CREATE INDEX record_fetched ON record (lane, received_at, seq, due_at) WHERE state = 'fetched';
CREATE INDEX record_mapped ON record (lane, received_at, seq, due_at, connection) WHERE state = 'mapped';
CREATE INDEX record_opened ON record (lead) WHERE state = 'opened';
CREATE INDEX record_updated ON record (lead) WHERE state = 'updated';
CREATE INDEX record_ignored ON record (reason) WHERE state = 'ignored';
CREATE INDEX record_failed ON record (ended_at) WHERE state = 'failed';

CREATE TABLE payload (
    record INTEGER PRIMARY KEY,
    body   TEXT NOT NULL -- json, as the connector documents it
) STRICT;

CREATE TABLE draft (
    record INTEGER PRIMARY KEY,
    body   TEXT NOT NULL -- json
) STRICT;

CREATE TABLE person (
    id         TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One weak key (a shared phone, an info@ inbox) may belong to several persons.
CREATE TABLE identity_key (
    kind   TEXT NOT NULL,
    value  TEXT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (kind, value, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_key_person ON identity_key (person);

CREATE TABLE link (
    connection  TEXT NOT NULL,
    object      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    person      TEXT NOT NULL,
    enrolled    INTEGER NOT NULL,
    ours        INTEGER NOT NULL,
    PRIMARY KEY (connection, object, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE lead (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    person       TEXT NOT NULL,
    account      TEXT,
    state        TEXT NOT NULL CHECK (state IN ('decided', 'waiting', 'closed')),
    close_reason TEXT CHECK (close_reason IN ('written', 'merged', 'suppressed', 'failed')),
    detail       TEXT,
    mode         TEXT NOT NULL CHECK (mode IN ('observe', 'live')),
    connection   TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    opened_at    INTEGER NOT NULL,
    closed_at    INTEGER,
    episode      TEXT, -- the last one
    wait         TEXT, -- json
    wait_until   INTEGER,
    crm_owner    TEXT,
    incumbent    TEXT,
    incumbent_at INTEGER,
    name         TEXT NOT NULL, -- what the person is called, by which weak keys are checked
    fields       TEXT NOT NULL, -- json
    CHECK ((state = 'closed') = (close_reason IS NOT NULL)),
    CHECK ((state = 'waiting') = (wait_until IS NOT NULL))
) STRICT;
CREATE INDEX lead_person ON lead (person, opened_at);
CREATE INDEX lead_opened ON lead (opened_at, connection);
CREATE INDEX lead_decided ON lead (mode) WHERE state = 'decided';
CREATE INDEX lead_waiting ON lead (wait_until, seq, connection) WHERE state = 'waiting';
CREATE INDEX lead_closed ON lead (close_reason) WHERE state = 'closed';

CREATE TABLE decision (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    lead    TEXT NOT NULL,
    path    TEXT NOT NULL,
    rep     TEXT,
    owner   TEXT,
    body    TEXT NOT NULL -- json, the whole decision
) STRICT;
CREATE INDEX decision_lead ON decision (lead);

CREATE TABLE turn (
    seq      INTEGER PRIMARY KEY,
    pool     TEXT NOT NULL,
    mode     TEXT NOT NULL CHECK (mode IN ('observe', 'live')),
    decision TEXT NOT NULL,
    at       INTEGER NOT NULL,
    rep      TEXT NOT NULL,
    count    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    shares   TEXT NOT NULL -- json, rep to share
) STRICT;

-- A cache of the sums over `turn`; the suite checks it against the lines.
CREATE TABLE balance (
    mode     TEXT NOT NULL,
    pool     TEXT NOT NULL,
    rep      TEXT NOT NULL,
    entitled REAL NOT NULL,
    taken    REAL NOT NULL,
    PRIMARY KEY (mode, pool, rep)
) STRICT, WITHOUT ROWID;

-- Only bound slots have a row. The name is `kind/of/connection`.
CREATE TABLE slot (
    name        TEXT PRIMARY KEY,
    connection  TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('person', 'company', 'task', 'owner')),
    of          TEXT NOT NULL,
    external_id TEXT NOT NULL,
    origin      TEXT NOT NULL CHECK (origin IN ('found', 'created')),
    object      TEXT,
    bound_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every further vendor id that arrived for a bound slot: it is ours or known, so it is kept, but nothing is sent to it.
CREATE TABLE slot_other (
    name        TEXT NOT NULL,
    external_id TEXT NOT NULL,
    origin      TEXT NOT NULL,
    effect      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (name, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE effect (
    seq         INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    kind        TEXT NOT NULL,
    lead        TEXT NOT NULL,
    episode     TEXT NOT NULL,
    ordinal     INTEGER NOT NULL,
    binds       TEXT, -- the slot that success binds
    state       TEXT NOT NULL CHECK (state IN
                    ('blocked', 'planned', 'sending', 'unknown', 'done', 'rejected', 'parked', 'cancelled')),
    cancelled   TEXT CHECK (cancelled IN ('observe', 'superseded', 'suppressed', 'vendor', 'refused')),
    due_at      INTEGER NOT NULL, -- planned: send from then on; unknown: look from then on
    lease_until INTEGER,
    attempts    INTEGER NOT NULL DEFAULT 0, -- claims so far: the fence
    verified    INTEGER NOT NULL DEFAULT 0,
    sent_before INTEGER, -- when it was handed out before the present claim
    sent_at     INTEGER,
    planned_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    problem     TEXT,
    external_id TEXT,
    body        TEXT NOT NULL, -- json
    CHECK ((state = 'cancelled') = (cancelled IS NOT NULL)),
    CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('done', 'rejected', 'parked', 'cancelled')) = (ended_at IS NOT NULL))
) STRICT;
CREATE INDEX effect_lead ON effect (lead);
CREATE INDEX effect_binds ON effect (binds) WHERE binds IS NOT NULL;
CREATE INDEX effect_blocked ON effect (seq) WHERE state = 'blocked';
CREATE INDEX effect_planned ON effect (connection, kind, due_at, seq) WHERE state = 'planned';
CREATE INDEX effect_sending ON effect (lease_until) WHERE state = 'sending';
CREATE INDEX effect_unknown ON effect (connection, due_at, seq) WHERE state = 'unknown';
CREATE INDEX effect_done ON effect (ended_at, kind) WHERE state = 'done';
CREATE INDEX effect_rejected ON effect (ended_at) WHERE state = 'rejected';
CREATE INDEX effect_parked ON effect (ended_at) WHERE state = 'parked';
CREATE INDEX effect_cancelled ON effect (cancelled) WHERE state = 'cancelled';

-- Slots that an effect needs and that are not bound yet; binding a slot deletes its rows.
CREATE TABLE need (
    slot   TEXT NOT NULL,
    effect INTEGER NOT NULL,
    PRIMARY KEY (slot, effect)
) STRICT, WITHOUT ROWID;
CREATE INDEX need_effect ON need (effect);

-- Effects of another lead that a lead's episode counts on as well (one person is ensured once for several leads).
CREATE TABLE shared_effect (
    effect  INTEGER NOT NULL,
    lead    TEXT NOT NULL,
    episode TEXT NOT NULL,
    PRIMARY KEY (effect, lead, episode)
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_effect_lead ON shared_effect (lead, episode);

CREATE TABLE attempt (
    effect  INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail  TEXT,
    PRIMARY KEY (effect, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE owner (
    connection  TEXT NOT NULL,
    external_id TEXT NOT NULL,
    active      INTEGER NOT NULL,
    body        TEXT NOT NULL, -- json
    PRIMARY KEY (connection, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    connection  TEXT NOT NULL,
    external_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    owner       TEXT,
    country     TEXT,
    gone        INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    UNIQUE (connection, external_id)
) STRICT;

CREATE TABLE account_key (
    connection TEXT NOT NULL,
    kind       TEXT NOT NULL,
    value      TEXT NOT NULL,
    account    INTEGER NOT NULL,
    PRIMARY KEY (connection, kind, value, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_key_account ON account_key (account);
