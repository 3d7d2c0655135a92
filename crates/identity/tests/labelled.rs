//! The 20,000 labelled persons beside the checkout: how often two records that share a key are rightly one person.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use usher_identity::{KnownPerson, Names, Resolution, keys, resolve};
use usher_model::{Fields, IdentityKey, PersonId};

/// FM-089: at most one false merge in a thousand.
const PRECISION: f64 = 0.999;

type Row = HashMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    reader.deserialize().map(Result::unwrap).collect()
}

/// The fields as a mapping would hand them over.
fn fields(row: &Row) -> Fields {
    let mut fields = Fields::default();
    for name in ["first_name", "last_name", "email", "phone"] {
        let text = row[name].trim();
        if !text.is_empty() {
            fields.values.insert(name.to_owned(), text.into());
        }
    }
    fields
}

struct Entry {
    person: KnownPerson,
    names: Names,
    entity: String,
}

#[test]
fn fm_089_labelled_persons_are_not_merged_with_strangers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/matching");
    if !folder.is_dir() {
        // Past the test runner's capture, so that a skipped proof does not look like one.
        let skipped =
            format!("SKIPPED: the labelled data is not beside the checkout ({})\n", folder.display());
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    }
    let truth: HashMap<String, String> = rows(&folder.join("person_truth.csv.gz"))
        .into_iter()
        .map(|row| (row["record_id"].clone(), row["entity_id"].clone()))
        .collect();
    let mut entries = Vec::new();
    let mut index: HashMap<IdentityKey, Vec<usize>> = HashMap::new();
    for row in rows(&folder.join("persons.csv.gz")) {
        let fields = fields(&row);
        let keys = keys(&fields);
        for key in &keys {
            index.entry(key.clone()).or_default().push(entries.len());
        }
        let id = PersonId::new(Timestamp::from_second(1).unwrap());
        let names = Names::of(&fields);
        let person = KnownPerson { id, keys, names: vec![names.clone()] };
        entries.push(Entry { person, names, entity: truth[&row["record_id"]].clone() });
    }
    let pairs: BTreeSet<(usize, usize)> = index
        .values()
        .flat_map(|holders| holders.iter().flat_map(|a| holders.iter().map(|b| (*a, *b))))
        .filter(|(a, b)| a < b)
        .collect();
    score(&entries, &pairs);
}

fn score(entries: &[Entry], pairs: &BTreeSet<(usize, usize)>) {
    let (mut right, mut wrong, mut missed) = (0_u32, 0_u32, 0_u32);
    let mut strangers = 0_u32;
    for (a, b) in pairs {
        let (a, b) = (&entries[*a], &entries[*b]);
        let same = a.entity == b.entity;
        strangers += u32::from(!same);
        let resolution = resolve(&a.person.keys, &a.names, std::slice::from_ref(&b.person));
        match (resolution, same) {
            (Resolution::Same { .. }, true) => right += 1,
            (Resolution::Same { reason, .. }, false) => {
                wrong += 1;
                if std::env::var_os("USHER_SHOW_WRONG").is_some() {
                    println!("WRONG {reason}: {:?} {:?}", a.person, b.person);
                }
            }
            (_, true) => missed += 1,
            (_, false) => {}
        }
    }
    let precision = f64::from(right) / f64::from((right + wrong).max(1));
    println!("{} pairs with a key in common, {strangers} of them strangers", pairs.len());
    println!("right {right}, wrong {wrong}, missed {missed}: precision {precision:.4}");
    assert!(right > 1_000, "only {right} pairs found: the data or the keys are not what they were");
    assert!(precision >= PRECISION, "precision {precision:.4} fell below {PRECISION}");
}
