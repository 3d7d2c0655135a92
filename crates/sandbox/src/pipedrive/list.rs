//! Lists of v2: filters, orders, and cursors that stand on a row rather than on a position.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::cursor::{decode, encode};
use super::errors::Problem;
use super::kinds::Kind;
use super::row::{Row, Table};
use super::show::{Want, v2};
use super::state::Drive;
use crate::clock::Millis;

/// The first row of the next page, as the example of the v2 document decodes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    field: String,
    field_value: i64,
    sort_direction: String,
    id: u64,
    /// Tells cursors of the same place apart, so that one which was refused can be got anew.
    minted: u64,
}

/// The order of a list.
#[derive(Debug)]
struct Order {
    field: String,
    descending: bool,
}

impl Order {
    fn of(call: &Call<'_>, kind: Kind) -> Result<Self, Problem> {
        let field = call.query("sort_by").unwrap_or("id");
        let known = matches!(field, "id" | "update_time" | "add_time");
        let due = field == "due_date" && kind == Kind::Activity;
        if !known && !due {
            return Err(Problem::schema("sort_by", "is not a field to sort by"));
        }
        let descending = match call.query("sort_direction") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Problem::schema("sort_direction", "must be asc or desc")),
        };
        Ok(Self { field: field.to_owned(), descending })
    }

    fn direction(&self) -> &'static str {
        if self.descending { "desc" } else { "asc" }
    }

    fn key(&self, row: &Row) -> i64 {
        match self.field.as_str() {
            "update_time" => row.updated,
            "add_time" => row.added,
            "due_date" => {
                let date = row.text("due_date").unwrap_or_default().replace('-', "");
                date.parse().unwrap_or(0)
            }
            _ => i64::try_from(row.id).unwrap_or(i64::MAX),
        }
    }

    /// All rows from the cursor on, in order; only the two orders of large lists are kept ready.
    fn rows<'a>(&self, table: &'a Table, from: Option<&Cursor>) -> Box<dyn Iterator<Item = &'a Row> + 'a> {
        let start = from.map(|cursor| (cursor.field_value, cursor.id));
        let row = |id: &u64| table.rows.get(id);
        match (self.field.as_str(), self.descending) {
            ("id", false) => Box::new(table.rows.range(start.map_or(0, |key| key.1)..).map(|(_, row)| row)),
            ("id", true) => {
                Box::new(table.rows.range(..=start.map_or(u64::MAX, |key| key.1)).rev().map(|(_, row)| row))
            }
            ("update_time", false) => {
                let from = start.unwrap_or((i64::MIN, 0));
                Box::new(table.by_update.range(from..).filter_map(move |(_, id)| row(id)))
            }
            ("update_time", true) => {
                let to = start.unwrap_or((i64::MAX, u64::MAX));
                Box::new(table.by_update.range(..=to).rev().filter_map(move |(_, id)| row(id)))
            }
            (_, descending) => {
                let keys: BTreeSet<(i64, u64)> =
                    table.rows.values().map(|row| (self.key(row), row.id)).collect();
                let mut keys: Vec<(i64, u64)> = keys.into_iter().collect();
                if descending {
                    keys.reverse();
                }
                let reached = move |key: &(i64, u64)| {
                    start.is_none_or(|start| if descending { *key <= start } else { *key >= start })
                };
                Box::new(keys.into_iter().filter(reached).filter_map(move |(_, id)| table.rows.get(&id)))
            }
        }
    }
}

