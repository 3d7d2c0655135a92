//! Tests of the whole crate: what holds, what is refused and with which words, what is explained.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use usher_document::{Cursor, Diagnostics, SourceFile, parse};

use crate::{Expression, Problem, Schema, Scope, Type};

fn schema() -> Schema {
    Schema::new()
        .fields(
            "lead",
            [
                ("email", Type::Text),
                ("country", Type::Text),
                ("service_line", Type::Text),
                ("budget", Type::Number),
                ("score", Type::Number),
                ("customer", Type::Bool),
                ("tags", Type::List),
                ("extra", Type::Map),
            ],
        )
        .fields("account", [("owner", Type::Text), ("size", Type::Number)])
        .open("record")
}

fn lead() -> Json {
    json!({ "email": "ana@acme.example", "country": "FR", "budget": 20000, "score": 1.5, "tags": ["a", "b"], "extra": { "utm": "x" } })
}

fn record() -> Json {
    json!({
        "answers": { "What do you need?": "SEO", "items": [{ "n": 1 }, { "n": 5 }] },
        "big": 9_007_199_254_740_993_i64, "text": "abc", "amount": "1200.50", "flag": true, "none": null, "in": 7
    })
}

fn outcome(text: &str) -> Result<bool, String> {
    let expression = Expression::parse(text, &schema()).map_err(|problems| problems.to_string())?;
    let (lead, record) = (lead(), record());
    let scope = Scope::new().with("lead", &lead).with("record", &record);
    expression.holds(&scope).map_err(|error| error.to_string())
}

#[test]
fn conditions_that_hold() {
    for text in [
        "true",
        "lead.country == 'FR'",
        "lead.country in ['DE', \"FR\"] && lead.budget >= 20000",
        "lead.budget > 19999.5 && lead.budget == 20000.0 && 20000u <= lead.budget",
        "lead.score * 2 == 3 && lead.budget / 3 == 6666 && lead.budget % 3 == 2 && -lead.score < 0",
        "!(lead.country == 'DE') && lead.country != 'DE'",
        "'a' in lead.tags && !('z' in lead.tags) && 'utm' in lead.extra",
        "lead.extra.utm == 'x' && lead.extra['utm'] == 'x' && lead.extra.missing == null",
        "record.answers['What do you need?'] == 'SEO' && record[\"in\"] == 7",
        "record.answers.items[1].n == 5 && record.answers.items[9].n == null && record.answers.items[-1] == null",
        "record.answers.items.exists(x, x.n > 4) && record.answers.items.all(x, x.n > 0)",
        "record.answers.items.exists_one(x, x.n == 1) && record.answers.items.filter(x, x.n > 1).size() == 1",
        "size(record.answers.items.map(x, x.n)) == 2 && 5 in record.answers.items.map(x, x.n)",
        "record.answers.items.exists(x, record.answers.items.exists(y, y.n > x.n))",
        "lead.email.endsWith('.example') && lead.email.startsWith('ana@') && lead.email.contains('acme')",
        "lead.email.matches('^[a-z]+@') && lead.country.lowerAscii() == 'fr' && ' x '.trim() == 'x'",
        "lead.country + '-' + lead.email.size().string() == 'FR-16' || size(lead.email) == 16",
        "double(record.amount) > 1200 && int(record.amount) == 1200 && int(record.text) == null && string(7) == '7'",
        "lead.budget > 1 ? lead.country == 'FR' : false",
        "has(lead.country) && !has(lead.service_line) && !has(record.a.b.c)",
        "record.flag",
        "[1, 2.0] == [1.0, 2] && [1] != [2] && record.answers.items != null",
    ] {
        let text = text.replace("lead.email.size().string()", "string(lead.email.size())");
        assert_eq!(outcome(&text), Ok(true), "{text}");
    }
}

