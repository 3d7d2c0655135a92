//! `new-connector NAME`: leaves a connector that runs, made from the template beside this file.
//!
//! The template is a member of the workspace: a connector for an invented vendor with every role, which is compiled,
//! linted and held against the conformance suite like any other, so that a change of the contract breaks it and not its
//! next reader. What a role needs is marked as conditional there; a connector gets the parts of its roles, without marks.

mod install;
mod name;
mod template;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use usher_connector::Role;

pub(crate) use self::name::Names;

#[derive(Debug, Args)]
pub(crate) struct NewConnector {
    /// Its id in `connector:`: small letters and digits, as `hubspot`
    name: String,
    /// What it can do: source, inbound, directory, target
    #[arg(long, value_delimiter = ',', default_value = "source")]
    roles: Vec<String>,
    /// Its name as people write it, as `HubSpot`; the id with a capital letter unless told
    #[arg(long)]
    title: Option<String>,
}

/// Writes it into this workspace.
#[expect(clippy::print_stdout, reason = "what to do next is the output")]
pub(crate) fn run(args: &NewConnector) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let roles = roles(&args.roles)?;
    let names = Names::new(&args.name, args.title.as_deref())?;
    let common = install::install(root, &names, &roles)?;
    let id = &names.id;
    println!("wrote connectors/{id} and mappings/{id}.yaml; added lines to Cargo.toml and src/registry.rs");
    if common {
        println!(
            "`{id}` is a word that the code uses anyway, so no test can tell where it leaks: see its Cargo.toml"
        );
    }
    println!("next: cargo test -p usher-{id}, then docs/connector.md");
    Ok(())
}

/// The roles by name, each once.
fn roles(names: &[String]) -> anyhow::Result<Vec<Role>> {
    let known = || Role::ALL.into_iter().filter(|role| *role != Role::Activity).map(Role::as_str);
    let known = || known().collect::<Vec<_>>().join(", ");
    for name in names {
        if !Role::ALL.iter().any(|role| role.as_str() == name) {
            bail!("there is no role `{name}`: write --roles with some of {}", known());
        }
    }
    let roles: Vec<Role> =
        Role::ALL.into_iter().filter(|role| names.iter().any(|name| name == role.as_str())).collect();
    if roles.is_empty() {
        bail!("a connector without a role can do nothing: write --roles with some of {}", known());
    }
    if roles.contains(&Role::Target) && !roles.contains(&Role::Directory) {
        bail!("a target needs the directory, which knows who can own a lead: add it to --roles");
    }
    if roles.contains(&Role::Activity) {
        bail!(
            "the template has no activity to begin with: leave it out, and see docs/connector.md for adding it"
        );
    }
    Ok(roles)
}
