//! What a run of the suite came to.

use std::fmt;

/// What a run of the suite came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    connector: &'static str,
    passed: Vec<&'static str>,
    failed: Vec<(&'static str, String)>,
    passed_over: Vec<(&'static str, &'static str)>,
}

impl Report {
    pub(super) fn new(connector: &'static str) -> Self {
        Self { connector, passed: Vec::new(), failed: Vec::new(), passed_over: Vec::new() }
    }

    pub(super) fn passed(&mut self, check: &'static str) {
        self.passed.push(check);
    }

    pub(super) fn failed(&mut self, check: &'static str, error: &anyhow::Error) {
        self.failed.push((check, format!("{error:#}")));
    }

    pub(super) fn pass_over(&mut self, check: &'static str, lacking: &'static str) {
        self.passed_over.push((check, lacking));
    }

    /// The checks that ran and held.
    #[must_use]
    pub fn passes(&self) -> &[&'static str] {
        &self.passed
    }

    /// The checks that failed, each with the reason.
    #[must_use]
    pub fn failures(&self) -> &[(&'static str, String)] {
        &self.failed
    }

    /// What the connector lacks, by which checks were passed over; each once, in the order of the checks.
    #[must_use]
    pub fn passed_over(&self) -> Vec<&'static str> {
        let mut lacking: Vec<&'static str> = Vec::new();
        for (_, word) in &self.passed_over {
            if !lacking.contains(word) {
                lacking.push(word);
            }
        }
        lacking
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran = self.passed.len() + self.failed.len();
        writeln!(f, "conformance of `{}`: {ran} checks ran, {} failed", self.connector, self.failed.len())?;
        for name in &self.passed {
            writeln!(f, "  held         {name}")?;
        }
        for (name, lacking) in &self.passed_over {
            writeln!(f, "  passed over  {name} (no {lacking})")?;
        }
        for (name, reason) in &self.failed {
            writeln!(f, "  FAILED       {name}: {reason}")?;
        }
        Ok(())
    }
}
