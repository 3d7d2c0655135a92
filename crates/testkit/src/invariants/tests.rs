//! Each rule, broken once: it is told, and told alone.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use usher_model::ConnectionName;
use usher_sandbox::{Change, CrmObject, CrmVendor, Duplicate, Options, Ownership, Sandbox, Summary};
use usher_store::Intake as _;

use super::evidence::{Answer, Happening, Inquiry};
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn created(object: CrmObject, id: u64, by_us: bool) -> Happening {
    Happening { object, id, other: 0, at: 10_000, by_us, change: Change::Create, owner_changed: false }
}

fn record(connection: &str, id: &str, state: &str) -> RecordRow {
    let (connection, object) = (connection.to_owned(), "contacts".to_owned());
    RecordRow { connection, object, external_id: id.to_owned(), state: state.to_owned() }
}

fn lead(id: &str, person: &str) -> LeadRow {
    LeadRow {
        id: id.to_owned(),
        state: "closed:written".to_owned(),
        live: true,
        email: Some(format!("{id}@one.example")),
        company: None,
        person: Some(person.to_owned()),
        owner: Some("11".to_owned()),
        decided_at: Some(at(20)),
        tasks: 1,
        deleted_at: None,
    }
}

fn owned(id: u64) -> (u64, Ownership) {
    let owned = Ownership {
        id,
        email: None,
        owner: 11,
        api_owner: Some(11),
        api_at: Some(21_000),
        api_changes: 1,
        changed_later_by: None,
    };
    (id, owned)
}

/// Somebody whom the CRM knew (contact 7, task 9) and somebody who wrote by a hook (contact 8, task 10); all is well.
fn all_is_well() -> Evidence {
    let mut scene = Scene::of(CrmVendor::Hubspot, "crm");
    scene.acknowledged = vec![("hook".to_owned(), "h1".to_owned()), ("hook".to_owned(), "h2".to_owned())];
    scene.canaries = vec!["token-123".to_owned()];
    scene.resources = Some(Resources { peak_kib: 1_000, handles: 20 });
    let touched =
        Happening { change: Change::Update, by_us: true, at: 21_000, ..created(CrmObject::Person, 7, false) };
    Evidence {
        summary: Summary::default(),
        leads: vec![lead("l1", "7"), lead("l2", "8")],
        scene,
        standing: Standing::default(),
        records: vec![
            record("crm", "7", "opened"),
            record("hook", "h1", "opened"),
            record("form", "f1", "updated"),
        ],
        unsplit: vec![("hook".to_owned(), b"{\"id\":\"h2\"}".to_vec())],
        marks: vec![
            Mark { connection: "crm".to_owned(), stream: "contacts/live".to_owned(), at: at(60) },
            Mark { connection: "form".to_owned(), stream: "responses/live".to_owned(), at: at(60) },
        ],
        owners: HashMap::from([owned(7), owned(8)]),
        entered: HashSet::from([7]),
        happenings: vec![
            created(CrmObject::Person, 7, false),
            created(CrmObject::Person, 8, true),
            created(CrmObject::Task, 9, true),
            created(CrmObject::Task, 10, true),
            touched,
        ],
        answers: vec![Answer { connection: "form".to_owned(), token: "f1".to_owned(), at: 10_000 }],
        persons: BTreeMap::from([("7".to_owned(), false), ("8".to_owned(), true)]),
        tasks_done: vec!["9".to_owned(), "10".to_owned()],
        tasks_given_up: HashSet::new(),
        inquiries: HashMap::new(),
        explained: HashSet::new(),
        about: HashMap::new(),
        phones: vec!["+491511".to_owned(), "+491512".to_owned()],
        owners_unwritten: BTreeMap::new(),
        owners_kept: BTreeMap::new(),
        closed_too_soon: Vec::new(),
        given_up: Vec::new(),
        shared_emails: Vec::new(),
        wrong_balances: Vec::new(),
        waited: vec![Waited { lead: "l1".to_owned(), until: at(30), decided_at: at(30) }],
        log: "a write ended badly key=abc".to_owned(),
        wal_bytes: 1 << 20,
    }
}

fn again(of: &str) -> (usize, Vec<Duplicate>) {
    (1, vec![Duplicate { key: of.to_owned(), ids: vec![1, 2] }])
}

