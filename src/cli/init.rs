//! `usher init`: writes the files of a new installation, in mode observe, and says which scopes are needed and why.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use usher_connector::Manifest;

use crate::cli::{Common, Outcome};
use crate::failure::Failure;
use crate::output;
use crate::registry::registry;

/// Write the files of a new installation, in mode observe
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to write into; made if it does not exist
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The connectors to write connections for, as `--with hubspot,typeform`; all of them unless named
    #[arg(long, value_delimiter = ',')]
    with: Vec<String>,
}

pub(crate) fn run(_common: &Common, args: &Init) -> Outcome {
    let manifests = chosen(&args.with)?;
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let files = [("usher.yaml", settings(&manifests)?), ("routing.yaml", ROUTING.to_owned())];
    for (name, _) in &files {
        let path = folder.join(name);
        if path.exists() {
            let path = path.display();
            return Err(Failure::input(format!(
                "{path} exists already; usher never overwrites your files: choose another folder"
            )));
        }
    }
    for (name, text) in &files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        output::note(&format!("wrote {}", path.display()));
    }
    let key = folder.join("usher.key");
    if key.exists() {
        output::note(&format!("kept {}", key.display()));
    } else {
        crate::cli::key::write_new(&key)?;
        output::note(&format!("wrote {}", key.display()));
    }
    output::data(&scopes(&manifests));
    output::note(&format!(
        "next: edit the files, then `usher check --config {}`; mode observe sends nothing to the CRM",
        folder.join("usher.yaml").display()
    ));
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("{} can not be written: {error}", path.display()))
}

fn chosen(with: &[String]) -> Result<Vec<&'static Manifest>, Failure> {
    let registry = registry();
    let all: Vec<&'static Manifest> = registry.connectors().map(|connector| connector.manifest()).collect();
    if with.is_empty() {
        return Ok(all);
    }
    with.iter()
        .map(|id| {
            all.iter().find(|manifest| manifest.id == id).copied().ok_or_else(|| {
                let ids: Vec<&str> = registry.ids().collect();
                Failure::input(format!("no connector `{id}`; there are {}", ids.join(", ")))
            })
        })
        .collect()
}

/// The CRM is written as it is; other connections as comments, so that the file is good before they are set up.
fn settings(manifests: &[&Manifest]) -> Result<String, Failure> {
    let crm = manifests.iter().find(|manifest| manifest.example.is_crm);
    let crm =
        crm.ok_or_else(|| Failure::input("name a CRM among --with: leads need one to be written to"))?;
    let mut text = HEAD.to_owned();
    for manifest in manifests {
        let comment = if manifest.id == crm.id { "" } else { "# " };
        let _ = writeln!(text, "  {comment}{}:", manifest.example.name);
        for line in manifest.example.yaml.lines() {
            let _ = writeln!(text, "  {comment}  {line}");
        }
    }
    let _ = write!(text, "crm: {}\n{TAIL}", crm.example.name);
    Ok(text)
}

fn scopes(manifests: &[&Manifest]) -> String {
    let mut text = String::new();
    for manifest in manifests.iter().filter(|manifest| !manifest.scopes.is_empty()) {
        let _ = writeln!(text, "{} needs these permissions ({}):", manifest.title, manifest.docs);
        for scope in manifest.scopes {
            let _ = writeln!(text, "  {:32} {:9} {}", scope.name, scope.role.as_str(), scope.why);
        }
    }
    text
}

const HEAD: &str = "\
# Usher's settings. Check them with `usher check`.
version: 1

# observe: decide everything, send nothing. live: write to the CRM.
mode: observe

store: sqlite://usher.db
# For several nodes: { url: postgres://usher@db.example/usher, password: { env: USHER_DB_PASSWORD } }

# Encrypts the tokens that vendors grant by OAuth. Back it up, and never together with the database: without it
# every connection must be connected again. `usher key rotate` replaces it.
key: { file: usher.key }

# The accounts that leads come from and go to. Secrets are never in this file: name an environment variable
# or a file that has them.
connections:
";

const TAIL: &str = "
write:
  # CRM owners that stand for nobody, as an integration's user
  treat_as_unowned: []
  # A connection that opens more leads within an hour is held until you look: an import is no 20,000 tasks.
  guard: { max_per_hour: 500 }
  # The company of a lead that belongs to none at the CRM, by its domain
  # create_company: if_missing

routing: routing.yaml

http:
  # Webhooks come in at <public_url>/hooks/<connection>
  listen: 127.0.0.1:8470
  # public_url: https://usher.example.com
  # api_key: { env: USHER_API_KEY }    # for POST /api/leads

# Who is told when something needs a person, and a URL that hears from us every minute while all is well.
# alerts: { to: { env: ALERT_URL }, heartbeat: { env: HEARTBEAT_URL } }

# How long raw data is kept.
# retention: { payloads: 90d, deliveries: 30d, attempts: 90d }
";

const ROUTING: &str = "\
# Who gets which lead. Rules are tried in order; the first whose `when` holds decides.
version: 1

# Reps are tied to CRM owners by e-mail.
reps:
  ana:   { email: ana@agency.example, hours: office }
  ben:   { email: ben@agency.example, hours: office }
  carla: { email: carla@agency.example }

calendars:
  office:
    time_zone: Europe/Berlin
    hours: { mon-fri: \"09:00-17:30\" }

pools:
  everyone:
    members: [ana, ben]                # or with weights: { ana: 2, ben: 1 }
    strategy: round_robin
    # Nobody in? Wait for the next opening, but not longer than this.
    if_nobody: { wait: 30m, then: { rep: carla } }

rules:
  - name: Customers keep their owner
    when: 'account.owner != null'
    assign: { to: account.owner, if_unavailable: { pool: everyone } }
  - name: Everyone else
    when: 'true'
    assign: { pool: everyone }

# Whoever catches what no rule took.
fallback: { rep: carla }
";
