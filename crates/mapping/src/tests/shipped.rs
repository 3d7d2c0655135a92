//! The shipped mapping files load and pass their own tests.

use std::path::Path;

use usher_document::{Diagnostics, SourceFile};

use crate::Mapping;

#[test]
fn every_shipped_mapping_loads_without_warning_and_passes_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../mappings");
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let diagnostics = Diagnostics::default();
        let source = SourceFile::new(name.as_str(), std::fs::read_to_string(&path).unwrap());
        let mapping = Mapping::load(&source, &diagnostics);
        let problems = diagnostics.into_sorted();
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        let outcomes = mapping.unwrap().run_tests();
        assert!(!outcomes.is_empty(), "{name} has no tests");
        for outcome in outcomes {
            assert!(outcome.passed, "{name}: {}: {:?}", outcome.name, outcome.differences);
        }
    }
}