#[test]
fn null_is_neither_error_nor_greater_nor_smaller() {
    for (text, expected) in [
        ("lead.service_line == null", true),
        ("lead.service_line != 'seo'", true),
        ("account.owner == null && account == null", true),
        ("account.size > 3", false),
        ("account.size <= 3", false),
        ("!(account.size > 3)", true),
        ("3 < account.size + 1", false),
        ("account.owner in ['a', null]", true),
        ("'a' in record.nothing", false),
        ("lead.customer", false),
        ("!lead.customer", true),
        ("lead.customer || lead.country == 'FR'", true),
        ("account.owner.startsWith('a')", false),
        ("account.owner.lowerAscii() == null", true),
        ("lead.country.contains(account.owner)", false),
        ("size(account.owner) == 0", true),
        ("record.nothing.exists(x, x == 1)", false),
        ("record.nothing.all(x, x == 1)", true),
        ("record.text.deeper == null", true),
    ] {
        assert_eq!(outcome(text), Ok(expected), "{text}");
    }
}

#[test]
fn numbers_compare_exactly() {
    assert_eq!(outcome("record.big == 9007199254740992.0"), Ok(false));
    assert_eq!(outcome("record.big > 9007199254740992.0"), Ok(true));
    assert_eq!(outcome("record.big < 1e300 && record.big > -1e300"), Ok(true));
    assert_eq!(outcome("1 < 1.5 && 2 > 1.5 && -1 > -1.5"), Ok(true));
}

#[test]
fn kinds_that_only_the_lead_shows_are_errors_with_a_place() {
    for (text, message) in [
        ("record.text > 5", "cannot order a text and a number"),
        ("record.answers && true", "expected true or false, found a group of fields"),
        ("record.text + 1 == 2", "cannot calculate with a text and a number"),
        ("lead.budget / 0 == 1", "division by zero"),
        ("record.big * record.big == 0", "the number is too large"),
        ("1 in record.text", "`in` needs a list, found a text"),
        ("record.text.exists(x, x == 1)", "expected a list, found a text"),
        ("record.flag.startsWith('a')", "this function does not take true or false and a text"),
    ] {
        assert_eq!(outcome(text), Err(message.to_owned()), "{text}");
    }
    let error = {
        let (expression, record) =
            (Expression::parse("true && record.text > 5", &schema()).unwrap(), record());
        expression.holds(&Scope::new().with("record", &record)).unwrap_err()
    };
    assert_eq!((error.offset, error.len), (20, 1));
}

#[test]
fn a_side_that_decides_outweighs_an_error() {
    assert_eq!(outcome("record.text > 5 && lead.country == 'DE'"), Ok(false));
    assert_eq!(outcome("record.text > 5 || lead.country == 'FR'"), Ok(true));
    assert!(outcome("record.text > 5 && lead.country == 'FR'").is_err());
}

fn problems(text: &str) -> Vec<Problem> {
    Expression::parse(text, &schema()).unwrap_err().0
}

/// Marks the place below the text and says what the admin reads.
fn shown(text: &str) -> String {
    let mut all = String::new();
    for problem in problems(text) {
        let column = text[..problem.offset].chars().count();
        let len = text[problem.offset..problem.offset + problem.len].chars().count().max(1);
        all += &format!("{text}\n{}{} {}", " ".repeat(column), "^".repeat(len), problem.message);
        all += &problem.suggestion.map(|near| format!(" | did you mean `{near}`?")).unwrap_or_default();
        all += &problem.help.map(|help| format!(" | {help}")).unwrap_or_default();
        all += "\n";
    }
    all
}

