//! What the rules look at: the database's rows, the simulators' log, what the program said and what it uses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use usher_sandbox::{Actor, Change, Crm, CrmObject, CrmVendor, Event, Ownership, Sandbox, Summary};

use super::ledger::{LeadRow, Ledger, Mark, RecordRow, Standing, Waited};

/// What the checker must be told about a scenario.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Whose CRM it is.
    pub vendor: CrmVendor,
    /// The connection that is the CRM.
    pub crm: String,
    /// What somebody who gets in touch by way of the CRM is there.
    pub entered: CrmObject,
    /// The simulated forms that are read.
    pub forms: Vec<Form>,
    /// Webhooks that the program answered with 2xx: (connection, external id).
    pub acknowledged: Vec<(String, String)>,
    /// How many came, as the rig counted them.
    pub came: Came,
    /// How long the simulators hide a change from lists and searches at most.
    pub hidden_for: Duration,
    /// Where the program's log lines go.
    pub log: Option<PathBuf>,
    /// Secrets and addresses that no log line may show.
    pub canaries: Vec<String>,
    /// Some record takes the process down with it, so that records may be given up for that.
    pub deadly_records: bool,
    /// What the program uses, where that was measured.
    pub resources: Option<Resources>,
}

impl Scene {
    /// A scene without forms, hooks, log or measures.
    #[must_use]
    pub fn of(vendor: CrmVendor, crm: &str) -> Self {
        Self {
            vendor,
            crm: crm.to_owned(),
            entered: CrmObject::Person,
            forms: Vec::new(),
            acknowledged: Vec::new(),
            came: Came::default(),
            hidden_for: Duration::ZERO,
            log: None,
            canaries: Vec::new(),
            deadly_records: false,
            resources: None,
        }
    }
}

/// A simulated form and the connection that reads it.
#[derive(Debug, Clone)]
pub struct Form {
    /// The connection.
    pub connection: String,
    /// The form's id at the simulator.
    pub id: String,
}

/// How many came, by the door, where a rig has counted them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Came {
    /// Entered at the CRM.
    pub entered: usize,
    /// By a form.
    pub answers: usize,
}

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct Resources {
    /// The most memory that it ever had, KiB.
    pub peak_kib: u64,
    /// Open files and sockets.
    pub handles: usize,
}

/// Something that really happened to a record of the CRM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happening {
    pub(super) object: CrmObject,
    pub(super) id: u64,
    /// The other end of a merge, else 0.
    pub(super) other: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) by_us: bool,
    pub(super) change: Change,
    pub(super) owner_changed: bool,
}

impl Happening {
    /// Nothing if the event is about an object that no rule looks at.
    fn of(event: &Event) -> Option<Self> {
        Some(Self {
            object: event.crm_object()?,
            id: event.id,
            other: event.other,
            at: event.at,
            by_us: matches!(event.actor, Actor::Api(_)),
            change: event.change,
            owner_changed: event.old_owner != event.new_owner,
        })
    }
}

/// A lead or deal at the CRM.
#[derive(Debug, Clone)]
pub(super) struct Inquiry {
    pub(super) object: CrmObject,
    pub(super) id: u64,
    /// 0 for none; nothing if it is in the bin.
    pub(super) owner: Option<u64>,
}

/// A form answer as the form tool took it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) connection: String,
    pub(super) token: String,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

/// Everything that the rules look at.
#[derive(Debug)]
pub struct Evidence {
    /// The simulator's own verdict.
    pub summary: Summary,
    /// What became of every inquiry.
    pub leads: Vec<LeadRow>,
    pub(super) scene: Scene,
    pub(super) standing: Standing,
    pub(super) records: Vec<RecordRow>,
    pub(super) unsplit: Vec<(String, Vec<u8>)>,
    pub(super) marks: Vec<Mark>,
    pub(super) owners: HashMap<u64, Ownership>,
    /// What others entered at the CRM and is not in the bin.
    pub(super) entered: HashSet<u64>,
    pub(super) happenings: Vec<Happening>,
    pub(super) answers: Vec<Answer>,
    /// Vendor ids of persons whom we know; true if we say that we created them.
    pub(super) persons: BTreeMap<String, bool>,
    pub(super) tasks_done: Vec<String>,
    pub(super) tasks_given_up: HashSet<String>,
    /// The CRM's object that stands for each of our leads, where one does.
    pub(super) inquiries: HashMap<String, Inquiry>,
    /// Tasks, leads, deals and persons at the CRM that belong to a write that is unclear or shown as failed.
    pub(super) explained: HashSet<(CrmObject, String)>,
    /// Whom each lead or deal at the CRM that is not in the bin is about.
    pub(super) about: HashMap<(CrmObject, u64), u64>,
    /// Numbers of the persons without address that we made.
    pub(super) phones: Vec<String>,
    pub(super) owners_unwritten: BTreeMap<String, String>,
    pub(super) owners_kept: BTreeMap<String, String>,
    pub(super) closed_too_soon: Vec<String>,
    pub(super) given_up: Vec<String>,
    pub(super) shared_emails: Vec<String>,
    pub(super) wrong_balances: Vec<String>,
    pub(super) waited: Vec<Waited>,
    pub(super) log: String,
    pub(super) wal_bytes: u64,
}

