//! `usher key`: the key that encrypts OAuth tokens at rest. Each verb may be killed at any moment and run again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use clap::Subcommand;
use serde_json::json;
use usher_engine::StoredTokens;
use usher_host::{KeySource, Keyring};
use usher_model::{SystemClock, crash};

use crate::cli::{Common, Outcome};
use crate::failure::{Failure, chain};
use crate::output;
use crate::setup::{self, Access};
use crate::tokens;

/// Make, rotate or list the keys that encrypt tokens
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make the first key; never over tokens that an older one sealed
    New {
        /// Delete the stored tokens, because their key is lost; every connection must be connected again
        #[arg(long)]
        forget_tokens: bool,
    },
    /// Make a new key and seal every token with it; older keys stay in the file, for backups
    Rotate,
    /// Take keys out of the file that no stored token needs
    Prune,
    /// The ids of the keys, and how many connections' tokens each seals
    List,
}

pub(crate) async fn run(common: &Common, verb: Key) -> Outcome {
    let loaded = setup::load(&common.config)?;
    let source = tokens::key_source(&loaded.settings)?;
    let store = setup::open_store(&loaded.settings, Access::Entry).await?;
    let tokens = StoredTokens(std::sync::Arc::clone(&store));
    let done = match verb {
        Key::New { forget_tokens } => new(&source, &tokens, forget_tokens).await,
        Key::Rotate => rotate(&source, &tokens).await,
        Key::Prune => prune(&source, &tokens).await,
        Key::List => list(common, &source, &tokens).await,
    };
    store.close().await?;
    done
}

async fn new(source: &KeySource, tokens: &StoredTokens, forget: bool) -> Outcome {
    let KeySource::File(path) = source else {
        output::note(&format!("set {source} to this; it is shown once and kept nowhere:"));
        output::data(&String::from_utf8_lossy(usher_host::new_key().expose()));
        return Ok(());
    };
    if path.exists() {
        return Err(Failure::input(format!(
            "{source} exists already; `usher key rotate` makes a new key and keeps the tokens"
        )));
    }
    let stored = tokens.0.tokens().await?;
    if let Some(row) = stored.first() {
        if !forget {
            return Err(Failure::input(format!(
                "{} connections' tokens are stored and only the key {} opens them: put {source} back from a backup; if it is lost, `usher key new --forget-tokens` deletes the tokens, and each connection must be connected again",
                stored.len(),
                row.grant.sealed.key
            )));
        }
        let gone = tokens.0.forget_tokens().await?;
        output::note(&format!("deleted the tokens of {gone} connections: run `usher connect` for each"));
    }
    write_new(path)?;
    output::note(&format!("wrote {source}; back it up, and never together with the database"));
    Ok(())
}

async fn rotate(source: &KeySource, tokens: &StoredTokens) -> Outcome {
    let keys = read(source)?;
    let newest = keys.ids().first().map(|id| (*id).to_owned()).unwrap_or_default();
    let rows = tokens.0.tokens().await?;
    // A rotation that was killed has put its key into the file already: it is finished, not begun again.
    let begun = rows.iter().any(|row| row.grant.sealed.key != newest);
    if let (KeySource::File(path), false) = (source, begun) {
        let old = usher_host::resolve_file(path).map_err(|error| Failure::input(chain(&error)))?;
        replace(path, &[usher_host::new_key().expose(), b"\n", old.expose(), b"\n"].concat())?;
    }
    crash::point("key.after_write");
    let keys = read(source)?;
    let mut sealed = 0;
    for row in &rows {
        let done = usher_host::reseal(tokens, &row.connection, &keys, &SystemClock).await;
        sealed += usize::from(done.map_err(|error| Failure::input(chain(&error)))?);
        crash::point("key.after_reseal");
    }
    output::note(&format!("{sealed} connections' tokens are sealed with the key {}", keys.ids()[0]));
    output::note("older keys stay for backups of the database; `usher key prune` takes them out");
    Ok(())
}

async fn prune(source: &KeySource, tokens: &StoredTokens) -> Outcome {
    let KeySource::File(path) = source else {
        return Err(Failure::input(format!(
            "take the older keys out of {source} yourself; see `usher key list`"
        )));
    };
    let keys = read(source)?;
    let rows = tokens.0.tokens().await?;
    let text = usher_host::resolve_file(path).map_err(|error| Failure::input(chain(&error)))?;
    let parts = text.expose().split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    let needed = |(at, id): (usize, &&str)| at == 0 || rows.iter().any(|row| row.grant.sealed.key == **id);
    let ids = keys.ids();
    let kept: Vec<&[u8]> =
        parts.zip(ids.iter().enumerate()).filter(|(_, key)| needed(*key)).map(|(part, _)| part).collect();
    let removed = ids.len() - kept.len();
    if removed > 0 {
        replace(path, &[kept.join(&b'\n'), b"\n".to_vec()].concat())?;
    }
    output::note(&format!(
        "took {removed} keys out of {source}; a backup that needs them can not be opened any more"
    ));
    Ok(())
}

async fn list(common: &Common, source: &KeySource, tokens: &StoredTokens) -> Outcome {
    let keys = read(source)?;
    let mut counts: BTreeMap<String, usize> = keys.ids().iter().map(|id| ((*id).to_owned(), 0)).collect();
    for row in tokens.0.tokens().await? {
        *counts.entry(row.grant.sealed.key).or_default() += 1;
    }
    let here = keys.ids();
    let rows: Vec<_> = counts
        .iter()
        .map(|(id, count)| (id, count, here.first() == Some(&id.as_str()), here.contains(&id.as_str())))
        .collect();
    if common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(id, count, seals, here)| json!({ "id": id, "connections": count, "seals": seals, "here": here }))
            .collect();
        output::json(&rows);
        return Ok(());
    }
    for (id, count, seals, here) in rows {
        let what = match (seals, here) {
            (true, _) => "seals",
            (false, true) => "opens",
            (false, false) => "MISSING",
        };
        output::data(&format!("{id}  {what:8} {count} connections"));
    }
    Ok(())
}

fn read(source: &KeySource) -> Result<Keyring, Failure> {
    source.read().map_err(|error| Failure::input(chain(&error)))
}

/// Writes a first key. Never over a file that is there.
pub(crate) fn write_new(path: &Path) -> Outcome {
    if path.exists() {
        return Err(Failure::input(format!("{} exists already", path.display())));
    }
    replace(path, &[usher_host::new_key().expose(), b"\n"].concat())
}

/// Puts a file there, whole or not at all, for its owner's eyes only.
fn replace(path: &Path, content: &[u8]) -> Outcome {
    let unwritable =
        |error: std::io::Error| Failure::input(format!("{} can not be written: {error}", path.display()));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    // Left over by a process that was killed: it may be cut, and may be anybody's to read.
    let _ = std::fs::remove_file(&beside);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(unwritable)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(unwritable)?;
    std::fs::rename(&beside, path).map_err(unwritable)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The name is durable once its folder is; not every system can sync one.
    let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}
