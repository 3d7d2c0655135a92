//! The one list of connectors, each with its shipped mapping file.

use usher_engine::Registry;

/// Every connector that this program has.
pub(crate) fn registry() -> Registry {
    Registry::default()
        .with(usher_hubspot::HubSpot, include_str!("../mappings/hubspot.yaml"))
        .with(usher_pipedrive::Pipedrive, include_str!("../mappings/pipedrive.yaml"))
        .with(usher_typeform::Typeform, include_str!("../mappings/typeform.yaml"))
        .with(usher_webhook::Webhook, include_str!("../mappings/webhook.yaml"))
        .with(usher_csv::Csv, include_str!("../mappings/csv.yaml"))
}

/// How leads that are entered by hand or by API are mapped.
pub(crate) const REFERRAL_MAPPING: &str = include_str!("../mappings/referrals.yaml");
