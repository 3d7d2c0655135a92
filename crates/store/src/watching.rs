//! Watching: what people do at the CRM to what leads hang on, and who touched each lead first.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use usher_model::{
    ChangedBy, ConnectionName, CrmEvent, ExternalId, Happening, LeadId, ObjectType, SlotKind, TouchKind,
};

use crate::codec::{from_json, instant, json, ms, slot_kind, text};
use crate::error::StoreError;
use crate::fault::Fault;

/// An inquiry that the vendor had for so long at most when it was read here began when it was made there; one that is
/// older became an inquiry later.
pub(crate) const READ_LATE: SignedDuration = SignedDuration::from_hours(1);

/// An object that leads may hang on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hanging {
    /// What it is to us: a person, a lead or a deal.
    pub kind: SlotKind,
    /// The CRM's name of its type.
    pub object: ObjectType,
    /// Its id.
    pub id: ExternalId,
}

/// Something that happened, with those of its objects that leads may hang on.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What.
    pub event: CrmEvent,
    /// To what.
    pub about: Vec<Hanging>,
}

/// An object as it was just seen.
#[derive(Debug, Clone)]
pub struct SeenObject {
    /// Which.
    pub object: Hanging,
    /// Its owner; `None` for nobody.
    pub owner: Option<ExternalId>,
    /// Differs when it looks otherwise.
    pub print: String,
    /// When it last changed.
    pub at: Timestamp,
}

/// An object that a lead hangs on, among those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject {
    /// Its place in the question.
    pub index: usize,
    /// Whether it looks otherwise than when it was last seen, or, if it never was, has another owner than expected.
    pub changed: bool,
    /// The owner that it had, or should have had.
    pub owner: Option<ExternalId>,
    /// Nothing before that is of interest: when the first of its leads arrived.
    pub since: Timestamp,
}

/// What a step of watching brought, with the cursor that goes with it.
#[derive(Debug, Clone)]
pub struct WatchCommit {
    /// The connection.
    pub connection: ConnectionName,
    /// The stream with its lane.
    pub stream: String,
    /// The cursor that the step went on from.
    pub previous: Option<Value>,
    /// The next one, opaque.
    pub cursor: Value,
    /// What happened; what is about no lead is dropped.
    pub events: Vec<NewEvent>,
    /// How objects of leads look now.
    pub seen: Vec<SeenObject>,
    /// The present.
    pub now: Timestamp,
}

/// Who touched a lead first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstTouch {
    /// When the inquiry began.
    pub arrived_at: Timestamp,
    /// When it was touched.
    pub at: Timestamp,
    /// How.
    pub how: TouchKind,
    /// By which owner of the CRM's, where it tells.
    pub by: Option<ExternalId>,
}

/// What happened to a lead.
#[derive(Debug, Clone, Default)]
pub struct LeadEvents {
    /// The first touch.
    pub first: Option<FirstTouch>,
    /// Everything, oldest first.
    pub events: Vec<CrmEvent>,
}

/// How soon leads were touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Responses {
    /// Milliseconds from the beginning of the inquiry to its first touch, in ascending order.
    pub waited: Vec<u64>,
    /// Leads that nobody has touched yet.
    pub untouched: u64,
}

/// Watching.
#[async_trait]
pub trait Watching: Send + Sync {
    /// Those of these objects that leads hang on.
    async fn known_objects(
        &self,
        connection: &ConnectionName,
        seen: &[SeenObject],
    ) -> Result<Vec<KnownObject>, StoreError>;

    /// Stores events, sights and cursor in one transaction. An event is kept once for each lead that it is about: leads of
    /// its person and the lead whose object it is, unless they were merged or suppressed. A touch counts from the lead's
    /// arrival until its outcome; the earliest is the first, whenever it comes in. The end of a task that we closed, and an
    /// owner that we wrote, are our own doing. An outcome belongs to the lead whose object it is, else to its person's
    /// latest lead before it began. [`StoreError::Stale`] if the stored cursor is not the previous one. Returns how many
    /// were new.
    async fn commit_watch(&self, commit: WatchCommit) -> Result<u64, StoreError>;

    /// What happened to a lead.
    async fn lead_events(&self, lead: LeadId) -> Result<LeadEvents, StoreError>;

    /// How soon the leads that were opened since then were touched.
    async fn responses(&self, since: Timestamp) -> Result<Responses, StoreError>;
}

/// A lead that an object belongs to, as stored: place in the question, kind of the object, lead, its arrival, its end, whether
/// what happened was our own doing, the owner that is expected.
pub(crate) type HitRow = (i64, String, String, i64, Option<i64>, bool, Option<String>);

