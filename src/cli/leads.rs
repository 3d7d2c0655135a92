//! `usher leads list|show|add`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;
use serde_json::value::RawValue;
use usher_model::field::CATALOGUE;
use usher_model::{FieldType, LeadState};
use usher_store::{LeadFilter, LeadStory, LeadSummary, Store};

use crate::cli::{Common, Outcome, touches};
use crate::failure::Failure;
use crate::output;
use crate::setup::{self, Access};

/// List, show or add leads
#[derive(Debug, Args)]
pub(crate) struct Leads {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Leads, newest first
    List {
        /// Only these: decided, waiting or closed
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One lead with its records, decisions and writes, and what people did to it
    Show {
        /// Its id, the person's e-mail address, or the CRM's id or URL
        lead: String,
    },
    /// Enter a lead by hand, as `email=ana@acme.example company=Acme`
    Add {
        /// field=value, any number
        #[arg(required = true)]
        fields: Vec<String>,
        /// Makes a repeat harmless: the same id is the same lead
        #[arg(long)]
        id: Option<String>,
    },
}

pub(crate) async fn run(common: &Common, args: Leads) -> Outcome {
    match args.verb {
        Verb::List { state, limit } => list(common, state.as_deref(), limit).await,
        Verb::Show { lead } => show(common, &lead).await,
        Verb::Add { fields, id } => add(common, &fields, id.as_deref()).await,
    }
}

async fn list(common: &Common, state: Option<&str>, limit: u32) -> Outcome {
    let state = match state {
        None => None,
        Some("decided") => Some(LeadState::Decided),
        Some("waiting") => Some(LeadState::Waiting),
        Some("closed") => Some(LeadState::Closed),
        Some(other) => {
            return Err(Failure::input(format!("`{other}` is no state; use decided, waiting or closed")));
        }
    };
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let leads = store.leads(&LeadFilter { state, limit, ..LeadFilter::default() }).await?;
    store.close().await?;
    if common.json {
        output::json(&leads.iter().map(summary).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = leads.iter().map(row).collect();
    output::data(&output::table(&["lead", "state", "name", "owner", "path"], &rows));
    Ok(())
}

fn standing(lead: &usher_model::Lead) -> String {
    match lead.close_reason {
        Some(reason) => reason.as_str().to_owned(),
        None => lead.state.as_str().to_owned(),
    }
}

fn row(each: &LeadSummary) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        each.lead.id.to_string(),
        standing(&each.lead),
        each.lead.fields.display_name(),
        text(&each.owner),
        text(&each.path),
    ]
}

fn summary(each: &LeadSummary) -> serde_json::Value {
    json!({
        "id": each.lead.id, "state": each.lead.state, "close_reason": each.lead.close_reason, "detail": each.lead.detail,
        "received_at": each.lead.received_at, "connection": each.lead.connection, "fields": each.lead.fields.values,
        "owner": each.owner, "path": each.path, "why": each.why,
    })
}

/// Finds a lead by what the user has at hand: our id, an e-mail address, the CRM's id or a URL that ends in it.
pub(crate) async fn find(store: &dyn Store, what: &str) -> Result<LeadStory, Failure> {
    let what = what.trim();
    let id = match what.parse() {
        Ok(id) => Some(id),
        Err(_) => {
            let mut filter = LeadFilter { limit: 1, ..LeadFilter::default() };
            if what.contains('@') {
                filter.email = Some(what.to_lowercase());
            } else {
                let last = what.trim_end_matches('/').rsplit(['/', '=']).next().unwrap_or(what);
                filter.external_id = Some(last.into());
            }
            store.leads(&filter).await?.first().map(|summary| summary.lead.id)
        }
    };
    let story = match id {
        Some(id) => store.lead_story(id).await?,
        None => None,
    };
    story.ok_or_else(|| {
        Failure::input(format!(
            "no lead is known by `{what}`; give a lead id, an e-mail address, or the CRM's id or URL"
        ))
    })
}

async fn show(common: &Common, what: &str) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Command).await?;
    let found = match find(&*store, what).await {
        Ok(story) => Ok((store.lead_events(story.lead.id).await?, story)),
        Err(unknown) => Err(unknown),
    };
    let owners = store.owners(&loaded.settings.crm).await?.0;
    store.close().await?;
    let (events, story) = found?;
    if common.json {
        let mut shown = story_json(&story);
        shown["touches"] = touches::as_json(&events);
        output::json(&shown);
        return Ok(());
    }
    let lead = &story.lead;
    output::data(&format!("{}  {}  {}", lead.id, standing(lead), lead.fields.display_name()));
    output::data(&format!("received {} through {}", lead.received_at, lead.connection));
    if let Some(detail) = &lead.detail {
        output::data(detail);
    }
    for (name, value) in &lead.fields.values {
        let from = lead
            .fields
            .provenance
            .get(name)
            .map(|each| format!("   (from {})", each.from))
            .unwrap_or_default();
        output::data(&format!("  {name}: {value}{from}"));
    }
    for decision in &story.decisions {
        output::data(&format!("decided {}: {} [{}]", decision.at, decision.why, decision.path));
    }
    for effect in &story.effects {
        let problem = effect.problem.as_deref().map(|problem| format!("  {problem}")).unwrap_or_default();
        let id = effect.external_id.as_ref().map(|id| format!("  → {id}")).unwrap_or_default();
        output::data(&format!("  write {}: {}{id}{problem}", effect.kind.as_str(), effect.state.as_str()));
    }
    if touches::are_watched(&loaded.settings) || !events.events.is_empty() {
        for line in touches::lines(&events, &touches::Names::of(owners)) {
            output::data(&line);
        }
    }
    Ok(())
}

