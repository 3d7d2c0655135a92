//! What in a lead can name a person.

use usher_model::{Fields, IdentityKey, IdentityKind};

/// The keys of a lead's person, strongest first: the e-mail address in key form, the phone number in E.164 form.
/// What can not be cleaned gives no key.
#[must_use]
pub fn keys(fields: &Fields) -> Vec<IdentityKey> {
    let email = fields.text("email").and_then(email_key);
    let phone = fields.text("phone").and_then(phone_key);
    let email = email.map(|value| IdentityKey { kind: IdentityKind::Email, value });
    let phone = phone.map(|value| IdentityKey { kind: IdentityKind::Phone, value });
    email.into_iter().chain(phone).collect()
}

fn email_key(text: &str) -> Option<String> {
    usher_normalize::email(text).ok().map(|email| email.address)
}

/// Numbers without country code are no key: the same digits belong to different people in different countries.
fn phone_key(text: &str) -> Option<String> {
    // What a mapping has cleaned is not parsed once more: the numbering plans cost more than everything else here.
    let cleaned = text.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if cleaned {
        return Some(text.to_owned());
    }
    usher_normalize::phone(text, None).ok().map(|phone| phone.e164)
}