#[test]
fn wrong_conditions_say_what_to_do() {
    let wrong = [
        "lead.contry == 'DE'",
        "lead.zebra == 'DE'",
        "leed.country == 'DE'",
        "country == 'DE'",
        "lead.country == DE",
        "lead.country.startswith('D')",
        "lower(lead.country) == 'de'",
        "lead.country.frobnicate()",
        "startsWith(lead.country, 'D')",
        "lead.country > 5",
        "lead.budget == '20000'",
        "lead.customer == 'true'",
        "lead.tags == 'a'",
        "lead.country == ['DE', 'AT']",
        "lead.country in 'DE'",
        "'a' in lead.email",
        "lead.country in ['DE', 5]",
        "lead.country",
        "lead.budget && true",
        "lead.tags || true",
        "lead.budget > null",
        "lead.customer > true",
        "lead.country + 1 == 'x'",
        "lead.country.name == 'x'",
        "lead.budget.contains('x')",
        "lead.email.matches('(')",
        "lead.email.matches(lead.country)",
        "lead.budget.exists(x, x == 1)",
        "{'a': 1} == record.a",
        "lead.contry == 'DE' && lead.budgt > 5",
        "",
        "lead.country = 'DE'",
        "lead.country === 'DE'",
        "lead.country <> 'DE'",
        "lead.country == 'DE' and lead.budget > 5",
        "not lead.customer",
        "lead.country == 'DE' & lead.customer",
        "lead.country == “DE”",
        "lead.country == 'DE",
        "lead.country == 'D\\E'",
        "lead.country == 'it's'",
        "lead.country in 'DE', 'AT'",
        "lead.country in ['DE', 'AT'",
        "lead.country ==",
        "(lead.country == 'DE'",
        "lead.country == 'DE')",
        "lead.country like 'D%'",
        "lead.größe == 1",
        "if == 1",
        "has(lead)",
        "99999999999999999999 > lead.budget",
    ];
    let all: String = wrong.iter().map(|text| shown(text) + "\n").collect();
    insta::assert_snapshot!(all);
}

fn why(text: &str) -> String {
    let (lead, record) = (lead(), record());
    let scope = Scope::new().with("lead", &lead).with("record", &record);
    Expression::parse(text, &schema()).unwrap().explain(&scope).unwrap().to_string()
}

#[test]
fn explanations_name_the_part_that_decided() {
    assert_eq!(
        why("lead.country == 'DE' && lead.budget > 5"),
        "`lead.country == 'DE'` does not hold (lead.country = \"FR\")"
    );
    assert_eq!(
        why("lead.budget > 5 && lead.score < 2 && has(lead.email)"),
        "`lead.budget > 5` holds (lead.budget = 20000); `lead.score < 2` holds (lead.score = 1.5); `has(lead.email)` holds (lead.email = \"ana@acme.example\")"
    );
    assert_eq!(
        why("lead.country == 'DE' || lead.budget > 50000"),
        "`lead.country == 'DE'` does not hold (lead.country = \"FR\"); `lead.budget > 50000` does not hold (lead.budget = 20000)"
    );
    assert_eq!(
        why("lead.country == 'DE' || (lead.budget > 5)"),
        "`lead.budget > 5` holds (lead.budget = 20000)"
    );
    assert_eq!(
        why("!( lead.country == 'DE' || lead.budget > 5 )"),
        "`lead.budget > 5` holds (lead.budget = 20000)"
    );
    assert_eq!(
        why("lead.budget > 5 && (lead.country in ['DE', 'A)T'] || account.owner != null)"),
        "`lead.country in ['DE', 'A)T']` does not hold (lead.country = \"FR\"); `account.owner != null` does not hold (account.owner = null)"
    );
    assert_eq!(
        why("record.answers[\"What do you need?\"] == \"PPC\""),
        "`record.answers[\"What do you need?\"] == \"PPC\"` does not hold (record.answers[\"What do you need?\"] = \"SEO\")"
    );
    assert_eq!(
        why("record.text > 5 || lead.country == 'FR'"),
        "`lead.country == 'FR'` holds (lead.country = \"FR\")"
    );
    assert_eq!(why("true"), "`true` holds");
}

#[test]
fn long_values_are_cut_in_explanations() {
    let lead = json!({ "email": "é".repeat(100_000) });
    let expression = Expression::parse("lead.email != 'x'", &schema()).unwrap();
    let told = expression.explain(&Scope::new().with("lead", &lead)).unwrap().to_string();
    assert!(told.chars().count() < 200, "{}", told.len());
}

#[test]
fn references_are_listed_once() {
    let expression =
        Expression::parse("lead.country == 'DE' || lead.country == 'AT' && record['a b'].c > 1", &schema())
            .unwrap();
    assert_eq!(expression.references(), ["lead.country", "record[\"a b\"].c"]);
}

