//! The registry of cleaners, and pipelines of them as a mapping names them.

use std::borrow::Cow;

use serde_json::Value;
use usher_document::{Cursor, MapReader, Value as Yaml};
use usher_model::FieldType;

/// A cleaner that mappings may name.
#[derive(Debug, Clone, Copy)]
pub struct CleanerSpec {
    /// As written in `clean:`.
    pub name: &'static str,
    /// Its options.
    pub options: &'static [&'static str],
    /// What comes out of it.
    pub gives: FieldType,
    /// One line for admins.
    pub doc: &'static str,
}

const fn text(name: &'static str, options: &'static [&'static str], doc: &'static str) -> CleanerSpec {
    CleanerSpec { name, options, gives: FieldType::Text, doc }
}

/// Every cleaner of this version.
pub const CLEANERS: &[CleanerSpec] = &[
    text("email", &[], "an e-mail address: lower case, no blanks, a domain that can exist"),
    text(
        "phone",
        &["region"],
        "a phone number in E.164 form; `region` is where numbers without country code are from",
    ),
    text(
        "domain",
        &[],
        "the registrable domain of a website or address; pages on shared platforms are refused",
    ),
    text("country", &[], "an ISO 3166 two-letter code, from a code or a name in many languages"),
    text("company", &[], "a company name without noise; `n/a`, `test` and their like are refused"),
    text("text", &[], "a text without invisible characters and superfluous blanks"),
    text("lower", &[], "as `text`, in lower case"),
    CleanerSpec {
        name: "number",
        options: &[],
        gives: FieldType::Number,
        doc: "a number such as `20,000.50`, `20k` or `5.000 €`",
    },
];

/// Named in the design, for later versions.
const LATER: &[&str] = &["money", "date", "name", "language"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cleaner {
    Email,
    Phone { region: Option<String> },
    Domain,
    Country,
    Company,
    Text,
    Lower,
    Number,
}

/// Cleaners in the order in which they run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline {
    steps: Vec<Cleaner>,
}

impl Pipeline {
    /// Reads `clean:`: a name, a name with options, or a list of these.
    pub(crate) fn decode(at: &Cursor<'_>, kind: FieldType) -> Option<Self> {
        let items = match at.node().value {
            Yaml::List(_) => at.list()?,
            _ => vec![at.clone()],
        };
        let read: Vec<Option<Cleaner>> = items.iter().map(decode_one).collect();
        let steps: Option<Vec<Cleaner>> = read.into_iter().collect();
        let steps = steps?;
        check_types(&items, &steps, kind).then_some(Self { steps })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a list of answers may be joined to one text, rather than looking for the one that fits.
    pub(crate) fn keeps_lists(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Cleaner::Text | Cleaner::Lower))
    }

    /// The names, for provenance.
    pub(crate) fn names(&self) -> String {
        self.steps.iter().map(Cleaner::name).collect::<Vec<_>>().join(", ")
    }

    /// The cleaned text, or why there is none; the reason never contains the text.
    pub(crate) fn apply<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let mut text = Cow::Borrowed(text);
        for step in &self.steps {
            text = Cow::Owned(step.apply(&text)?);
        }
        Ok(text)
    }
}

/// The number that a text stands for, or why it stands for none.
pub(crate) fn number(text: &str) -> Result<Value, String> {
    let number = usher_normalize::number(text).map_err(|reason| reason.to_string())?;
    // JSON writers differ in `5.0`, and conditions compare whole numbers exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        return Ok(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| "no finite number".to_owned())
}

fn decode_one(at: &Cursor<'_>) -> Option<Cleaner> {
    if let Yaml::Map(_) = at.node().value {
        let mut map = at.map()?;
        let entries = map.entries();
        map.finish();
        let [(name, options)] = entries.as_slice() else {
            at.error("one-of", "a block here names exactly one cleaner")
                .hint("for several, write a list: `clean: [text, { phone: { region: US } }]`")
                .report();
            return None;
        };
        let options = if options.node().value == Yaml::Null { None } else { Some(options.map()?) };
        return decode_named(&name.value, &name.place, at, options);
    }
    decode_named(at.text()?, &at.place(), at, None)
}

