-- The object that carries an inquiry's owner, as migrations/sqlite has it: a slot may hold a CRM's lead or deal.

ALTER TABLE slot DROP CONSTRAINT slot_kind_check;
ALTER TABLE slot ADD CONSTRAINT slot_kind_check
    CHECK (kind IN ('person', 'company', 'lead', 'deal', 'task', 'owner'));
