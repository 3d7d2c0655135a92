//! References between the parts of `routing.yaml`: names to positions, with suggestions.

use usher_document::{Cursor, Diagnostic, Located, MapReader};

use crate::policy::{PoolIndex, RepIndex, Target};

/// The names that other parts may refer to.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) reps: Vec<String>,
    pub(crate) calendars: Vec<String>,
    pub(crate) pools: Vec<String>,
}

impl Names {
    /// A rep named by a value.
    pub(crate) fn rep(&self, at: &Cursor<'_>) -> Option<RepIndex> {
        find(at, "rep", &self.reps).map(RepIndex)
    }

    /// A pool named by a value.
    pub(crate) fn pool(&self, at: &Cursor<'_>) -> Option<PoolIndex> {
        find(at, "pool", &self.pools).map(PoolIndex)
    }

    /// A calendar named by a value.
    pub(crate) fn calendar(&self, at: &Cursor<'_>) -> Option<usize> {
        find(at, "calendar", &self.calendars)
    }

    /// A rep named by a key.
    pub(crate) fn rep_key(&self, at: &Cursor<'_>, key: &Located<String>) -> Option<RepIndex> {
        let found = self.reps.iter().position(|name| *name == key.value);
        if found.is_none() {
            let problem =
                Diagnostic::error("unknown-rep", &key.place, format!("no rep is named `{}`", key.value));
            at.diagnostics().push(problem.found(&key.value).allowed(&key.value, names(&self.reps)));
        }
        found.map(RepIndex)
    }

    /// `{ rep: … }` or `{ pool: … }`.
    pub(crate) fn target(&self, at: &Cursor<'_>) -> Option<Target> {
        let mut map = at.map()?;
        let target = self.target_in(&mut map, &["rep", "pool"]);
        map.finish();
        match target? {
            Chosen::Target(target) => Some(target),
            Chosen::Other(..) => None,
        }
    }

    /// The one of `keys` that stands in the map; `rep` and `pool` are resolved.
    pub(crate) fn target_in<'a, 'k>(
        &self,
        map: &mut MapReader<'a>,
        keys: &[&'k str],
    ) -> Option<Chosen<'a, 'k>> {
        let (key, at) = map.exactly_one_of(keys)?;
        match key {
            "rep" => self.rep(&at).map(|rep| Chosen::Target(Target::Rep(rep))),
            "pool" => self.pool(&at).map(|pool| Chosen::Target(Target::Pool(pool))),
            other => Some(Chosen::Other(other, at)),
        }
    }
}

/// What stood in a map of one key.
pub(crate) enum Chosen<'a, 'k> {
    /// A rep or a pool.
    Target(Target),
    /// Another of the allowed keys.
    Other(&'k str, Cursor<'a>),
}

fn names(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str)
}

fn find(at: &Cursor<'_>, kind: &'static str, list: &[String]) -> Option<usize> {
    let name = at.text()?;
    let found = list.iter().position(|known| known == name);
    if found.is_none() {
        let code = match kind {
            "rep" => "unknown-rep",
            "pool" => "unknown-pool",
            _ => "unknown-calendar",
        };
        at.error(code, format!("no {kind} is named `{name}`"))
            .found(name)
            .allowed(name, names(list))
            .report();
    }
    found
}
