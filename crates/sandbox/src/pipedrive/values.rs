//! Checks and normal forms of single values. v2 is strict about types (API-FACTS Pipedrive; v2 document).

use serde_json::{Map, Value, json};

use super::errors::Problem;

pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// A time of day or a duration, `HH:MM` or `HH:MM:SS`, in the long form of answers.
pub(crate) fn clock(name: &str, value: &Value) -> Result<Value, Problem> {
    let refuse = || Problem::schema(name, "must be a time, HH:MM");
    let text = value.as_str().ok_or_else(refuse)?;
    let parts: Vec<u8> = text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| refuse())?;
    match parts[..] {
        [hour, minute] if hour < 24 && minute < 60 => Ok(format!("{hour:02}:{minute:02}:00").into()),
        [hour, minute, second] if hour < 24 && minute < 60 && second < 60 => {
            Ok(format!("{hour:02}:{minute:02}:{second:02}").into())
        }
        _ => Err(refuse()),
    }
}

fn rows<'a>(name: &str, value: &'a Value, known: &[&str]) -> Result<Vec<&'a Map<String, Value>>, Problem> {
    let list = value.as_array().ok_or_else(|| Problem::schema(name, "must be an array"))?;
    let mut rows = Vec::new();
    for row in list {
        let row = row.as_object().ok_or_else(|| Problem::schema(name, "must hold objects"))?;
        if let Some(key) = row.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Problem::schema(&format!("{name}.{key}"), "is not allowed"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Exactly one row is primary: the first that says so, else the first.
fn settle_primary(rows: &mut [Value]) {
    let chosen = rows.iter().position(|row| row["primary"] == true).unwrap_or(0);
    for (at, row) in rows.iter_mut().enumerate() {
        row["primary"] = (at == chosen).into();
    }
}

/// `emails` and `phones`: `{value, primary, label}`; the label is `work` unless told.
pub(crate) fn contacts(name: &str, value: &Value) -> Result<Value, Problem> {
    let mut out = Vec::new();
    for row in rows(name, value, &["value", "primary", "label"])? {
        let text = row.get("value").and_then(Value::as_str);
        let text = text.ok_or_else(|| Problem::schema(&format!("{name}.value"), "must be a string"))?;
        let primary = row.get("primary").unwrap_or(&Value::Bool(false));
        let primary = primary
            .as_bool()
            .ok_or_else(|| Problem::schema(&format!("{name}.primary"), "must be a boolean"))?;
        let label = row.get("label").map_or(Some("work"), Value::as_str);
        let label = label.ok_or_else(|| Problem::schema(&format!("{name}.label"), "must be a string"))?;
        if !text.trim().is_empty() {
            out.push(json!({"value": text.trim(), "primary": primary, "label": label}));
        }
    }
    settle_primary(&mut out);
    Ok(out.into())
}

/// `participants` of an activity: `{person_id, primary}`.
pub(crate) fn participants(name: &str, value: &Value) -> Result<Value, Problem> {
    let mut out = Vec::new();
    for row in rows(name, value, &["person_id", "primary"])? {
        let person = row.get("person_id").and_then(Value::as_u64);
        let person =
            person.ok_or_else(|| Problem::schema(&format!("{name}.person_id"), "must be an integer"))?;
        let primary = row.get("primary").and_then(Value::as_bool).unwrap_or(false);
        out.push(json!({"person_id": person, "primary": primary}));
    }
    settle_primary(&mut out);
    Ok(out.into())
}

/// `attendees` of an activity, as they come.
pub(crate) fn attendees(name: &str, value: &Value) -> Result<Value, Problem> {
    rows(name, value, &["email", "name", "status", "is_organizer", "person_id", "user_id"])?;
    Ok(value.clone())
}

const ADDRESS: [&str; 10] = [
    "value",
    "country",
    "admin_area_level_1",
    "admin_area_level_2",
    "locality",
    "sublocality",
    "route",
    "street_number",
    "subpremise",
    "postal_code",
];

/// An address: an object of texts. Its parts are not looked up, as the vendor's geocoder would.
pub(crate) fn address(name: &str, value: &Value) -> Result<Value, Problem> {
    let map = value.as_object().ok_or_else(|| Problem::schema(name, "must be an object"))?;
    match map.iter().find(|(key, value)| !ADDRESS.contains(&key.as_str()) || !value.is_string()) {
        Some((key, _)) => Err(Problem::schema(&format!("{name}.{key}"), "is not allowed")),
        None => Ok(value.clone()),
    }
}

/// A lead's value: amount and currency are both required (v1 document, addLead).
pub(crate) fn money(name: &str, value: &Value) -> Result<Value, Problem> {
    let map = value.as_object().ok_or_else(|| Problem::schema(name, "must be an object"))?;
    let amount = map.get("amount").is_some_and(Value::is_number);
    let currency = map.get("currency").and_then(Value::as_str).is_some_and(|text| text.len() == 3);
    if amount && currency && map.len() == 2 {
        Ok(value.clone())
    } else {
        Err(Problem::schema(name, "needs amount and currency"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_is_primary_and_labels_are_work_unless_told() {
        let given = json!([{"value": "a@x.example"}, {"value": "b@x.example", "label": "home"}]);
        let settled = contacts("emails", &given).unwrap();
        assert_eq!(settled[0], json!({"value": "a@x.example", "primary": true, "label": "work"}));
        assert_eq!(settled[1], json!({"value": "b@x.example", "primary": false, "label": "home"}));
        let both = json!([{"value": "1", "primary": true}, {"value": "2", "primary": true}]);
        assert_eq!(contacts("phones", &both).unwrap()[1]["primary"], false);
        assert!(contacts("emails", &json!("a@x.example")).is_err());
        assert!(contacts("emails", &json!([{"email": "a@x.example"}])).is_err());
    }

    #[test]
    fn times_of_day_are_answered_in_full() {
        assert_eq!(clock("due_time", &json!("09:30")).unwrap(), "09:30:00");
        assert!(clock("due_time", &json!("24:00")).is_err() && clock("due_time", &json!(930)).is_err());
        assert!(is_date("2026-11-23") && !is_date("23.11.2026") && !is_date("2026-13-01"));
    }
}