/// A lead's story as JSON.
pub(crate) fn story_json(story: &LeadStory) -> serde_json::Value {
    let records: Vec<_> = story
        .records
        .iter()
        .map(|each| json!({ "id": each.id, "connection": each.connection, "external_id": each.external_id, "state": each.state, "received_at": each.received_at }))
        .collect();
    let effects: Vec<_> = story
        .effects
        .iter()
        .map(|each| json!({ "key": each.key, "kind": each.kind, "state": each.state, "attempts": each.attempts, "planned_at": each.planned_at, "ended_at": each.ended_at, "problem": each.problem, "external_id": each.external_id }))
        .collect();
    let attempts: Vec<_> = story
        .attempts
        .iter()
        .map(|each| json!({ "key": each.key, "number": each.number, "at": each.at, "outcome": each.outcome, "detail": each.detail }))
        .collect();
    json!({ "lead": story.lead, "records": records, "decisions": story.decisions, "writes": effects, "attempts": attempts })
}

async fn add(common: &Common, pairs: &[String], id: Option<&str>) -> Outcome {
    let mut values: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::input(format!("`{pair}` is no field=value")));
        };
        let names = CATALOGUE.iter().map(|field| field.name);
        let Some(field) = usher_model::field::find(name) else {
            let near = usher_document::nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
            return Err(Failure::input(format!(
                "`{name}` is no field of a lead{}",
                near.unwrap_or_default()
            )));
        };
        let value = match (field.kind, value.parse::<f64>()) {
            (FieldType::Number, Ok(number)) => json!(number),
            _ => json!(value),
        };
        values.insert(name, value);
    }
    let payload: Box<RawValue> = serde_json::value::to_raw_value(&values).map_err(anyhow::Error::from)?;
    let loaded = setup::load(&common.config)?;
    let store = setup::open_store(&loaded.settings, Access::Entry).await?;
    let engine = setup::assemble(&loaded, store).await?;
    let added = engine.add_lead(payload, id).await;
    engine.store().close().await?;
    match added? {
        Ok(added) if common.json => output::json(&json!({ "record": added.record })),
        Ok(added) => output::data(&format!(
            "stored as record {}; the daemon (or `usher sync`) routes it",
            added.record
        )),
        Err(refused) => {
            return Err(Failure::input(format!(
                "the lead can not be taken: {}",
                refused.problems.join("; ")
            )));
        }
    }
    Ok(())
}