/// Which rows a list shows.
#[derive(Debug, Default)]
struct Filter {
    ids: Option<BTreeSet<u64>>,
    /// Field and the value it must have.
    equal: Vec<(&'static str, Value)>,
    /// Persons by deal.
    only: Option<u64>,
    since: Option<Millis>,
    until: Option<Millis>,
    statuses: Vec<String>,
    archived: bool,
}

const MOST_IDS: usize = 100;

impl Filter {
    /// With a `filter_id` all else is ignored (API-FACTS Pipedrive: Activity existence check); saved filters are not
    /// simulated, so it lets everything through.
    fn of(drive: &Drive, call: &Call<'_>, kind: Kind, archived: bool) -> Result<Self, Problem> {
        if call.query_number::<u64>("filter_id")?.is_some() {
            return Ok(Self { archived, ..Self::default() });
        }
        let mut filter = Self { archived, ..Self::default() };
        if call.query("ids").is_some() {
            let ids: Result<BTreeSet<u64>, _> = call.query_list("ids").iter().map(|id| id.parse()).collect();
            let ids = ids.map_err(|_| Problem::schema("ids", "must be integers"))?;
            if ids.len() > MOST_IDS {
                return Err(Problem::schema("ids", "must be at most 100"));
            }
            filter.ids = Some(ids);
        }
        let numbers: &[&'static str] = match kind {
            Kind::Person => &["owner_id", "org_id"],
            Kind::Organization => &["owner_id"],
            Kind::Deal => &["owner_id", "person_id", "org_id", "pipeline_id", "stage_id"],
            _ => &["owner_id", "deal_id", "person_id", "org_id"],
        };
        for name in numbers {
            if let Some(number) = call.query_number::<u64>(name)? {
                filter.equal.push((name, number.into()));
            }
        }
        if let (Kind::Person, Some(deal)) = (kind, call.query_number::<u64>("deal_id")?) {
            let person = drive.living(Kind::Deal, deal).and_then(|deal| deal.number("person_id"));
            filter.only = Some(person.unwrap_or(0));
        }
        if kind == Kind::Activity {
            if let Some(lead) = call.query("lead_id") {
                filter.equal.push(("lead_id", lead.into()));
            }
            if let Some(done) = call.query_flag("done")? {
                filter.equal.push(("done", done.into()));
            }
        }
        if kind == Kind::Deal {
            filter.statuses = call.query_list("status").into_iter().map(str::to_owned).collect();
            if filter.statuses.iter().any(|status| !matches!(&**status, "open" | "won" | "lost" | "deleted"))
            {
                return Err(Problem::schema("status", "must be open, won, lost or deleted"));
            }
        }
        (filter.since, filter.until) = (call.query_time("updated_since")?, call.query_time("updated_until")?);
        Ok(filter)
    }

    fn takes(&self, row: &Row) -> bool {
        let status = if row.lives() { row.text("status").unwrap_or_default() } else { "deleted" };
        let status = if self.statuses.is_empty() {
            row.lives()
        } else {
            self.statuses.iter().any(|wanted| wanted == status)
        };
        status
            && row.flag("is_archived") == self.archived
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&row.id))
            && self.only.is_none_or(|id| id == row.id)
            && self.since.is_none_or(|since| row.updated >= since)
            && self.until.is_none_or(|until| row.updated < until)
            && self.equal.iter().all(|(name, value)| row.fields.get(*name) == Some(value))
    }
}

/// Which parts of the records the query asks for (v2 document: custom_fields at most 15 keys).
pub(crate) fn want(call: &Call<'_>) -> Result<Want, Problem> {
    let keys = call.query_list("custom_fields");
    if keys.len() > 15 {
        return Err(Problem::schema("custom_fields", "must be at most 15 keys"));
    }
    let custom = (!keys.is_empty()).then(|| keys.into_iter().map(str::to_owned).collect());
    Ok(Want { custom, attendees: call.query_list("include_fields").contains(&"attendees") })
}

/// `GET /v2/{object}` and `GET /v2/deals/archived`.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>, kind: Kind, archived: bool) -> Answer {
    let (limit, order, want) = (call.limit()?, Order::of(call, kind)?, want(call)?);
    let filter = Filter::of(drive, call, kind, archived)?;
    let from: Option<Cursor> = decode(call)?;
    if from.as_ref().is_some_and(|from| from.field != order.field || from.sort_direction != order.direction())
    {
        return Err(Problem::schema("cursor", "does not fit the order"));
    }
    if from.is_some() && drive.refuses_cursor(call) {
        return Err(Problem::schema("cursor", "is not valid"));
    }
    let minted = drive.next();
    let rows = order.rows(drive.table(kind), from.as_ref());
    let found: Vec<&Row> = rows.filter(|row| filter.takes(row)).take(limit + 1).collect();
    let next = found.get(limit).map(|row| {
        encode(&Cursor {
            field: order.field.clone(),
            field_value: order.key(row),
            sort_direction: order.direction().to_owned(),
            id: row.id,
            minted,
        })
    });
    let mut data: Vec<Value> = found.iter().take(limit).map(|row| v2(drive, kind, row, &want)).collect();
    drive.untidy(call, &mut data);
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": next}}))
}

impl Drive {
    /// The switch `cursor_refused`; a cursor that was refused is never taken again.
    fn refuses_cursor(&mut self, call: &Call<'_>) -> bool {
        let Some(cursor) = call.query("cursor") else { return false };
        let rate = self.faults.cursor_refused;
        if self.dead_cursors.contains(cursor) {
            return true;
        }
        let fires = self.fires(rate, "cursor_refused", call.by.at, call.by.correlation);
        if fires {
            self.dead_cursors.insert(cursor.to_owned());
        }
        fires
    }
}
