//! Pipelines and stages: where a deal or lead begins (API-FACTS HubSpot: Create, Deal, Lead).
//!
//! The ids are those of a new account; the second deal pipeline is there so that a stage can belong to another one.

use serde_json::{Map, Value};

use super::errors::{ApiError, BadValue};
use super::kinds::{DEALS, LEADS};
use super::registry::Registry;
use super::write::Values;

type Pipeline = (&'static str, &'static [&'static str]);

static OF_DEALS: &[Pipeline] = &[
    (
        "default",
        &[
            "appointmentscheduled",
            "qualifiedtobuy",
            "presentationscheduled",
            "decisionmakerboughtin",
            "contractsent",
            "closedwon",
            "closedlost",
        ],
    ),
    ("71520", &["128801", "128802"]),
];

static OF_LEADS: &[Pipeline] = &[(
    "lead-pipeline-id",
    &[
        "new-stage-id",
        "attempting-stage-id",
        "connected-stage-id",
        "qualified-stage-id",
        "unqualified-stage-id",
    ],
)];

static CLOSED: &[&str] = &["closedwon", "closedlost", "128802"];

/// Puts what is created where it begins: into the first pipeline if it names none, a lead into its first stage too. A stage
/// must be one of the pipeline's.
pub(crate) fn begin(kind: usize, input: &mut Map<String, Value>) -> Result<(), ApiError> {
    let (pipelines, pipeline_name, stage_name) = match kind {
        DEALS => (OF_DEALS, "pipeline", "dealstage"),
        LEADS => (OF_LEADS, "hs_pipeline", "hs_pipeline_stage"),
        _ => return Ok(()),
    };
    let given = |input: &Map<String, Value>, name: &str| {
        input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let wanted = given(input, pipeline_name);
    let found = match &wanted {
        Some(wanted) => pipelines.iter().find(|(id, _)| id == wanted),
        None => pipelines.first(),
    };
    let Some((pipeline, stages)) = found else {
        return Err(no_option(pipeline_name, &wanted.unwrap_or_default()));
    };
    let stage = given(input, stage_name).or_else(|| stages.first().map(|stage| (*stage).to_owned()));
    let stage = stage.unwrap_or_default();
    if !stages.contains(&stage.as_str()) {
        return Err(no_option(stage_name, &stage));
    }
    input.insert(pipeline_name.to_owned(), Value::from(*pipeline));
    input.insert(stage_name.to_owned(), Value::from(stage));
    Ok(())
}

/// What HubSpot works out of a deal's stage (HubSpot docs: default deal properties, "Is deal closed").
pub(crate) fn follow_stage(registry: &Registry, values: &mut Values) {
    let stage = registry.find("dealstage");
    let set = values.iter().find(|(prop, _)| Some(*prop) == stage).and_then(|(_, stage)| stage.clone());
    let (Some(stage), Some(closed)) = (set, registry.find("hs_is_closed")) else { return };
    let is_closed = CLOSED.contains(&stage.as_str());
    values.push((closed, Some(is_closed.to_string())));
}

fn no_option(name: &str, value: &str) -> ApiError {
    let message = format!("{value} was not one of the allowed options");
    ApiError::values(&[BadValue { message, code: "INVALID_OPTION", name: name.to_owned() }])
}
