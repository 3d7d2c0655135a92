//! `usher check`: every file is read, every mapping's test cases run; with `--online` the connections are asked too.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use usher_connector::{KeyProperty, KeyState};
use usher_document::{Diagnostic, SourceFile};
use usher_engine::Engine;
use usher_engine::settings::ConnectionSettings;
use usher_model::SystemClock;
use usher_store::Store;

use crate::cli::{Common, Outcome, properties};
use crate::failure::{Failure, chain};
use crate::output;
use crate::setup::{self, Loaded};
use crate::tokens;

/// Check every file, and with --online the connections too
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Also ask the CRM: token, scopes, owners
    #[arg(long)]
    online: bool,
}

pub(crate) async fn run(common: &Common, args: &Check) -> Outcome {
    let loaded = match setup::load(&common.config) {
        Ok(loaded) => loaded,
        Err(Failure::Files(diagnostics, _)) if common.json => return Err(as_json(&diagnostics)),
        Err(failure) => return Err(failure),
    };
    let failed = run_tests(&loaded);
    for problem in &failed {
        output::note(problem);
    }
    for (connection, by_hand) in webhooks_by_hand(&loaded) {
        output::note(&format!("webhooks of {connection} are entered by hand at the vendor: {by_hand}"));
    }
    for each in &loaded.settings.connections {
        for scope in each.further_scopes() {
            output::note(&format!("{} also needs the permission {} ({})", each.name, scope.name, scope.why));
        }
    }
    let tokens = setup::token_store(&loaded).await?;
    say_tokens(&loaded, tokens.as_ref()).await?;
    let online = if args.online { ask(&loaded, tokens.as_ref()).await? } else { Vec::new() };
    if let Some(store) = tokens {
        store.close().await?;
    }
    for problem in &online {
        output::note(&format!("problem: {problem}"));
    }
    if !failed.is_empty() || !online.is_empty() {
        return Err(Failure::input(format!("{} problems found", failed.len() + online.len())));
    }
    if common.json {
        output::json(
            &json!({ "ok": true, "files": loaded.files.iter().map(SourceFile::name).collect::<Vec<_>>() }),
        );
    } else {
        let names: Vec<&str> = loaded.files.iter().map(SourceFile::name).collect();
        output::data(&format!("ok: {}", names.join(", ")));
    }
    Ok(())
}

fn as_json(diagnostics: &[Diagnostic]) -> Failure {
    output::json(&json!({ "ok": false, "problems": diagnostics }));
    Failure::input(format!("{} problems found", diagnostics.len()))
}

fn run_tests(loaded: &Loaded) -> Vec<String> {
    let mut failed = Vec::new();
    for (name, mapping) in &loaded.mappings {
        for test in mapping.run_tests() {
            if !test.passed {
                let place = format!("{}:{}", test.place.file(), test.place.span.line);
                failed.push(format!(
                    "{place}: test `{}` of {name} fails: {}",
                    test.name,
                    test.differences.join("; ")
                ));
            }
        }
    }
    failed
}

/// What a person has to enter at vendors that can not be told by API where to call.
fn webhooks_by_hand(loaded: &Loaded) -> Vec<(String, String)> {
    let Some(base) = &loaded.settings.http.public_url else {
        return Vec::new();
    };
    let takes_webhooks = |each: &&ConnectionSettings| !each.configured.secrets().is_empty();
    let connections = loaded.settings.connections.iter().filter(takes_webhooks);
    connections
        .filter_map(|each| {
            let by_hand = each.connector.manifest().webhooks_by_hand?;
            Some((each.name.to_string(), format!("{base}/hooks/{} {by_hand}", each.name)))
        })
        .collect()
}

async fn say_tokens(loaded: &Loaded, store: Option<&Arc<dyn Store>>) -> Outcome {
    let rows = match store {
        Some(store) => store.tokens().await?,
        None => Vec::new(),
    };
    for connection in &loaded.settings.connections {
        if let Some(token) = tokens::describe(connection, &rows, crate::daemon::now()) {
            output::note(&format!("{}: {token}", connection.name));
        }
    }
    Ok(())
}

async fn ask(loaded: &Loaded, tokens: Option<&Arc<dyn Store>>) -> Result<Vec<String>, Failure> {
    let store = setup::scratch_store().await?;
    let engine =
        setup::assemble_with(loaded, Arc::clone(&store), tokens.unwrap_or(&store), Arc::new(SystemClock))
            .await?;
    let mut problems = Vec::new();
    if let Err(error) = engine.refresh_owners().await {
        problems.push(chain(&error));
    } else {
        output::note(&format!("owner and task are carried by {}", engine.carriers()));
        problems.extend(engine.roster_problems());
        problems.extend(key_problems(&engine).await);
        if loaded.settings.write.create_company && !engine.makes_companies() {
            problems.push(format!(
                "`write.create_company`: {} makes no companies; remove it",
                loaded.settings.crm
            ));
        }
    }
    store.close().await?;
    Ok(problems)
}

/// Key properties that usher.yaml names and that can not carry keys.
async fn key_problems(engine: &Engine) -> Vec<String> {
    let crm = engine.connection(engine.crm()).ok().map(|crm| &crm.roles);
    let properties = match properties::ask(crm, false).await {
        Ok(properties) => properties,
        Err(failure) => return vec![failure.text()],
    };
    let unfit = properties.iter().filter(|each| each.configured && each.state != KeyState::Ready);
    let tell = |each: &KeyProperty| {
        format!("{} can not carry keys in `{}`: {}", each.object, each.name, properties::advice(each))
    };
    unfit.map(tell).collect()
}
