//! A connection's settings as the program reads them, for a connector's own tests.

use usher_connector::Manifest;
use usher_document::{Cursor, Diagnostics, MapReader, SourceFile, parse};

/// The keys of a connection that the host reads itself; of `pull` it reads `every`.
pub(crate) const COMMON: [&str; 7] =
    ["connector", "auth", "base_url", "mapping", "timeout", "limits", "watch"];

/// What a connector reads from its keys of a connection's YAML, and every problem found in it, in words. The keys that
/// are the host's are passed over.
pub fn settings_of<T>(
    manifest: &Manifest,
    read: impl FnOnce(&mut MapReader<'_>) -> Option<T>,
    yaml: &str,
) -> (Option<T>, Vec<String>) {
    let (file, diagnostics) = (SourceFile::new("usher.yaml", yaml), Diagnostics::default());
    let settings = match parse(&file) {
        Ok(node) => Cursor::root(&file, &node, &diagnostics).map().and_then(|mut map| {
            for common in COMMON {
                let _ = map.optional_at(common);
            }
            // As the host reads `pull`: its own key, then the connector's.
            if let Some(mut pull) = map.optional_at("pull").and_then(|at| at.map()) {
                ["every"].iter().chain(manifest.pull_keys).for_each(|key| {
                    let _ = pull.optional_at(key);
                });
                pull.finish();
            }
            let settings = read(&mut map);
            map.finish();
            settings
        }),
        Err(problems) => {
            diagnostics.extend(problems);
            None
        }
    };
    (settings, diagnostics.into_sorted().into_iter().map(|problem| problem.message).collect())
}