#[test]
fn problems_point_into_the_file() {
    let source = SourceFile::new(
        "routing.yaml",
        "rules:\n  - when: 'lead.country == \"DE\" && lead.contry == \"ä\"'\n",
    );
    let node = parse(&source).unwrap();
    let log = Diagnostics::default();
    let rule =
        Cursor::root(&source, &node, &log).map().unwrap().required_at("rules").unwrap().list().unwrap();
    let when = rule[0].map().unwrap().required_at("when").unwrap();
    assert!(Expression::read(&when, &schema()).is_none());
    let found = log.into_sorted();
    assert_eq!(found.len(), 1);
    let first = &found[0];
    assert_eq!((first.line, first.column, first.len, first.path.as_str()), (2, 36, 11, "rules[0].when"));
    assert_eq!(first.suggestion.as_deref(), Some("lead.country"));
}

#[test]
fn a_boolean_of_the_file_is_a_condition() {
    let source = SourceFile::new("routing.yaml", "true");
    let node = parse(&source).unwrap();
    let log = Diagnostics::default();
    let always = Expression::read(&Cursor::root(&source, &node, &log), &schema()).unwrap();
    assert_eq!(always.holds(&Scope::new()), Ok(true));
}

#[test]
fn hostile_texts_are_refused_and_do_not_overflow_the_stack() {
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("-", "1", ""),
        ("[", "1", "]"),
        ("1 + ", "1", ""),
        ("", "record", ".a"),
        ("", "record", "[0]"),
        ("true ? ", "true", " : true"),
        ("record.exists(x, ", "true", ")"),
        ("'", "a", "'"),
        ("has(", "record.a", ")"),
    ] {
        for times in [50, 200, 900] {
            let text = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
            // Either answer is right; what counts is that there is one.
            let _ = Expression::parse(&text, &schema());
        }
    }
    assert!(Expression::parse(&format!("'{}' == 'a'", "a".repeat(5_000)), &schema()).is_err());
    let many: Vec<String> = (0..300).map(|n| format!("lead.budget != {n}")).collect();
    assert_eq!(problems(&many.join(" && ")).len(), 1);
    assert_eq!(outcome(&format!("{}true{}", "(".repeat(24), ")".repeat(24))), Ok(true));
    assert_eq!(problems(&format!("{}true{}", "(".repeat(25), ")".repeat(25)))[0].offset, 24);
    let countries: Vec<String> = (0..300).map(|n| format!("'C{n}'")).collect();
    assert!(Expression::parse(&format!("lead.country in [{}]", countries.join(",")), &schema()).is_ok());
}

#[test]
fn nested_loops_over_a_large_payload_are_bounded() {
    let record = json!({ "list": vec![1; 3_000] });
    let text = "record.list.exists(a, record.list.exists(b, a + b == 3))";
    let expression = Expression::parse(text, &schema()).unwrap();
    let error = expression.holds(&Scope::new().with("record", &record)).unwrap_err();
    assert!(error.message.contains("items"), "{error}");
}

#[test]
fn expressions_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
        let _ = Expression::parse(&text, &schema());
    }

    #[test]
    fn likely_text_never_panics(pieces in proptest::collection::vec(prop_oneof![
        Just("lead"), Just("record"), Just("."), Just("country"), Just("=="), Just("&&"), Just("||"), Just("!"), Just("("),
        Just(")"), Just("["), Just("]"), Just("'a'"), Just("\""), Just("1"), Just("2.5"), Just("in"), Just("null"), Just("<"),
        Just("+"), Just("?"), Just(":"), Just("has"), Just("exists"), Just("x"), Just(","), Just("ä"), Just("\\"), Just("\n"),
        Just("size"), Just("//"), Just("r'"), Just("b'"), Just("{"), Just("}"), Just("=")
    ], 0..14), glue in prop_oneof![Just(""), Just(" ")]) {
        let text = pieces.join(glue);
        match Expression::parse(&text, &schema()) {
            Ok(expression) => {
                let (lead, record) = (lead(), record());
                let scope = Scope::new().with("lead", &lead).with("record", &record);
                if let Ok(holds) = expression.holds(&scope) {
                    prop_assert_eq!(expression.explain(&scope).unwrap().holds, holds);
                }
            }
            Err(problems) => {
                for problem in problems.iter() {
                    prop_assert!(text.get(problem.offset..problem.offset + problem.len).is_some(), "{:?}", problem);
                }
            }
        }
    }
}
