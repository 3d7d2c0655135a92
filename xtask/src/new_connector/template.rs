//! The template's files, and the parts of them that a connector with some roles has.
//!
//! In Rust a part is what an attribute `#[cfg(…)]` over the template's features stands before, in Markdown what lies between
//! `<!-- feature -->` and `<!-- end -->`, in TOML a line under `# only: feature, …`.

use usher_connector::Role;

/// A file of the template by its path, and the features of which it needs one; none if every connector has it.
type File = (&'static str, &'static str, &'static [&'static str]);

macro_rules! files {
    ($($path:literal $(needs $($feature:literal),+)?;)*) => {
        &[$(($path, include_str!(concat!("template/", $path)), &[$($($feature),+)?])),*]
    };
}

const FILES: &[File] = files![
    "Cargo.toml";
    "README.md";
    "fixtures/person.json" needs "records";
    "src/api.rs" needs "calls";
    "src/config.rs";
    "src/directory.rs" needs "directory";
    "src/inbound.rs" needs "inbound";
    "src/lib.rs";
    "src/protocol.rs" needs "calls";
    "src/record.rs" needs "records";
    "src/source.rs" needs "source";
    "src/target/mod.rs" needs "target";
    "src/target/people.rs" needs "target";
    "src/target/tasks.rs" needs "target";
    "src/target/verify.rs" needs "target";
    "src/tests.rs";
    "src/wire.rs";
    "tests/conformance/directory.rs" needs "directory";
    "tests/conformance/inbound.rs" needs "inbound";
    "tests/conformance/main.rs";
    "tests/conformance/source.rs" needs "source";
    "tests/conformance/target.rs" needs "target";
    "tests/conformance/vendor.rs";
];

/// The shipped mapping.
const MAPPING: &str = include_str!("template/mappings/skeleton.yaml");

/// The features of the template that a connector with these roles has.
#[derive(Debug, Clone)]
pub(super) struct Features(Vec<&'static str>);

impl Features {
    pub(super) fn of(roles: &[Role]) -> Self {
        let mut features: Vec<&'static str> = roles.iter().map(|role| role.as_str()).collect();
        let has = |any: &[Role]| roles.iter().any(|role| any.contains(role));
        if has(&[Role::Source, Role::Directory]) {
            features.push("calls");
        }
        if has(&[Role::Source, Role::Inbound]) {
            features.push("records");
        }
        Self(features)
    }

    fn any(&self, wanted: &[&str]) -> bool {
        wanted.is_empty() || wanted.iter().any(|feature| self.0.contains(feature))
    }

    /// Whether a condition of an attribute holds: `feature = "…"`, and `not`, `all` and `any` of such.
    fn holds(&self, condition: &str) -> bool {
        let condition = condition.trim();
        let inner = |name: &str| condition.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(inner) = inner("not") {
            return !self.holds(inner);
        }
        if let Some(inner) = inner("all") {
            return parts(inner).iter().all(|part| self.holds(part));
        }
        if let Some(inner) = inner("any") {
            return parts(inner).iter().any(|part| self.holds(part));
        }
        let feature = condition.split('"').nth(1).unwrap_or_default();
        self.0.contains(&feature)
    }
}

/// What stands between the commas that are in no bracket.
fn parts(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, character) in list.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts
}

/// A connector's own files by their paths in its folder, still under the template's name.
pub(super) fn files(features: &Features) -> Vec<(&'static str, String)> {
    let own = FILES.iter().filter(|(_, _, needs)| features.any(needs));
    own.map(|(path, text, _)| {
        let text = match path.rsplit('.').next() {
            Some("rs") => rust(text, features),
            Some("md") => markdown(text, features),
            Some("toml") => toml(text, features),
            _ => (*text).to_owned(),
        };
        (*path, text)
    })
    .collect()
}

/// Its mapping file.
pub(super) fn mapping() -> &'static str {
    MAPPING
}

fn rust(text: &str, features: &Features) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let condition = line.trim().strip_prefix("#[cfg(").and_then(|rest| rest.strip_suffix(")]"));
        match condition.filter(|condition| condition.contains("feature")) {
            None => kept.push(line),
            Some(condition) if features.holds(condition) => {}
            Some(_) => {
                // Its documentation goes with it.
                while kept.last().is_some_and(|line| line.trim_start().starts_with("///")) {
                    kept.pop();
                }
                let mut item = Item::default();
                lines.by_ref().find(|line| item.ends_with(line));
            }
        }
    }
    kept.join("\n") + "\n"
}

/// Follows an item, statement, field, arm or element to its last line.
#[derive(Debug, Default)]
struct Item {
    depth: i32,
    in_text: bool,
}

impl Item {
    fn ends_with(&mut self, line: &str) -> bool {
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if self.in_text => drop(characters.next()),
                '"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                '/' if characters.peek() == Some(&'/') => break,
                '(' | '[' | '{' => self.depth += 1,
                ')' | ']' | '}' => self.depth -= 1,
                _ => {}
            }
        }
        let attribute = line.trim_start().starts_with("#[");
        let last = line.trim_end().ends_with([';', ',', '}']);
        self.depth == 0 && !self.in_text && last && !attribute
    }
}

fn markdown(text: &str, features: &Features) -> String {
    let mut kept = String::new();
    let mut open: Vec<bool> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            Some("end") => drop(open.pop()),
            Some(feature) => open.push(features.0.contains(&feature)),
            None if open.iter().all(|wanted| *wanted) => {
                kept.push_str(line);
                kept.push('\n');
            }
            None => {}
        }
    }
    kept
}

fn toml(text: &str, features: &Features) -> String {
    let mut kept = String::new();
    let (mut wanted, mut in_features) = (true, false);
    for line in text.lines() {
        if line.starts_with('[') {
            in_features = line == "[features]";
        }
        if let Some(only) = line.strip_prefix("# only: ") {
            wanted = features.any(&only.split(", ").collect::<Vec<_>>());
            continue;
        }
        if wanted && !in_features {
            kept.push_str(line);
            kept.push('\n');
        }
        wanted = true;
    }
    kept
}
