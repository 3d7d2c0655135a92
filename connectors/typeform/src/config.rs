//! The connector's own keys in usher.yaml.

use usher_document::{MapReader, OneOrMany, SecretRef};

/// Under which names the host hands out the webhook secrets; as many as may be active at once.
pub(crate) const SECRET_NAMES: [&str; 3] = ["inbound_secret", "inbound_secret_2", "inbound_secret_3"];

/// The settings of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The form's id.
    pub(crate) form: String,
    /// The webhook secrets that are accepted; empty if no webhooks are expected.
    pub(crate) inbound_secrets: Vec<SecretRef>,
}

impl Settings {
    /// Reads the keys; `None` if there were problems.
    pub(crate) fn read(map: &mut MapReader<'_>) -> Option<Self> {
        let form = read_form(map);
        let responses_fine = read_responses(map);
        let inbound_secrets = read_inbound(map);
        responses_fine.then_some(())?;
        Some(Self { form: form?, inbound_secrets: inbound_secrets? })
    }
}

fn read_form(map: &mut MapReader<'_>) -> Option<String> {
    let at = map.required_at("form")?;
    let form = at.text()?.trim();
    if !form.is_empty() && form.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return Some(form.to_owned());
    }
    at.error("bad-form", "this is no form id")
        .found(form)
        .hint("write the part behind `/to/` in the form's address, as `abc123` in https://acme.typeform.com/to/abc123")
        .report();
    None
}

/// The vendor's silent default would be the same; it is a key so that the file says what is left out.
fn read_responses(map: &mut MapReader<'_>) -> bool {
    let Some(at) = map.optional_at("responses") else {
        return true;
    };
    at.choice_or_later(&[("completed", ())], &["partial", "started"]).is_some()
}

fn read_inbound(map: &mut MapReader<'_>) -> Option<Vec<SecretRef>> {
    let Some(at) = map.optional_at("inbound") else {
        return Some(Vec::new());
    };
    let mut inbound = at.map()?;
    let secret_at = inbound.required_at("secret");
    inbound.finish();
    let secret_at = secret_at?;
    let OneOrMany(secrets) = secret_at.read::<OneOrMany<SecretRef>>()?;
    if secrets.is_empty() || secrets.len() > SECRET_NAMES.len() {
        secret_at
            .error(
                "bad-count",
                format!("expected 1 to {} secrets, found {}", SECRET_NAMES.len(), secrets.len()),
            )
            .hint("list the new secret and the old one while you rotate, then remove the old one")
            .report();
        return None;
    }
    Some(secrets)
}
