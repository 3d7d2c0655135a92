//! What a CRM's connection pulls: persons, or what carries owner and task.

use usher_document::Cursor;
use usher_model::SlotKind;

/// Reads `pull.objects`. Persons and their leads or deals together would open two leads for one inquiry, and what carries
/// nothing would be routed for nothing. `choices` are the vendor's names, persons first; `later` are those of another version.
#[must_use]
pub fn read_pulled(
    at: &Cursor<'_>,
    choices: &[(&'static str, SlotKind)],
    carrier: SlotKind,
    later: &[&str],
) -> Option<SlotKind> {
    let name_of = |kind| choices.iter().find(|(_, of)| *of == kind).map_or("", |(name, _)| *name);
    let items = at.list()?;
    let mut pulled = Vec::with_capacity(items.len());
    for item in &items {
        let kind = item.choice_or_later(choices, later)?;
        if kind != SlotKind::Person && kind != carrier {
            let object = name_of(kind);
            item.error("unused", format!("`{object}` are pulled where they carry owner and task"))
                .hint(format!("write `object: {object}` in this connection, or pull `{}`", name_of(carrier)))
                .report();
            return None;
        }
        pulled.push(kind);
    }
    if let [kind] = pulled[..] {
        return Some(kind);
    }
    let message = if items.is_empty() {
        "`objects` lists nothing to pull"
    } else {
        "one kind of object is pulled: a person who comes with a lead would open a second one"
    };
    at.error("objects", message).hint(format!("write `objects: [{}]`", name_of(carrier))).report();
    None
}
