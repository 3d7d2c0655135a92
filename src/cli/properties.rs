//! `usher properties`: the custom properties in which the CRM can carry usher's keys.

use clap::Args;
use serde_json::json;
use usher_connector::{Connection, KeyProperty, KeyState};

use crate::cli::{Common, Outcome};
use crate::failure::{Failure, chain};
use crate::output;
use crate::setup;

/// Show or create the CRM properties that make a repeated write harmless
#[derive(Debug, Args)]
pub(crate) struct Properties {
    /// Create those that are missing
    #[arg(long)]
    create: bool,
}

pub(crate) async fn run(common: &Common, args: &Properties) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let crm = &loaded.settings.crm;
    let (tokens, roles) = setup::roles(&loaded).await?;
    let crm_roles = roles.iter().find(|(name, _)| name == crm).map(|(_, roles)| roles);
    let properties = ask(crm_roles, args.create).await?;
    tokens.close().await?;
    if common.json {
        let rows: Vec<_> = properties
            .iter()
            .map(|each| {
                json!({
                    "object": each.object, "property": each.name, "configured": each.configured,
                    "state": word(each.state),
                })
            })
            .collect();
        output::json(&rows);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = properties
        .iter()
        .map(|each| {
            vec![each.object.to_owned(), each.name.clone(), word(each.state).to_owned(), advice(each)]
        })
        .collect();
    output::data(&output::table(&["object", "property", "state", "to do"], &rows));
    Ok(())
}

/// The CRM's key properties; none if it has no place for keys.
pub(crate) async fn ask(crm: Option<&Connection>, create: bool) -> Result<Vec<KeyProperty>, Failure> {
    let Some(target) = crm.and_then(|roles| roles.target.as_ref()) else { return Ok(Vec::new()) };
    let asked = target.key_properties(create).await;
    asked.map_err(|fault| Failure::input(format!("the CRM's properties: {}", chain(&fault))))
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Missing => "missing",
        KeyState::NotUnique => "not unique",
        KeyState::Ready => "ready",
    }
}

/// What to do about it; empty if nothing.
pub(crate) fn advice(property: &KeyProperty) -> String {
    let KeyProperty { object, name, .. } = property;
    match (property.state, property.configured) {
        (KeyState::Ready, true) => String::new(),
        (KeyState::Ready, false) => {
            format!("write `{object}: {{ unique_property: {name} }}` under the connection in usher.yaml")
        }
        (KeyState::Missing, _) => "`usher properties --create` makes it".to_owned(),
        (KeyState::NotUnique, _) => format!(
            "the CRM keeps its values not unique, which can not be changed later: name another property under \
             `{object}: {{ unique_property: … }}`, or leave keys out"
        ),
    }
}