/// A rule's name, and what breaks it.
type Damage = (&'static str, fn(&mut Evidence));

fn breaks() -> Vec<Damage> {
    vec![
        ("I1 what was acknowledged is stored", |e| e.unsplit.clear()),
        ("I1 everybody who came is looked at", |e| e.scene.came.entered = 2),
        ("I1 everybody who came is looked at", |e| e.scene.came.answers = 2),
        ("I1 everything that arrived was seen", |e| {
            let late = Answer { connection: "form".to_owned(), token: "f2".to_owned(), at: 90_000 };
            e.answers.push(late);
        }),
        ("I1 everything that arrived was seen", |e| {
            e.happenings.push(Happening { at: 90_000, ..created(CrmObject::Person, 12, false) });
            e.entered.insert(12);
        }),
        ("I1 every record has ended", |e| e.records.push(record("form", "f9", "mapped"))),
        ("I1 every lead has closed", |e| e.leads[0].state = "decided".to_owned()),
        ("I1 no record is given up because the program died", |e| e.given_up.push("r9".to_owned())),
        ("I1 each opened record is one lead", |e| e.records[2].state = "opened".to_owned()),
        ("I1 no lead counts as written before its writes do", |e| e.closed_too_soon.push("l1".to_owned())),
        ("I1 each written lead's person is at the CRM", |e| e.leads[0].person = None),
        ("I1 every task that we call done exists", |e| e.tasks_done.push("99".to_owned())),
        ("I1 every person that we call made exists", |e| e.persons.extend([("99".to_owned(), true)])),
        ("I2 no person twice at the CRM", |e| {
            (e.summary.duplicate_persons, e.summary.duplicate_person_list) = again("l1@one.example");
        }),
        ("I2 nobody without address made twice", |e| e.phones.push("+491512".to_owned())),
        ("I2 no task twice at the CRM", |e| {
            (e.summary.duplicate_tasks, e.summary.duplicate_task_list) = again("usher:abc");
        }),
        ("I2 no lead or deal twice at the CRM", |e| e.summary.duplicate_leads = 1),
        ("I2 every lead or deal that we made is known", |e| {
            e.happenings.push(created(CrmObject::Deal, 18, true));
        }),
        ("I2 every lead or deal that we made is known", |e| {
            e.happenings.push(created(CrmObject::Deal, 18, true));
            // Of a task with the same number a write is unclear.
            e.explained.insert((CrmObject::Task, "18".to_owned()));
        }),
        ("I2 nobody has several leads or deals", |e| {
            e.about.extend([((CrmObject::Deal, 18), 7), ((CrmObject::Deal, 19), 7)]);
        }),
        ("I2 each e-mail has one inquiry", |e| e.leads[1].email = e.leads[0].email.clone()),
        ("I2 each e-mail has one inquiry", |e| {
            e.leads[1].email = e.leads[0].email.clone();
            e.leads[0].state = "closed:suppressed".to_owned();
            e.leads[0].deleted_at = Some(at(21));
        }),
        ("I2 each e-mail is one person", |e| e.shared_emails.push("l1@one.example".to_owned())),
        ("I2 each written lead has one task", |e| e.leads[0].tasks = 2),
        ("I2 each written lead has one task", |e| e.leads[0].tasks = 0),
        ("I2 every task at the CRM is known or shown as unclear", |e| {
            e.happenings.push(created(CrmObject::Task, 13, true));
        }),
        ("I2 every person that we made is known", |e| {
            e.happenings.push(created(CrmObject::Person, 14, true));
        }),
        ("I2 balances are the sums of their turns", |e| e.wrong_balances.push("pool/ana".to_owned())),
        ("I3 owners are as decided", |e| e.leads[0].owner = Some("12".to_owned())),
        ("I3 owners are as decided", |e| {
            e.happenings.push(created(CrmObject::Deal, 19, true));
            let deal = Inquiry { object: CrmObject::Deal, id: 19, owner: Some(12) };
            e.inquiries.insert("l1".to_owned(), deal);
        }),
        ("I4 no cursor passes a record that is not stored", |e| {
            e.happenings.push(created(CrmObject::Person, 15, false));
            e.entered.insert(15);
        }),
        ("I4 no cursor passes a record that is not stored", |e| {
            e.happenings.push(created(CrmObject::Person, 15, false));
            e.entered.insert(15);
            // What happens to a deal of the same number moves nobody.
            let deal = created(CrmObject::Deal, 15, false);
            e.happenings.push(Happening { change: Change::Update, at: 70_000, ..deal });
        }),
        ("I4 no cursor passes a record that is not stored", |e| e.records[0].object = "deals".to_owned()),
        ("I4 no cursor passes a record that is not stored", |e| {
            e.answers.push(Answer { connection: "form".to_owned(), token: "f3".to_owned(), at: 59_000 });
        }),
        ("I5 only persons of our leads are written to", |e| {
            e.happenings.push(Happening { change: Change::Update, ..created(CrmObject::Person, 16, true) });
        }),
        ("I6 no secret and no person in the log", |e| e.log.push_str("Bearer token-123")),
        ("I7 no wait ends before its time", |e| e.waited[0].decided_at = at(29)),
        ("I8 nothing is on its way any more", |e| e.standing.hints_waiting = 1),
        ("I8 nothing is on its way any more", |e| e.summary.pending = 1),
        ("I9 no call beyond the vendor's limit", |e| e.summary.over_limit = 1),
        ("I10 memory, files and handles stay bounded", |e| e.wal_bytes = 1 << 30),
        ("I10 memory, files and handles stay bounded", |e| {
            e.scene.resources = Some(Resources { peak_kib: 1 << 20, handles: 20 });
        }),
        ("I10 memory, files and handles stay bounded", |e| {
            e.scene.resources = Some(Resources { peak_kib: 1, handles: 10_000 });
        }),
    ]
}

fn told(evidence: &Evidence, phase: Phase) -> Vec<&'static str> {
    evidence.broken(phase).into_iter().map(|broken| broken.rule).collect()
}

