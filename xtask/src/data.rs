//! The matching data: companies, leads, and which company each lead belongs to.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A company that the CRM knows.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Company {
    pub(crate) account_id: String,
    pub(crate) name: String,
    pub(crate) website: String,
    pub(crate) phone: String,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) zip: String,
    pub(crate) country: String,
}

/// Somebody who gets in touch.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Inquirer {
    pub(crate) lead_id: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) company: String,
    pub(crate) website: String,
    pub(crate) phone: String,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) zip: String,
    pub(crate) country: String,
    pub(crate) title: String,
}

#[derive(Debug, Deserialize)]
struct Truth {
    lead_id: String,
    account_id: String,
}

/// What a run works on.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) companies: Vec<Company>,
    pub(crate) inquirers: Vec<Inquirer>,
    /// The company of each lead; empty if it belongs to none.
    pub(crate) truth: HashMap<String, String>,
}

impl Data {
    /// Reads the first so many companies and leads of a folder.
    pub(crate) fn read(folder: &Path, companies: usize, leads: usize) -> anyhow::Result<Self> {
        let truth: Vec<Truth> = rows(&folder.join("lead_truth.csv.gz"), usize::MAX)?;
        Ok(Self {
            companies: rows(&folder.join("accounts.csv.gz"), companies)?,
            inquirers: rows(&folder.join("leads.csv.gz"), leads)?,
            truth: truth.into_iter().map(|truth| (truth.lead_id, truth.account_id)).collect(),
        })
    }
}

fn rows<T: DeserializeOwned>(path: &Path, limit: usize) -> anyhow::Result<Vec<T>> {
    let place = || format!("reading {}", path.display());
    let file = File::open(path).with_context(place)?;
    let mut reader = csv::Reader::from_reader(MultiGzDecoder::new(file));
    reader.deserialize().take(limit).collect::<Result<_, _>>().with_context(place)
}