#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) index: usize,
    kind: SlotKind,
    pub(crate) lead: String,
    arrived_at: i64,
    ended_at: Option<i64>,
    ours: bool,
    owner: Option<ExternalId>,
}

impl Hit {
    pub(crate) fn of((index, kind, lead, arrived_at, ended_at, ours, owner): HitRow) -> Result<Self, Fault> {
        let index = usize::try_from(index).map_err(|error| Fault::unreadable("place", error))?;
        let owner = owner.map(ExternalId::new);
        Ok(Self { index, kind: slot_kind(&kind)?, lead, arrived_at, ended_at, ours, owner })
    }
}

/// What is asked of an object: its place, kind, type and id, the owner that it got, and the task of ours that was done.
pub(crate) type Question = (i64, String, String, String, Option<String>, Option<String>);

fn question(
    index: usize,
    object: &Hanging,
    owner: Option<&ExternalId>,
    task: Option<&ExternalId>,
) -> Question {
    let index = i64::try_from(index).unwrap_or(i64::MAX);
    let kind = object.kind.as_str().to_owned();
    (index, kind, text(&object.object), text(&object.id), owner.map(text), task.map(text))
}

pub(crate) fn questions(events: &[NewEvent]) -> Vec<Question> {
    let of = |(index, new): (usize, &NewEvent)| {
        let (owner, task) = match &new.event.what {
            // A human who chooses the same owner has chosen all the same.
            Happening::OwnerChange { to, .. } if new.event.hand != ChangedBy::Human => (to.clone(), None),
            Happening::Touch { task, .. } => (None, task.clone()),
            _ => (None, None),
        };
        let ask = |object: &Hanging| question(index, object, owner.as_ref(), task.as_ref());
        new.about.iter().map(ask).collect::<Vec<_>>()
    };
    events.iter().enumerate().flat_map(of).collect()
}

pub(crate) fn questions_of_sights(seen: &[SeenObject]) -> Vec<Question> {
    seen.iter().enumerate().map(|(index, seen)| question(index, &seen.object, None, None)).collect()
}

/// The objects that leads hang on, against how each was seen last: (owner, print) by type and id.
pub(crate) fn known(
    seen: &[SeenObject],
    hits: Vec<Hit>,
    last: &BTreeMap<(String, String), (Option<String>, String)>,
) -> Result<Vec<KnownObject>, Fault> {
    let mut found: BTreeMap<usize, Hit> = BTreeMap::new();
    for hit in hits {
        let first = found.get(&hit.index).is_none_or(|known| hit.arrived_at > known.arrived_at);
        let since =
            found.get(&hit.index).map_or(hit.arrived_at, |known| known.arrived_at.min(hit.arrived_at));
        // The latest lead says whose it should be, the earliest since when to look.
        let index = hit.index;
        if first {
            found.insert(index, hit);
        }
        if let Some(known) = found.get_mut(&index) {
            known.arrived_at = since;
        }
    }
    let mut all = Vec::with_capacity(found.len());
    for (index, hit) in found {
        let Some(now) = seen.get(index) else { continue };
        let before = last.get(&(now.object.object.to_string(), now.object.id.to_string()));
        let (owner, changed) = match before {
            Some((owner, print)) => (owner.clone().map(ExternalId::new), *print != now.print),
            None => (hit.owner.clone(), hit.owner != now.owner),
        };
        all.push(KnownObject { index, changed, owner, since: instant(hit.arrived_at)? });
    }
    Ok(all)
}

/// The leads that an event counts for.
pub(crate) fn counting<'a>(event: &CrmEvent, hits: &'a [Hit]) -> Vec<&'a Hit> {
    // Vendors tell whole seconds, of which the first may have begun before the lead arrived.
    let since = |hit: &Hit| hit.arrived_at - hit.arrived_at.rem_euclid(1_000);
    let at = ms(event.at);
    let mut counting: Vec<&Hit> = hits.iter().filter(|hit| since(hit) <= at && !hit.ours).collect();
    match &event.what {
        Happening::Touch { .. } => {
            counting.retain(|hit| event.hand == ChangedBy::Human && hit.ended_at.is_none_or(|end| end >= at));
        }
        Happening::OwnerChange { .. } => {}
        Happening::Outcome { began_at, .. } => {
            if counting.iter().any(|hit| hit.kind.is_inquiry()) {
                counting.retain(|hit| hit.kind.is_inquiry());
            } else {
                let began = began_at.map_or(at, ms);
                let before = counting.into_iter().filter(|hit| since(hit) <= began);
                counting = before.max_by_key(|hit| hit.arrived_at).into_iter().collect();
            }
        }
    }
    counting.sort_by(|a, b| a.lead.cmp(&b.lead));
    counting.dedup_by(|a, b| a.lead == b.lead);
    counting
}