#[test]
fn each_rule_tells_what_breaks_it_and_no_other_does() {
    assert_eq!(all_is_well().broken(Phase::Drained), []);
    for (rule, damage) in breaks() {
        let mut evidence = all_is_well();
        damage(&mut evidence);
        let mut told = told(&evidence, Phase::Drained);
        // What a cursor has passed has not been seen either.
        if rule.starts_with("I4") {
            told.retain(|other| *other != "I1 everything that arrived was seen");
        }
        assert_eq!(told, [rule]);
    }
}

#[test]
fn no_rule_is_left_without_its_proof() {
    let proven: HashSet<&str> = breaks().into_iter().map(|(rule, _)| rule).collect();
    let all: HashSet<&str> = RULES.iter().map(|(rule, _, _)| *rule).collect();
    assert_eq!(proven, all);
    for number in 1..=10 {
        assert!(all.iter().any(|rule| rule.starts_with(&format!("I{number} "))), "I{number} has no rule");
    }
}

#[test]
fn what_is_on_its_way_breaks_nothing_yet() {
    let mut evidence = all_is_well();
    evidence.records[2].state = "mapped".to_owned();
    evidence.leads[0].state = "decided".to_owned();
    evidence.standing.effects_moving = 3;
    evidence.summary.pending = 1;
    assert_eq!(told(&evidence, Phase::Underway), [] as [&str; 0]);
}

#[test]
fn what_people_did_is_not_held_against_us() {
    let mut evidence = all_is_well();
    // A person chose another owner after our write; another contact was merged away, and one went to the bin.
    evidence.owners.extend([(7, Ownership { owner: 12, ..owned(7).1 })]);
    let human = Happening {
        change: Change::Update,
        at: 30_000,
        owner_changed: true,
        ..created(CrmObject::Person, 7, false)
    };
    evidence.happenings.push(human);
    evidence.owners.remove(&8);
    evidence.happenings.push(Happening { change: Change::Archive, ..created(CrmObject::Person, 8, false) });
    // A change moved a contact behind the mark again before it was read.
    evidence.happenings.push(created(CrmObject::Person, 17, false));
    evidence.happenings.push(Happening {
        change: Change::Update,
        at: 70_000,
        ..created(CrmObject::Person, 17, false)
    });
    evidence.owners.extend([owned(17)]);
    evidence.entered.insert(17);
    assert_eq!(told(&evidence, Phase::Drained), ["I1 everything that arrived was seen"]);
    let owners = evidence.owners();
    assert_eq!((owners.others_chose, owners.contact_gone, owners.wrong), (1, 1, 0));
}

