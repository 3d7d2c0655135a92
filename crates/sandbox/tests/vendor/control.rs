//! The control API, as another process uses it.

use serde_json::{Value, json};

use crate::api::{ANA, Api};

impl Api {
    async fn control(&self, method: &str, path: &str, body: String) -> (u16, Value) {
        let url = format!("{}/_sandbox/{path}", self.sandbox.typeform_url);
        let answer = self.client.request(method.parse().unwrap(), url).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

#[tokio::test]
async fn another_process_seeds_acts_and_asks() {
    let api = Api::start().await;
    let lines = r#"{"object":"owners","id":21,"email":"dora@agency.example","firstName":"Dora"}
{"properties_of":"contacts","name":"client_key","hasUniqueValue":true}
{"object":"companies","id":"900","properties":{"name":"Acme","domain":"acme.example","hubspot_owner_id":"21"}}
{"object":"contacts","properties":{"email":"a@acme.example","client_key":"1"},"source":"CRM_UI","createdAt":"2026-01-02T03:04:05Z","associations":[{"to":"companies","id":900}]}
"#;
    let (status, seeded) = api.control("POST", "seed", lines.to_owned()).await;
    assert_eq!((status, &seeded["records"]), (200, &json!(2)), "{seeded}");
    let (status, bad) = api
        .control("POST", "seed", "{\"object\":\"companies\",\"properties\":{\"nope\":1}}".to_owned())
        .await;
    assert_eq!((status, bad["error"].as_str()), (400, Some("seed line 1: there is no property nope")));

    let body = json!({"properties": {"email": "now@x.example"}, "source": "FORM"}).to_string();
    let (_, made) = api.control("POST", "contacts", body).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let edit = json!({"properties": {"hubspot_owner_id": ANA.to_string()}}).to_string();
    assert_eq!(api.control("PATCH", &format!("objects/contacts/{id}"), edit).await.1["changed"], true);
    let (_, read) = api.control("GET", &format!("objects/contacts/{id}"), String::new()).await;
    assert_eq!(read["properties"]["hubspot_owner_id"], "11");

    let form = json!({"id": "f", "fields": [{"ref": "email", "type": "email"}]}).to_string();
    assert_eq!(api.control("POST", "forms", form).await.0, 200);
    let answer = json!({"answers": {"email": "q@x.example"}}).to_string();
    assert!(api.control("POST", "forms/f/responses", answer).await.1["token"].is_string());
    assert_eq!(api.sandbox.typeform().count("f"), 1);
    let (_, taken) = api.control("GET", "forms/f/responses", String::new()).await;
    assert_eq!(taken[0]["email"], "q@x.example");

    assert_eq!(api.control("PUT", "faults", "{\"html\":1.0,\"times\":1}".to_owned()).await.0, 200);
    assert_eq!(api.get("/crm/v3/owners").await.headers["content-type"], "text/html");
    assert_eq!(api.control("PUT", "faults", "{\"htlm\":1.0}".to_owned()).await.0, 400);
    assert_eq!(api.control("GET", "fired", String::new()).await.1[0]["fault"], "html");

    let (_, merged) = api
        .control(
            "POST",
            "merge",
            json!({"object": "contacts", "primary": 101, "other": id.parse::<u64>().unwrap()}).to_string(),
        )
        .await;
    let merged = merged["id"].as_str().unwrap().to_owned();
    let (_, oracle) = api.control("GET", "oracle?object=contacts&change=merge", String::new()).await;
    assert_eq!(oracle["events"].as_array().unwrap().len(), 2);
    assert_eq!(oracle["events"][0]["other"], json!({"object": "contacts", "id": merged}));
    assert_eq!(oracle["events"][0]["actor"]["type"], "human");
    let (_, page) = api.control("GET", "oracle?limit=2", String::new()).await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["next"]), (2, &json!(2)));
    assert_eq!(
        api.control("DELETE", &format!("objects/contacts/{merged}"), String::new()).await.1["archived"],
        true
    );
    let (_, summary) = api.control("GET", "summary", String::new()).await;
    assert_eq!(summary["objects"]["contacts"]["live"], 0);
    assert_eq!(summary["faults"]["html"], 1);
    let (_, clock) = api.control("POST", "clock", "{\"advance_ms\":3600000}".to_owned()).await;
    assert!(clock["now"].as_i64().unwrap() >= 3_600_000);
}

#[tokio::test]
async fn it_stops_and_frees_its_ports() {
    let api = Api::start().await;
    let port: u16 = api.sandbox.hubspot_url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(api.sandbox.hubspot_url.starts_with("http://127.0.0.1:"));
    let taken =
        usher_sandbox::Sandbox::start(usher_sandbox::Options { hubspot_port: port, ..Default::default() })
            .await;
    assert!(taken.unwrap_err().to_string().contains("choose another port"));
    api.sandbox.stop().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
