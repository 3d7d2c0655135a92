//! The mapping file: read whole, every problem at once.

use std::collections::HashSet;
use std::hash::Hash;

use usher_document::{Cursor, Decode, Diagnostics, Located, MapReader, SourceFile, load_into};

use crate::case::Case;
use crate::condition::Condition;
use crate::enroll::Enroll;
use crate::line::Line;
use crate::path::Path;

/// A checked mapping file: turns a record's payload into a lead's fields.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(crate) enroll: Enroll,
    pub(crate) lines: Vec<Line>,
    pub(crate) keep: Vec<Path>,
    pub(crate) reject: Vec<Reject>,
    pub(crate) cases: Vec<Case>,
}

/// One line of `reject:`.
#[derive(Debug, Clone)]
pub(crate) struct Reject {
    pub(crate) when: Condition,
    pub(crate) reason: String,
}

impl Mapping {
    /// Reads a mapping file. `None` if anything in it is wrong; every problem, warnings too, goes to `diagnostics`.
    #[must_use]
    pub fn load(source: &SourceFile, diagnostics: &Diagnostics) -> Option<Self> {
        let own = Diagnostics::default();
        let mapping = load_into(source, &own);
        let refused = own.has_errors();
        diagnostics.extend(own.into_sorted());
        mapping.filter(|_| !refused)
    }
}

impl Decode for Mapping {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        map.version(1);
        let enroll = match map.optional_at("enroll") {
            Some(at) => at.read(),
            None => Some(Enroll::created()),
        };
        let lines = map.required_at("lead").and_then(|at| lines(&at));
        let keep = keep(&mut map);
        let reject = map.or("reject", Vec::new());
        let cases: Vec<Located<Case>> = map.or("tests", Vec::new());
        let names = cases.iter().map(|case| (&case.value.name, case));
        report_repeated(at, names, |name, _| format!("two tests are named `{name}`"));
        map.not_in_this_version(&["write"]);
        map.finish();
        Some(Self {
            enroll: enroll?,
            lines: lines?,
            keep,
            reject,
            cases: cases.into_iter().map(|case| case.value).collect(),
        })
    }
}

fn lines(at: &Cursor<'_>) -> Option<Vec<Line>> {
    let mut map = at.map()?;
    let lines = map.entries().iter().map(|(key, at)| Line::decode(key, at)).collect::<Vec<_>>();
    map.finish();
    lines.into_iter().collect()
}

fn keep(map: &mut MapReader<'_>) -> Vec<Path> {
    let Some(at) = map.optional_at("keep") else {
        return Vec::new();
    };
    let paths: Vec<Located<Path>> = at.read().unwrap_or_default();
    for path in paths.iter().filter(|path| path.value.last_name().is_none()) {
        let message = format!("`{}` ends in a position, not in a name", path.value.as_str());
        let problem = usher_document::Diagnostic::error("bad-path", &path.place, message)
            .help("what is kept goes by its last name, as `lead.extra.utm_source`");
        at.diagnostics().push(problem);
    }
    let names = paths.iter().filter_map(|path| Some((path.value.last_name()?, path)));
    report_repeated(&at, names, |name, _| format!("two paths end in `{name}`, so one would hide the other"));
    paths.into_iter().map(|path| path.value).collect()
}

fn report_repeated<'n, N: Hash + Eq + Copy, T: 'n>(
    at: &Cursor<'_>,
    names: impl Iterator<Item = (N, &'n Located<T>)>,
    message: impl Fn(N, &T) -> String,
) {
    let mut seen = HashSet::new();
    for (name, located) in names {
        if !seen.insert(name) {
            let text = message(name, &located.value);
            at.diagnostics().push(usher_document::Diagnostic::error("duplicate", &located.place, text));
        }
    }
}

impl Decode for Reject {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let when = map.required("when");
        let reason: Option<String> = map.required("reason");
        map.finish();
        Some(Self { when: when?, reason: reason? })
    }
}
