//! The one pipeline and its stages.

use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::cursor::page;
use super::state::Drive;

pub(crate) const PIPELINE: u64 = 1;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) id: u64,
    pub(crate) pipeline: u64,
    name: &'static str,
    probability: u64,
}

const fn make(id: u64, name: &'static str, probability: u64) -> Stage {
    Stage { id, pipeline: PIPELINE, name, probability }
}

const STAGES: [Stage; 5] = [
    make(1, "Qualified", 20),
    make(2, "Contact made", 40),
    make(3, "Demo scheduled", 60),
    make(4, "Proposal made", 80),
    make(5, "Negotiations started", 90),
];

pub(crate) fn stage(id: u64) -> Option<Stage> {
    STAGES.into_iter().find(|stage| stage.id == id)
}

pub(crate) fn first() -> Stage {
    STAGES[0]
}

const TIME: &str = "2024-01-08T09:00:00Z";

/// `GET /v2/pipelines`.
pub(crate) fn list(_drive: &mut Drive, call: &Call<'_>) -> Answer {
    let pipeline = json!({"id": PIPELINE, "name": "Pipeline", "order_nr": 1, "is_deleted": false,
        "is_deal_probability_enabled": true, "add_time": TIME, "update_time": TIME});
    let (data, cursor) = page(call, vec![pipeline])?;
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": cursor}}))
}

/// `GET /v2/stages`.
pub(crate) fn stages(_drive: &mut Drive, call: &Call<'_>) -> Answer {
    let pipeline = call.query_number::<u64>("pipeline_id")?;
    let wanted = STAGES.iter().filter(|stage| pipeline.is_none_or(|id| id == stage.pipeline));
    let rows: Vec<Value> = wanted
        .map(|stage| {
            json!({"id": stage.id, "order_nr": stage.id, "name": stage.name, "is_deleted": false,
                "deal_probability": stage.probability, "pipeline_id": stage.pipeline,
                "is_deal_rot_enabled": false, "days_to_rotten": null, "add_time": TIME, "update_time": TIME})
        })
        .collect();
    let (data, cursor) = page(call, rows)?;
    ok(&json!({"success": true, "data": data, "additional_data": {"next_cursor": cursor}}))
}