/// An event of a lead, to be stored.
pub(crate) struct Row {
    pub(crate) lead: String,
    pub(crate) event: String,
    pub(crate) at: i64,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) body: String,
}

/// A first touch, to be stored unless an earlier one is.
pub(crate) struct TouchRow {
    pub(crate) lead: String,
    pub(crate) arrived_at: i64,
    pub(crate) at: i64,
    pub(crate) how: &'static str,
    pub(crate) by: Option<String>,
}

/// What is to be stored of these events.
pub(crate) fn rows(events: &[NewEvent], hits: &[Hit]) -> Result<(Vec<Row>, Vec<TouchRow>), Fault> {
    let (mut rows, mut touches) = (Vec::new(), BTreeMap::<String, TouchRow>::new());
    for (index, NewEvent { event, .. }) in events.iter().enumerate() {
        let own: Vec<Hit> = hits.iter().filter(|hit| hit.index == index).cloned().collect();
        for hit in counting(event, &own) {
            let outcome = match &event.what {
                Happening::Outcome { outcome, .. } => Some(outcome.as_str()),
                _ => None,
            };
            let (lead, at) = (hit.lead.clone(), ms(event.at));
            rows.push(Row { lead, event: text(&event.id), at, outcome, body: json(event)? });
            let Happening::Touch { how, .. } = &event.what else { continue };
            if touches.get(&hit.lead).is_none_or(|known| at < known.at) {
                let (how, by) = (how.as_str(), event.by.as_ref().map(text));
                let row = TouchRow { lead: hit.lead.clone(), arrived_at: hit.arrived_at, at, how, by };
                touches.insert(hit.lead.clone(), row);
            }
        }
    }
    Ok((rows, touches.into_values().collect()))
}

/// The last sight of each object.
pub(crate) fn last_sights(seen: Vec<SeenObject>) -> Vec<SeenObject> {
    let mut last: BTreeMap<Hanging, SeenObject> = BTreeMap::new();
    for seen in seen {
        if last.get(&seen.object).is_none_or(|known| known.at <= seen.at) {
            last.insert(seen.object.clone(), seen);
        }
    }
    last.into_values().collect()
}

/// A first touch as stored: arrival, when, how, by whom.
pub(crate) type FirstRow = (i64, i64, String, Option<String>);

pub(crate) const FIRST: &str = "SELECT arrived_at, at, how, owner FROM first_touch WHERE lead = $1";

pub(crate) const EVENTS: &str = "SELECT body FROM happening WHERE lead = $1 ORDER BY at, event";

/// What leads waited for their first touch, and how many still wait.
pub(crate) const WAITED: &str = "SELECT f.at - f.arrived_at FROM lead l JOIN first_touch f ON f.lead = l.id \
     WHERE l.opened_at >= $1 ORDER BY f.at - f.arrived_at";
pub(crate) const UNTOUCHED: &str = "SELECT count(*) FROM lead l WHERE l.opened_at >= $1 \
     AND coalesce(l.close_reason, '') NOT IN ('merged', 'suppressed') \
     AND NOT EXISTS (SELECT 1 FROM first_touch f WHERE f.lead = l.id)";

pub(crate) fn lead_events(first: Option<FirstRow>, events: &[String]) -> Result<LeadEvents, Fault> {
    let first = first.map(|(arrived_at, at, how, by)| {
        let kind = TouchKind::ALL.into_iter().find(|kind| kind.as_str() == how);
        let how = kind.ok_or_else(|| Fault::unreadable("touch", format!("found `{how}`")))?;
        let (arrived_at, at) = (instant(arrived_at)?, instant(at)?);
        Ok::<_, Fault>(FirstTouch { arrived_at, at, how, by: by.map(ExternalId::new) })
    });
    let events = events.iter().map(|body| from_json("event", body)).collect::<Result<_, _>>()?;
    Ok(LeadEvents { first: first.transpose()?, events })
}

pub(crate) fn responses(waited: &[i64], untouched: i64) -> Responses {
    let waited = waited.iter().map(|wait| wait.max(&0).unsigned_abs()).collect();
    Responses { waited, untouched: untouched.unsigned_abs() }
}
