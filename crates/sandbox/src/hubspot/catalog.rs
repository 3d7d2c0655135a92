//! The properties that every account has, as far as the simulator serves them.
//!
//! Names and types as in the vendor's default property lists (HubSpot docs: CRM properties).

/// `(name, type, fieldType, read-only)`; `type` is HubSpot's.
type Row = (&'static str, &'static str, &'static str, bool);

const TEXT: (&str, &str) = ("string", "text");

const fn text(name: &'static str) -> Row {
    (name, TEXT.0, TEXT.1, false)
}
const fn phone(name: &'static str) -> Row {
    (name, "string", "phonenumber", false)
}
const fn number(name: &'static str) -> Row {
    (name, "number", "number", false)
}
const fn time(name: &'static str) -> Row {
    (name, "datetime", "date", false)
}
const fn choice(name: &'static str) -> Row {
    (name, "enumeration", "select", false)
}
const fn fixed(row: Row) -> Row {
    (row.0, row.1, row.2, true)
}

/// Set by HubSpot on records of every type.
pub(crate) static COMMON: &[Row] = &[
    fixed(number("hs_object_id")),
    fixed(text("hs_object_source")),
    fixed(text("hs_object_source_id")),
    fixed(text("hs_object_source_label")),
    choice("hubspot_owner_id"),
    fixed(time("hubspot_owner_assigneddate")),
    choice("hubspot_team_id"),
    fixed(text("hs_merged_object_ids")),
    fixed(text("hs_created_by_user_id")),
    fixed(text("hs_updated_by_user_id")),
];

const CONTACT: &[Row] = &[
    fixed(time("createdate")),
    fixed(time("lastmodifieddate")),
    text("email"),
    fixed(text("hs_additional_emails")),
    text("work_email"),
    text("firstname"),
    text("lastname"),
    text("salutation"),
    phone("phone"),
    phone("mobilephone"),
    phone("fax"),
    fixed(text("hs_searchable_calculated_phone_number")),
    text("company"),
    text("website"),
    text("jobtitle"),
    text("address"),
    text("city"),
    text("state"),
    text("zip"),
    text("country"),
    text("hs_country_region_code"),
    text("industry"),
    text("numemployees"),
    text("annualrevenue"),
    text("message"),
    text("hs_language"),
    choice("lifecyclestage"),
    choice("hs_lead_status"),
    fixed(number("associatedcompanyid")),
    fixed(text("hs_email_domain")),
    fixed(time("hs_first_outreach_date")),
    fixed(time("hs_sa_first_engagement_date")),
    fixed(text("hs_sa_first_engagement_object_type")),
    fixed(number("hs_first_engagement_object_id")),
    fixed(number("hs_time_to_first_engagement")),
    fixed(time("notes_last_contacted")),
    fixed(time("notes_last_updated")),
    fixed(number("num_contacted_notes")),
    fixed(number("num_notes")),
    fixed(time("hs_last_sales_activity_timestamp")),
    fixed(time("hs_sales_email_last_replied")),
    fixed(choice("hs_is_unworked")),
    fixed(time("recent_conversion_date")),
    fixed(text("recent_conversion_event_name")),
    fixed(number("num_conversion_events")),
    fixed(text("hs_analytics_source")),
    fixed(text("hs_analytics_source_data_1")),
    fixed(text("hs_analytics_source_data_2")),
    fixed(text("hs_latest_source")),
    fixed(text("hs_calculated_merged_vids")),
    text("utm_source"),
    text("utm_medium"),
    text("utm_campaign"),
    text("twitterhandle"),
    text("hs_linkedin_url"),
    text("hs_timezone"),
    text("service_line"),
    text("budget"),
    text("urgency"),
    text("lead_source"),
];

const COMPANY: &[Row] = &[
    fixed(time("createdate")),
    fixed(time("hs_lastmodifieddate")),
    text("name"),
    text("domain"),
    text("hs_additional_domains"),
    text("website"),
    phone("phone"),
    text("address"),
    text("address2"),
    text("city"),
    text("state"),
    text("zip"),
    text("country"),
    text("hs_country_code"),
    text("industry"),
    text("description"),
    number("numberofemployees"),
    number("annualrevenue"),
    choice("lifecyclestage"),
    choice("hs_lead_status"),
    choice("type"),
    number("hs_parent_company_id"),
    fixed(number("num_associated_contacts")),
    text("external_id"),
];

const DEAL: &[Row] = &[
    fixed(time("createdate")),
    fixed(time("hs_lastmodifieddate")),
    text("dealname"),
    text("dealstage"),
    text("pipeline"),
    number("amount"),
    time("closedate"),
    text("description"),
    choice("dealtype"),
    fixed(choice("hs_is_closed")),
    fixed(choice("hs_is_closed_won")),
];

const TASK: &[Row] = &[
    fixed(time("hs_createdate")),
    fixed(time("hs_lastmodifieddate")),
    time("hs_timestamp"),
    text("hs_task_subject"),
    text("hs_task_body"),
    choice("hs_task_status"),
    choice("hs_task_priority"),
    choice("hs_task_type"),
    text("hs_task_reminders"),
    fixed(time("hs_task_completion_date")),
    // Writable or not is undocumented (API-FACTS HubSpot: Tasks): read-only is the unkind reading.
    fixed(text("hs_unique_id")),
    fixed(text("hs_unique_creation_key")),
];

const ACTIVITY: &[Row] = &[
    fixed(time("hs_createdate")),
    fixed(time("hs_lastmodifieddate")),
    time("hs_timestamp"),
    text("hs_note_body"),
    text("hs_call_title"),
    text("hs_call_body"),
    text("hs_call_direction"),
    number("hs_call_duration"),
    text("hs_email_subject"),
    text("hs_email_text"),
    text("hs_email_direction"),
    text("hs_meeting_title"),
    text("hs_meeting_body"),
    time("hs_meeting_start_time"),
    time("hs_meeting_end_time"),
];

const LEAD: &[Row] = &[
    fixed(time("hs_createdate")),
    fixed(time("hs_lastmodifieddate")),
    text("hs_lead_name"),
    text("hs_lead_type"),
    text("hs_lead_label"),
    text("hs_pipeline"),
    text("hs_pipeline_stage"),
];

const USER: &[Row] = &[
    fixed(time("hs_createdate")),
    fixed(time("hs_lastmodifieddate")),
    text("hs_email"),
    text("hs_given_name"),
    text("hs_family_name"),
    text("hs_job_title"),
    choice("hs_availability_status"),
    text("hs_out_of_office_hours"),
    text("hs_working_hours"),
    text("hs_standard_time_zone"),
    fixed(number("hs_internal_user_id")),
];

const TICKET: &[Row] = &[
    fixed(time("createdate")),
    fixed(time("hs_lastmodifieddate")),
    text("subject"),
    text("content"),
    text("hs_pipeline"),
    text("hs_pipeline_stage"),
    choice("hs_ticket_priority"),
];

/// The rows of one object type beside [`COMMON`].
pub(crate) fn rows(plural: &str) -> &'static [Row] {
    match plural {
        "contacts" => CONTACT,
        "companies" => COMPANY,
        "deals" => DEAL,
        "tasks" => TASK,
        "leads" => LEAD,
        "users" => USER,
        "tickets" => TICKET,
        _ => ACTIVITY,
    }
}

/// The stages of `lifecyclestage`, in their order: it moves only forward.
pub(crate) const LIFECYCLE: &[&str] = &[
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
];

/// The values that an enumeration allows; none where the simulator does not check.
pub(crate) fn options(name: &str) -> &'static [&'static str] {
    match name {
        "hs_task_status" => &["NOT_STARTED", "IN_PROGRESS", "WAITING", "DEFERRED", "COMPLETED"],
        "hs_task_priority" => &["NONE", "LOW", "MEDIUM", "HIGH"],
        "hs_task_type" => &["TODO", "CALL", "EMAIL", "LINKED_IN", "LINKED_IN_CONNECT", "LINKED_IN_MESSAGE"],
        "lifecyclestage" => LIFECYCLE,
        "hs_lead_status" => &[
            "NEW",
            "OPEN",
            "IN_PROGRESS",
            "OPEN_DEAL",
            "UNQUALIFIED",
            "ATTEMPTED_TO_CONTACT",
            "CONNECTED",
            "BAD_TIMING",
        ],
        "hs_availability_status" => &["available", "away"],
        _ => &[],
    }
}