fn decode_named(
    name: &str,
    place: &usher_document::Place,
    at: &Cursor<'_>,
    options: Option<MapReader<'_>>,
) -> Option<Cleaner> {
    let cleaner = match name {
        "email" => Cleaner::Email,
        "phone" => return phone(options),
        "domain" => Cleaner::Domain,
        "country" => Cleaner::Country,
        "company" => Cleaner::Company,
        "text" => Cleaner::Text,
        "lower" => Cleaner::Lower,
        "number" => Cleaner::Number,
        later if LATER.contains(&later) => {
            at.not_in_this_version(later);
            return None;
        }
        _ => {
            let names = CLEANERS.iter().map(|cleaner| cleaner.name);
            let problem =
                usher_document::Diagnostic::error("unknown-cleaner", place, format!("no cleaner `{name}`"));
            at.diagnostics().push(problem.found(name).allowed(name, names));
            return None;
        }
    };
    if let Some(options) = options {
        options.finish();
    }
    Some(cleaner)
}

fn phone(options: Option<MapReader<'_>>) -> Option<Cleaner> {
    let Some(mut options) = options else {
        return Some(Cleaner::Phone { region: None });
    };
    let at = options.optional_at("region");
    options.finish();
    let Some(at) = at else {
        return Some(Cleaner::Phone { region: None });
    };
    let text = at.text()?;
    let known = text.len() == 2 && usher_normalize::country(text).is_ok();
    if !known {
        at.error("unknown-value", format!("`{text}` is no country code"))
            .found(text)
            .hint("write the ISO 3166 two-letter code, such as US, DE or GB")
            .report();
        return None;
    }
    Some(Cleaner::Phone { region: Some(text.to_ascii_uppercase()) })
}

/// A number can only come last, and only into a field that is one.
fn check_types(items: &[Cursor<'_>], steps: &[Cleaner], kind: FieldType) -> bool {
    let mut fits = true;
    for (index, (at, step)) in items.iter().zip(steps).enumerate() {
        let last = index + 1 == steps.len();
        let message = match (step == &Cleaner::Number, last, kind) {
            (true, false, _) => "`number` must come last",
            (true, true, FieldType::Text) => "`number` gives a number, but this field holds text",
            (false, true, FieldType::Number) if step != &Cleaner::Text => {
                "this field holds a number; clean it with `number`"
            }
            _ => continue,
        };
        at.error("wrong-cleaner", message).found(at.raw()).report();
        fits = false;
    }
    fits
}

impl Cleaner {
    fn name(&self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone { .. } => "phone",
            Self::Domain => "domain",
            Self::Country => "country",
            Self::Company => "company",
            Self::Text => "text",
            Self::Lower => "lower",
            Self::Number => "number",
        }
    }

    fn apply(&self, text: &str) -> Result<String, String> {
        let cleaned = match self {
            Self::Email => usher_normalize::email(text).map(|email| email.address),
            Self::Phone { region } => usher_normalize::phone(text, region.as_deref()).map(|phone| phone.e164),
            Self::Domain => return domain(text),
            Self::Country => usher_normalize::country(text).map(|country| country.iso2.to_owned()),
            Self::Company => return company(text),
            Self::Text => Ok(usher_normalize::tidy(text)),
            Self::Lower => Ok(usher_normalize::lower(text)),
            // Turned into a number at the end of the pipeline, where it stands.
            Self::Number => Ok(text.to_owned()),
        };
        let cleaned = cleaned.map_err(|reason| reason.to_string())?;
        if cleaned.is_empty() { Err("nothing is left of it".to_owned()) } else { Ok(cleaned) }
    }
}

fn domain(text: &str) -> Result<String, String> {
    let domain = usher_normalize::domain(text).map_err(|reason| reason.to_string())?;
    // `acme.github.io` is Acme's own, `facebook.com/acme` is Facebook's.
    let parent = domain.registrable.split_once('.').map_or("", |(_, parent)| parent);
    if usher_normalize::is_shared_platform(&domain.host) && !usher_normalize::is_shared_platform(parent) {
        return Err("this is a page on a shared platform, whose domain names no company".to_owned());
    }
    Ok(domain.registrable)
}

fn company(text: &str) -> Result<String, String> {
    let name = usher_normalize::company(text);
    if name.is_placeholder() { Err("this names no company".to_owned()) } else { Ok(name.cleaned) }
}
