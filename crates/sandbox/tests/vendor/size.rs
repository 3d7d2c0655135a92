//! A large account: what it costs in memory and what a page costs in time. Run by hand, in release:
//! `cargo test -p usher-sandbox --release --test vendor size -- --ignored --nocapture`.

use std::time::Instant;

use serde_json::json;

use crate::api::Api;

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn lines(object: &str, range: std::ops::Range<u64>) -> String {
    range
        .map(|n| {
            let at = 1_700_000_000_000_u64 + n * 7;
            let mut properties = json!({"phone": format!("+4930{n:07}"), "city": "Berlin", "state": "BE", "zip": "10115",
                "country": "Germany", "website": format!("https://company-{n}.example/"), "address": "Hauptstr. 12"});
            match object {
                "companies" => {
                    properties["name"] = json!(format!("Company {n} GmbH"));
                    properties["domain"] = json!(format!("company-{n}.example"));
                }
                "tasks" => {
                    properties = json!({"hs_timestamp": "2026-01-01T00:00:00.000Z", "hs_task_subject": "Call",
                        "hs_task_body": format!("SEO in DACH -> dach-seo. Ben was next.\nusher:{n:032x}")});
                }
                _ => {
                    for (key, value) in [("firstname", "Lea"), ("lastname", "Laroche"), ("company", "Company GmbH"),
                        ("jobtitle", "Procurement Manager"), ("lifecyclestage", "lead"), ("hs_lead_status", "NEW"),
                        ("service_line", "seo"), ("budget", "20000"), ("urgency", "high"), ("message", "Please call me"),
                        ("utm_source", "google"), ("utm_campaign", "brand")] {
                        properties[key] = json!(value);
                    }
                    properties["email"] = json!(format!("lea.laroche{n}@company-{n}.example"));
                }
            }
            json!({"object": object, "createdAt": at, "source": "FORM", "properties": properties}).to_string() + "\n"
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check"]
#[allow(clippy::print_stderr)]
async fn memory_and_pages() {
    let contacts: u64 = std::env::var("CONTACTS").ok().and_then(|text| text.parse().ok()).unwrap_or(40_000);
    let api = Api::start().await;
    let idle = resident_mib();
    let started = Instant::now();
    for (object, count) in [("companies", 100_000), ("contacts", contacts), ("tasks", 40_000)] {
        for start in (0..count).step_by(10_000) {
            api.sandbox.hubspot().seed(&lines(object, start..(start + 10_000).min(count))).unwrap();
        }
    }
    eprintln!("seeded in {:?}, {} MiB above idle", started.elapsed(), resident_mib() - idle);
    let properties = [
        "email",
        "firstname",
        "lastname",
        "phone",
        "company",
        "jobtitle",
        "city",
        "state",
        "zip",
        "country",
        "website",
        "address",
        "lifecyclestage",
        "hs_lead_status",
        "service_line",
        "budget",
        "urgency",
        "message",
        "utm_source",
        "utm_campaign",
    ];
    let (mut stamp, mut last, mut rows, mut pages) = (0_i64, 0_u64, 0_u64, 0_u32);
    let started = Instant::now();
    while rows < contacts {
        let mut after = 0;
        while after < 10_000 && rows < contacts {
            let page = api
                .search(json!({"filters": [{"propertyName": "lastmodifieddate", "operator": "GT", "value": stamp.to_string()}],
                    "sorts": ["lastmodifieddate"], "limit": 100, "after": after.to_string(), "properties": properties}))
                .await;
            let results = page.body["results"].as_array().unwrap();
            rows += results.len() as u64;
            pages += 1;
            after += 100;
            last = results.last().unwrap()["id"].as_str().unwrap().parse().unwrap();
        }
        stamp = 1_700_000_000_000 + i64::try_from((last - 101) * 7).unwrap();
    }
    eprintln!("{rows} rows, {pages} pages, {:?} a page with this client", started.elapsed() / pages);
    let started = Instant::now();
    let summary = api.sandbox.hubspot().summary();
    eprintln!("summary of {} contacts in {:?}", summary.objects["contacts"].live, started.elapsed());
}
