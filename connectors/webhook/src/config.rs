//! The connector's own keys in usher.yaml.

use http::HeaderName;
use usher_document::{Cursor, MapReader, OneOrMany, SecretRef};

/// Under which names the host hands out signing or shared secrets; as many as may be active at once.
pub(crate) const SECRET_NAMES: [&str; 3] = ["inbound_secret", "inbound_secret_2", "inbound_secret_3"];
/// The names of the two halves of basic authentication.
pub(crate) const BASIC_NAMES: [&str; 2] = ["inbound_user", "inbound_password"];

/// The settings of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) auth: AuthSettings,
    pub(crate) shape: Shape,
}

/// How a sender proves itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthSettings {
    /// Standard Webhooks signatures; any of the secrets.
    Standard(Vec<SecretRef>),
    /// A secret in a header, in lower case.
    Header(HeaderName, Vec<SecretRef>),
    /// A secret in a query parameter.
    Query(String, Vec<SecretRef>),
    /// HTTP basic authentication.
    Basic([SecretRef; 2]),
}

/// What bodies look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) json: bool,
    pub(crate) form: bool,
    /// Keys that lead to the submission's id.
    pub(crate) id: Option<Vec<String>>,
    /// Keys that lead to the submission's version.
    pub(crate) revision: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepted {
    Json,
    Form,
}

impl AuthSettings {
    /// The secrets by the names under which the host hands them out.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        match self {
            Self::Standard(refs) | Self::Header(_, refs) | Self::Query(_, refs) => {
                SECRET_NAMES.into_iter().zip(refs.iter().cloned()).collect()
            }
            Self::Basic(refs) => BASIC_NAMES.into_iter().zip(refs.iter().cloned()).collect(),
        }
    }
}

impl Settings {
    /// Reads the keys; `None` if there were problems.
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let auth = map.required_at("inbound").and_then(|at| read_auth(&at));
        let accepts = read_accepts(map);
        let id = map.optional_by("id", read_path);
        let revision = map.optional_by("revision", read_path);
        let accepts = accepts?;
        let (json, form) = (accepts.contains(&Accepted::Json), accepts.contains(&Accepted::Form));
        Some(Self { auth: auth?, shape: Shape { json, form, id: id?, revision: revision? } })
    }
}

fn read_auth(at: &Cursor<'_>) -> Option<AuthSettings> {
    let mut map = at.map()?;
    let (kind, inner) = map.exactly_one_of(&["standard", "shared_secret", "basic"])?;
    map.finish();
    match kind {
        "standard" => read_standard(&inner),
        "shared_secret" => read_shared(&inner),
        _ => read_basic(&inner),
    }
}

fn read_standard(at: &Cursor<'_>) -> Option<AuthSettings> {
    let mut map = at.map()?;
    let secrets = read_secrets(&mut map);
    map.finish();
    secrets.map(AuthSettings::Standard)
}

fn read_shared(at: &Cursor<'_>) -> Option<AuthSettings> {
    let mut map = at.map()?;
    let secrets = read_secrets(&mut map);
    let place = map.exactly_one_of(&["header", "query"]);
    map.finish();
    let (kind, name_at) = place?;
    let name = name_at.text()?.trim();
    let secrets = secrets?;
    if kind == "query" {
        return Some(AuthSettings::Query(name.to_owned(), secrets));
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => Some(AuthSettings::Header(name, secrets)),
        Err(_) => {
            name_at
                .error("bad-header", "this is no name of a header")
                .found(name)
                .hint("write the header's name alone, as `X-Hook-Token`")
                .report();
            None
        }
    }
}

fn read_basic(at: &Cursor<'_>) -> Option<AuthSettings> {
    let mut map = at.map()?;
    let user: Option<SecretRef> = map.required("user");
    let password: Option<SecretRef> = map.required("password");
    map.finish();
    Some(AuthSettings::Basic([user?, password?]))
}

fn read_secrets(map: &mut MapReader<'_>) -> Option<Vec<SecretRef>> {
    let at = map.required_at("secret")?;
    let OneOrMany(secrets) = at.read::<OneOrMany<SecretRef>>()?;
    if secrets.is_empty() || secrets.len() > SECRET_NAMES.len() {
        at.error(
            "bad-count",
            format!("expected 1 to {} secrets, found {}", SECRET_NAMES.len(), secrets.len()),
        )
        .hint("list the new secret and the old one while you rotate, then remove the old one")
        .report();
        return None;
    }
    Some(secrets)
}

fn read_accepts(map: &mut MapReader<'_>) -> Option<Vec<Accepted>> {
    let Some(at) = map.optional_at("accepts") else {
        return Some(vec![Accepted::Json, Accepted::Form]);
    };
    let words = [("json", Accepted::Json), ("form", Accepted::Form)];
    let read: Vec<Option<Accepted>> = at.list()?.iter().map(|item| item.choice(&words)).collect();
    if read.is_empty() {
        at.error("empty", "no content type is accepted")
            .hint("write `[json]`, `[form]` or `[json, form]`")
            .report();
        return None;
    }
    read.into_iter().collect()
}

fn read_path(at: &Cursor<'_>) -> Option<Vec<String>> {
    let path: Vec<String> = at.text()?.split('.').map(str::to_owned).collect();
    if path.iter().all(|part| !part.is_empty()) {
        return Some(path);
    }
    at.error("bad-path", "this is no path into the body")
        .hint("write keys with points between them, as `data.id`")
        .report();
    None
}
