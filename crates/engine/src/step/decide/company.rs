//! Companies that are to be made: of leads that belong to no account, where their domain is one company's.
//!
//! In doubt none: a lead that shares a domain or a name with an account, and was not matched to it for a reason, gets no
//! company of its own. Nor is one made again that somebody has deleted.

use std::collections::BTreeSet;

use usher_connector::Target;
use usher_model::{AccountKey, AccountKeyKind, EffectKind, Fields, Lead, Slot, SlotKind};
use usher_store::{DecisionView, Ready};

use crate::engine::Engine;
use crate::error::EngineError;

/// What speaks against making a lead's company; none are made at all without it.
pub(super) struct Companies(Option<BTreeSet<AccountKey>>);

/// A company to make.
pub(super) struct Missing {
    pub(super) slot: Slot,
    pub(super) name: String,
    pub(super) domain: String,
}

impl Engine {
    /// Whether companies are made: the settings say so, and the CRM can.
    #[must_use]
    pub fn makes_companies(&self) -> bool {
        let target = self.connections.get(&self.crm).and_then(|connected| connected.roles.target.as_deref());
        let can = |target: &dyn Target| {
            target.capabilities().iter().any(|capability| capability.kind == EffectKind::EnsureCompany)
        };
        self.write.create_company && target.is_some_and(can)
    }

    /// The domains of leads without an account.
    pub(super) fn domains(&self, ready: &Ready) -> BTreeSet<String> {
        if !self.makes_companies() {
            return BTreeSet::new();
        }
        homeless(ready).filter_map(|fields| domain(&usher_matching::lead_keys(fields))).collect()
    }

    /// What is known that speaks against making companies of these leads.
    pub(super) async fn companies_to_make(
        &self,
        ready: &Ready,
        view: &DecisionView,
    ) -> Result<Companies, EngineError> {
        if !self.makes_companies() {
            return Ok(Companies(None));
        }
        let keys: BTreeSet<AccountKey> = homeless(ready).flat_map(usher_matching::lead_keys).collect();
        let keys: Vec<AccountKey> = keys.into_iter().collect();
        let found = match keys.is_empty() {
            true => Vec::new(),
            false => self.store.accounts_by_keys(&self.crm, &keys, 1).await?,
        };
        let gone = view.gone_companies.iter().cloned();
        let gone = gone.map(|value| AccountKey { kind: AccountKeyKind::Domain, value });
        Ok(Companies(Some(found.into_iter().flat_map(|(_, keys)| keys).chain(gone).collect())))
    }
}

impl Companies {
    /// The company to make for a lead, if one is.
    pub(super) fn of(&self, engine: &Engine, lead: &Lead) -> Option<Missing> {
        let known = self.0.as_ref().filter(|_| lead.account.is_none())?;
        let keys = usher_matching::lead_keys(&lead.fields);
        let domain = domain(&keys).filter(|_| !keys.iter().any(|key| known.contains(key)))?;
        let name = lead.fields.text("company").map(str::trim).filter(|name| !name.is_empty());
        let name = name.unwrap_or(&domain).to_owned();
        let slot = Slot { connection: engine.crm.clone(), kind: SlotKind::Company, of: domain.clone() };
        Some(Missing { slot, name, domain })
    }
}

/// What is known of the leads that belong to no account.
fn homeless(ready: &Ready) -> impl Iterator<Item = &Fields> {
    let drafts = ready.drafts.iter().filter(|draft| draft.account.is_none()).map(|draft| &draft.fields);
    let waiting = ready.waiting.iter().map(|waiting| &waiting.lead).filter(|lead| lead.account.is_none());
    drafts.chain(waiting.map(|lead| &lead.fields))
}

/// The first: the website's, else the address's.
fn domain(keys: &[AccountKey]) -> Option<String> {
    keys.iter().find(|key| key.kind == AccountKeyKind::Domain).map(|key| key.value.clone())
}