impl Evidence {
    /// Collects it. What was there before a connection was first connected is no inquiry and left out.
    ///
    /// # Errors
    /// If the database or the log can not be read, or a connection of the scene was never connected: then nobody who came
    /// by it would count.
    pub async fn collect(ledger: &mut Ledger, sandbox: &Sandbox, scene: Scene) -> anyhow::Result<Self> {
        // The database first: what it knows must have happened before.
        let started = ledger.started().await?;
        let since = |connection: &str| {
            let since = started.get(connection).copied();
            since.with_context(|| {
                format!("`{connection}` was never connected, so nothing can be judged of it")
            })
        };
        let standing = ledger.standing().await?;
        let marks = ledger.marks().await?;
        let unsplit = ledger.unsplit().await?;
        let mut records = ledger.records().await?;
        let tasks_done = ledger.tasks_done().await?;
        let unclear = (ledger.tasks_unclear().await?, ledger.persons_unclear().await?);
        let log = match &scene.log {
            Some(path) => std::fs::read_to_string(path).context("reading the program's log")?,
            None => String::new(),
        };
        let crm = sandbox.crm(scene.vendor);
        let inquiries = inquiries(ledger.inquiries().await?, &*crm);
        for record in records.iter_mut().filter(|record| record.connection == scene.crm) {
            record.external_id = crm.number(&record.external_id).unwrap_or_default().to_string();
        }
        let evidence = Self {
            inquiries,
            leads: ledger.leads().await?,
            persons: ledger.persons().await?,
            tasks_given_up: ledger.tasks_given_up().await?.into_iter().collect(),
            owners_unwritten: ledger.owners_unwritten().await?,
            owners_kept: ledger.owners_kept().await?,
            given_up: ledger.given_up().await?,
            closed_too_soon: ledger.closed_too_soon().await?,
            shared_emails: ledger.shared_emails().await?,
            wrong_balances: ledger.wrong_balances().await?,
            waited: ledger.waited().await?,
            wal_bytes: ledger.wal_bytes(),
            summary: crm.summary(),
            owners: crm.persons().into_iter().map(|owned| (owned.id, owned)).collect(),
            entered: HashSet::new(),
            happenings: happenings(&*crm, since(&scene.crm)?),
            answers: answers(sandbox, &scene.forms, since)?,
            explained: HashSet::new(),
            about: HashMap::new(),
            phones: Vec::new(),
            scene,
            standing,
            records,
            unsplit,
            marks,
            tasks_done,
            log,
        };
        Ok(evidence.look_closer(&*crm, &unclear.0, &unclear.1))
    }

    /// Looks at the objects that we made and that need a closer look: those that are not known as done may belong to an
    /// unclear write (a task carries the write's key, a person's address or number stands in it), and persons without
    /// address are told apart by their numbers.
    fn look_closer(mut self, crm: &dyn Crm, keys: &[String], persons: &[String]) -> Self {
        let text = |object: CrmObject, id: &str| {
            let look = crm.number(id).and_then(|id| crm.look(object, id));
            look.map(|look| look.text).filter(|text| !text.is_empty())
        };
        let entered = self.scene.entered;
        // A person who was merged away looks like whom they became.
        let living = |id: &u64| match entered {
            CrmObject::Person => self.owners.contains_key(id),
            _ => crm.look(entered, *id).is_some_and(|look| look.owner.is_some()),
        };
        self.entered = self.made_by_others(entered).filter(living).collect();
        let done: HashSet<&String> = self.tasks_done.iter().collect();
        let mut tasks = self.made_by_us(CrmObject::Task);
        tasks.retain(|id| {
            let body = if done.contains(id) { None } else { text(CrmObject::Task, id) };
            body.is_some_and(|body| keys.iter().any(|key| body.contains(key)))
        });
        self.explained.extend(tasks.into_iter().map(|id| (CrmObject::Task, id)));
        for object in [CrmObject::Lead, CrmObject::Deal] {
            let whom = |made: &Happening| {
                let look = crm.look(object, made.id).filter(|look| look.owner.is_some())?;
                Some(((object, made.id), look.person?))
            };
            let about: Vec<_> = self.created(object).filter_map(whom).collect();
            self.about.extend(about);
            // The name ends with the last digits of the write's key.
            let is_of = |name: &str, key: &String| key.get(24..).is_some_and(|end| name.contains(end));
            let mut unclear = self.made_by_us(object);
            unclear
                .retain(|id| text(object, id).is_some_and(|name| keys.iter().any(|key| is_of(&name, key))));
            self.explained.extend(unclear.into_iter().map(|id| (object, id)));
        }
        for id in self.made_by_us(CrmObject::Person) {
            let shown = |value: &str| persons.iter().any(|person| person.contains(value));
            // One who was merged away would be read as whom they became.
            let Some(living) = id.parse().ok().and_then(|id| self.owners.get(&id)) else { continue };
            let email = living.email.clone();
            let phone = if email.is_none() { text(CrmObject::Person, &id) } else { None };
            let unclear = email.as_deref().or(phone.as_deref()).is_some_and(shown);
            if unclear && !self.persons.contains_key(&id) {
                self.explained.insert((CrmObject::Person, id));
            }
            self.phones.extend(phone);
        }
        self
    }

