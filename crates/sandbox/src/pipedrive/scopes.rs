//! Which scopes open an operation to a token of OAuth, one of them is enough (`security` of both documents).

use super::routes::Operation;

/// What a token may do: `None` is all that there is, as an API token may.
pub(crate) type Granted = Option<Vec<String>>;

/// The scopes that the documents name for an operation.
pub(crate) fn scopes(operation: &Operation) -> &'static [&'static str] {
    let reads = operation.method == "GET";
    let (_, path) = operation.path.split_once('/').unwrap_or_default();
    let mut parts = path.split('/');
    let (object, last) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    match (object, last) {
        (_, "changelog") => &["recents:read"],
        ("users", "me") => &["base"],
        ("users", _) => &["users:read"],
        ("webhooks", _) => &["admin"],
        ("itemSearch", _) => &["search:read"],
        ("activityTypes", _) => &["activities:read", "activities:full", "admin"],
        ("pipelines" | "stages", _) => &["deals:read", "deals:full", "admin"],
        ("persons" | "organizations", "search") => &["contacts:read", "contacts:full", "search:read"],
        ("leads", "search") => &["leads:read", "leads:full", "search:read"],
        ("leadFields", _) => &["leads:read", "leads:full", "admin"],
        ("dealFields", _) if reads => &["deals:read", "deals:full", "deal-fields:full", "admin"],
        ("dealFields", _) => &["deal-fields:full", "admin"],
        ("personFields" | "organizationFields", _) if reads => {
            &["contacts:read", "contacts:full", "contact-fields:full", "admin"]
        }
        ("personFields" | "organizationFields", _) => &["contact-fields:full", "admin"],
        ("persons" | "organizations", _) if reads => &["contacts:read", "contacts:full"],
        ("persons" | "organizations", _) => &["contacts:full"],
        ("deals", _) if reads => &["deals:read", "deals:full"],
        ("deals", _) => &["deals:full"],
        ("activities", _) if reads => &["activities:read", "activities:full"],
        ("activities", _) => &["activities:full"],
        ("notes", _) if reads => &["deals:read", "deals:full", "contacts:read", "contacts:full"],
        ("notes", _) => &["deals:full", "contacts:full"],
        ("leads" | "leadLabels" | "leadSources", _) if reads => &["leads:read", "leads:full"],
        ("leads", _) => &["leads:full"],
        _ => &[],
    }
}

/// Whether one of the operation's scopes was granted and has not been revoked since.
pub(crate) fn opens(granted: &Granted, revoked: &[String], operation: &Operation) -> bool {
    scopes(operation).iter().any(|scope| {
        let is = |own: &String| own == scope;
        granted.as_ref().is_none_or(|granted| granted.iter().any(is)) && !revoked.iter().any(is)
    })
}
