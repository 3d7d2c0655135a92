//! `usher status --capabilities`: what each target can do. Makes no call.

use serde_json::json;

use crate::cli::{Common, Outcome};
use crate::output;
use crate::setup::{self, Loaded};

pub(crate) async fn run(common: &Common, loaded: &Loaded) -> Outcome {
    let settle = loaded.settings.write.settle.as_secs_f64();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let (tokens, roles) = setup::roles(loaded).await?;
    for (name, roles) in roles {
        for each in roles.target.iter().flat_map(|target| target.capabilities()) {
            let (kind, verify) = (each.kind.as_str(), each.verify.as_str());
            rows.push(json!({
                "connection": name, "write": kind, "object": each.object, "max_batch": each.max_batch,
                "keyed": each.keyed, "verified_by": verify, "settle_seconds": settle,
            }));
            let keyed = if each.keyed { "yes" } else { "no" };
            let columns = [name.as_str(), kind, each.object, &each.max_batch.to_string(), keyed, verify];
            lines.push(columns.map(str::to_owned).to_vec());
        }
    }
    tokens.close().await?;
    if common.json {
        output::json(&rows);
        return Ok(());
    }
    let head = ["connection", "write", "object", "per call", "keyed", "verified by"];
    output::data(&output::table(&head, &lines));
    output::note(&format!(
        "keyed: the vendor itself lets a repeat make nothing new. An unclear write is looked up for {settle} s \
         (write.settle) before it may be sent again"
    ));
    Ok(())
}