    /// Records that others made.
    pub(super) fn made_by_others(&self, object: CrmObject) -> impl Iterator<Item = u64> {
        self.created(object).filter(|made| !made.by_us).map(|made| made.id)
    }

    /// Ids of records that our token made.
    pub(super) fn made_by_us(&self, object: CrmObject) -> HashSet<String> {
        self.created(object).filter(|made| made.by_us).map(|made| made.id.to_string()).collect()
    }

    fn created(&self, object: CrmObject) -> impl Iterator<Item = &Happening> {
        self.happenings
            .iter()
            .filter(move |happening| happening.object == object && happening.change == Change::Create)
    }

    /// Persons whom somebody merged or threw away.
    pub(super) fn disturbed(&self) -> HashSet<u64> {
        let persons = self.happenings.iter().filter(|happening| happening.object == CrmObject::Person);
        let moved = persons.filter(|moved| matches!(moved.change, Change::Merge | Change::Archive));
        moved.flat_map(|moved| [moved.id, moved.other]).filter(|id| *id != 0).collect()
    }

    /// What the checks cover, so that a run which checked nothing is seen as such.
    #[must_use]
    pub fn covered(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("form_answers", self.answers.len()),
            ("webhooks_acknowledged", self.scene.acknowledged.len()),
            ("persons_of_others", self.made_by_others(CrmObject::Person).count()),
            (
                "inquiries_of_others",
                self.made_by_others(CrmObject::Lead).count() + self.made_by_others(CrmObject::Deal).count(),
            ),
            ("persons_of_ours", self.made_by_us(CrmObject::Person).len()),
            ("tasks_of_ours", self.made_by_us(CrmObject::Task).len()),
            (
                "inquiries_of_ours",
                self.made_by_us(CrmObject::Lead).len() + self.made_by_us(CrmObject::Deal).len(),
            ),
            ("oracle_events", self.happenings.len()),
            ("records", self.records.len()),
            ("leads", self.leads.len()),
        ])
    }
}

fn inquiries(bound: Vec<(String, String, String)>, crm: &dyn Crm) -> HashMap<String, Inquiry> {
    let inquiry = |(lead, kind, id): (String, String, String)| {
        let object = if kind == "lead" { CrmObject::Lead } else { CrmObject::Deal };
        let id = crm.number(&id)?;
        let owner = crm.look(object, id).and_then(|look| look.owner);
        Some((lead, Inquiry { object, id, owner }))
    };
    bound.into_iter().filter_map(inquiry).collect()
}

/// What happened since the CRM was connected.
fn happenings(crm: &dyn Crm, since: i64) -> Vec<Happening> {
    let events = crm.events(0);
    events.iter().filter(|event| event.at >= since).filter_map(Happening::of).collect()
}

fn answers(
    sandbox: &Sandbox,
    forms: &[Form],
    since: impl Fn(&str) -> anyhow::Result<i64>,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for form in forms {
        let since = since(&form.connection)?;
        let taken = sandbox.typeform().taken(&form.id).into_iter();
        let asked = taken.filter(|taken| taken.submitted_at >= since);
        answers.extend(asked.map(|taken| Answer {
            connection: form.connection.clone(),
            token: taken.token,
            at: taken.submitted_at,
        }));
    }
    Ok(answers)
}