#[test]
fn who_is_heard_of_after_the_contact_was_deleted_asks_anew() {
    let mut evidence = all_is_well();
    evidence.leads[1].email = evidence.leads[0].email.clone();
    evidence.leads[0].state = "closed:suppressed".to_owned();
    evidence.leads[0].deleted_at = Some(at(19));
    assert_eq!(told(&evidence, Phase::Underway).len(), 0);
}

#[test]
fn a_source_may_hide_a_change_for_as_long_as_it_was_said_to() {
    let mut evidence = all_is_well();
    evidence.answers.push(Answer { connection: "form".to_owned(), token: "f3".to_owned(), at: 57_000 });
    assert_eq!(told(&evidence, Phase::Underway).len(), 1);
    evidence.scene.hidden_for = std::time::Duration::from_secs(3);
    assert_eq!(told(&evidence, Phase::Underway).len(), 0);
}

#[test]
fn where_leads_are_entered_the_cursor_of_leads_is_judged() {
    let mut evidence = all_is_well();
    evidence.happenings.push(created(CrmObject::Lead, 15, false));
    evidence.entered.insert(15);
    for (entered, stream, broken) in [
        (CrmObject::Lead, "leads/live", 1),
        (CrmObject::Lead, "contacts/live", 0),
        (CrmObject::Person, "leads/live", 0),
    ] {
        evidence.scene.entered = entered;
        evidence.marks[0].stream = stream.to_owned();
        assert_eq!(told(&evidence, Phase::Underway).len(), broken, "{entered} {stream}");
    }
}

#[test]
fn an_inquiry_beside_one_that_failed_is_none_too_many() {
    let mut evidence = all_is_well();
    for id in [18, 19] {
        evidence.happenings.push(created(CrmObject::Lead, id, true));
        evidence.about.insert((CrmObject::Lead, id), 7);
    }
    let made = |id| Inquiry { object: CrmObject::Lead, id, owner: Some(11) };
    evidence.inquiries = HashMap::from([("l1".to_owned(), made(18)), ("l2".to_owned(), made(19))]);
    assert_eq!(told(&evidence, Phase::Drained), ["I2 nobody has several leads or deals"]);
    evidence.leads[0].state = "closed:failed".to_owned();
    assert_eq!(told(&evidence, Phase::Drained), [] as [&str; 0]);
}

#[test]
fn one_that_was_entered_and_opened_nothing_is_none_too_many() {
    let mut evidence = all_is_well();
    evidence.scene.entered = CrmObject::Lead;
    evidence.happenings.extend([created(CrmObject::Lead, 18, false), created(CrmObject::Lead, 19, true)]);
    evidence.about.extend([((CrmObject::Lead, 18), 7), ((CrmObject::Lead, 19), 7)]);
    for (state, broken) in [("updated", false), ("opened", true)] {
        evidence.records[0] = RecordRow { object: "leads".to_owned(), ..record("crm", "18", state) };
        let told = told(&evidence, Phase::Drained);
        assert_eq!(told.contains(&"I2 nobody has several leads or deals"), broken, "{state}: {told:?}");
    }
}

#[tokio::test]
async fn an_empty_house_breaks_nothing_and_one_that_was_never_connected_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usher.db");
    let store = usher_store::SqliteStore::open(file.to_str().unwrap(), usher_store::OpenOptions::daemon());
    let store = store.await.unwrap();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let mut ledger = Ledger::open(file.to_str().unwrap()).await.unwrap();
    let mut scene = Scene::of(CrmVendor::Hubspot, "crm");
    scene.forms.push(Form { connection: "form".to_owned(), id: "f".to_owned() });
    for connection in ["crm", "form"] {
        let told = Evidence::collect(&mut ledger, &sandbox, scene.clone()).await.unwrap_err().to_string();
        assert!(told.contains(&format!("`{connection}` was never connected")), "{told}");
        store.connect(&ConnectionName::new(connection), at(0)).await.unwrap();
    }
    let evidence = Evidence::collect(&mut ledger, &sandbox, scene).await.unwrap();
    assert_eq!(evidence.broken(Phase::Drained), []);
    assert_eq!(ledger.integrity().await.unwrap(), "ok");
}
