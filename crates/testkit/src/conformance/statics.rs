//! What a connector says of itself, without any call.

use anyhow::{bail, ensure};
use usher_connector::{Auth, Role};

use super::Outcome;
use super::bench::{Bench, configure};

pub(super) async fn manifest(bench: &Bench) -> Outcome {
    let manifest = bench.rig.connector.manifest();
    let id = manifest.id;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    ensure!(plain, "the id `{id}` is not made of small letters and digits");
    ensure!(!manifest.title.trim().is_empty(), "there is no title");
    ensure!(manifest.docs.starts_with("https://"), "`docs` is no address of the vendor's documentation");
    for scope in manifest.scopes {
        ensure!(scope.why.trim().len() > 8, "the scope `{}` has no reason", scope.name);
        ensure!(
            manifest.roles.contains(&scope.role),
            "the scope `{}` is for a role that is not there",
            scope.name
        );
    }
    let calls = bench.configured.protocol().is_some();
    ensure!(
        calls == manifest.base_url.is_some(),
        "`base_url` and the protocol disagree about whether calls are made"
    );
    ensure!(calls || manifest.auth == Auth::None, "a connector that makes no calls asks for a credential");
    ensure!(!calls || !manifest.scopes.is_empty(), "a connector that makes calls names no scope");
    let file = format!("mappings/{}.yaml", manifest.mapping);
    // Cargo runs a test in its package's folder, which is somewhere below the folder that has `mappings`.
    let folder = std::env::current_dir()?;
    ensure!(
        folder.ancestors().any(|folder| folder.join(&file).is_file()),
        "there is no shipped mapping `{file}`"
    );
    if let Some(protocol) = bench.configured.protocol() {
        ensure!(!protocol.limits().is_empty(), "the protocol declares no limit");
    }
    Ok(())
}

pub(super) async fn example(bench: &Bench) -> Outcome {
    let connector = &*bench.rig.connector;
    let example = connector.manifest().example;
    let (configured, problems) = configure(connector, example.yaml);
    ensure!(problems.is_empty(), "the example has problems: {problems:?}");
    ensure!(configured.is_some(), "the example is refused without a word");
    ensure!(
        example.yaml.contains(&format!("connector: {}", connector.manifest().id)),
        "the example names another connector"
    );
    Ok(())
}

pub(super) async fn wrong_settings(bench: &Bench) -> Outcome {
    let connector = &*bench.rig.connector;
    let wrong = bench.rig.wrong;
    let yaml: String = wrong.iter().map(|(line, _)| format!("{line}\n")).collect();
    let (configured, problems) = configure(connector, &yaml);
    ensure!(configured.is_none(), "wrong settings are accepted:\n{yaml}");
    for (line, word) in wrong {
        ensure!(
            problems.iter().any(|problem| problem.contains(word)),
            "`{line}` is not told ({word}): {problems:?}"
        );
    }
    ensure!(problems.len() >= wrong.len(), "{} problems are told of {}", problems.len(), wrong.len());
    let unknown = format!("{}\nno_such_key: 1\n", bench.rig.settings.trim_end());
    let (_, problems) = configure(connector, &unknown);
    ensure!(problems.iter().any(|problem| problem.contains("no_such_key")), "an unknown key is passed over");
    Ok(())
}

pub(super) async fn roles(bench: &Bench) -> Outcome {
    let (connection, world) = (&bench.connection, bench.world());
    for (role, there, known) in [
        (Role::Source, connection.source.is_some(), world.source().is_some()),
        (Role::Inbound, connection.inbound.is_some(), world.inbound().is_some()),
        (Role::Directory, connection.directory.is_some(), world.directory().is_some()),
        (Role::Activity, connection.activity.is_some(), world.activity().is_some()),
        (Role::Target, connection.target.is_some(), world.target().is_some()),
    ] {
        let declared = bench.rig.connector.manifest().roles.contains(&role);
        if declared != there || declared != known {
            let role = role.as_str();
            bail!("{role}: declared {declared}, connected {there}, known to the rig {known}");
        }
    }
    Ok(())
}
