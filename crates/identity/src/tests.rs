//! The table of decisions, and that order makes no difference.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use proptest::prelude::*;
use usher_model::{Fields, IdentityKey, IdentityKind, PersonId};

use crate::{KnownPerson, Names, Resolution, keys, resolve};

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, text) in pairs {
        fields.values.insert((*name).to_owned(), (*text).into());
    }
    fields
}

fn named(name: &str) -> Names {
    Names::of(&fields(&[("full_name", name)]))
}

fn email(value: &str) -> IdentityKey {
    IdentityKey { kind: IdentityKind::Email, value: value.to_owned() }
}

fn phone(value: &str) -> IdentityKey {
    IdentityKey { kind: IdentityKind::Phone, value: value.to_owned() }
}

fn id(second: i64) -> PersonId {
    PersonId::new(Timestamp::from_second(second).unwrap())
}

fn person(id: PersonId, keys: &[IdentityKey], names: &[&str]) -> KnownPerson {
    KnownPerson { id, keys: keys.to_vec(), names: names.iter().map(|name| named(name)).collect() }
}

const ANA: &str = "ana@acme.example";
const NUMBER: &str = "+493012345678";

fn same(resolution: &Resolution) -> Option<PersonId> {
    match resolution {
        Resolution::Same { person, .. } => Some(*person),
        Resolution::New { .. } | Resolution::Ambiguous { .. } => None,
    }
}

#[test]
fn fm_089_who_is_who() {
    let known = id(1);
    let info = || email("info@acme.example");
    let table: Vec<(&str, Vec<IdentityKey>, &str, KnownPerson, bool)> = vec![
        ("same address", vec![email(ANA)], "Ana Silva", person(known, &[email(ANA)], &["Ana Silva"]), true),
        (
            "same address, other name",
            vec![email(ANA)],
            "Tom Hill",
            person(known, &[email(ANA)], &["Ana Silva"]),
            true,
        ),
        ("same address, no name", vec![email(ANA)], "", person(known, &[email(ANA)], &[]), true),
        (
            "same number, same name",
            vec![phone(NUMBER)],
            "Ana Silva",
            person(known, &[phone(NUMBER)], &["Ana Silva"]),
            true,
        ),
        (
            "same number, no name",
            vec![phone(NUMBER)],
            "",
            person(known, &[phone(NUMBER)], &["Ana Silva"]),
            true,
        ),
        (
            "same number, stranger",
            vec![phone(NUMBER)],
            "Tom Hill",
            person(known, &[phone(NUMBER)], &["Ana Silva"]),
            false,
        ),
        (
            "same number, family",
            vec![phone(NUMBER)],
            "Tom Silva",
            person(known, &[phone(NUMBER)], &["Ana Silva"]),
            false,
        ),
        (
            "switchboard: other address, no names",
            vec![email("tom@acme.example"), phone(NUMBER)],
            "",
            person(known, &[email(ANA), phone(NUMBER)], &["Ana Silva"]),
            false,
        ),
        (
            "new address, same number and name",
            vec![email("ana@home.example"), phone(NUMBER)],
            "Ana Silva",
            person(known, &[email(ANA), phone(NUMBER)], &["Ana Silva"]),
            true,
        ),
        (
            "shared inbox, same name",
            vec![info()],
            "Ana Silva",
            person(known, &[info()], &["Ana Silva"]),
            true,
        ),
        (
            "shared inbox, other name",
            vec![info()],
            "Tom Hill",
            person(known, &[info()], &["Ana Silva"]),
            false,
        ),
        ("shared inbox, no names", vec![info()], "", person(known, &[info()], &[]), true),
        (
            "nothing in common",
            vec![email(ANA)],
            "Ana Silva",
            person(known, &[email("x@y.example")], &["Ana Silva"]),
            false,
        ),
        ("no keys at all", vec![], "Ana Silva", person(known, &[email(ANA)], &["Ana Silva"]), false),
        (
            "one of two names agrees",
            vec![phone(NUMBER)],
            "Ana Costa",
            person(known, &[phone(NUMBER)], &["Ana Silva", "Ana Costa"]),
            true,
        ),
    ];
    for (case, keys, name, candidate, expected) in table {
        let resolution = resolve(&keys, &named(name), &[candidate]);
        assert_eq!(same(&resolution).is_some(), expected, "{case}: {resolution:?}");
    }
}

#[test]
fn an_address_wins_over_a_number() {
    let (ana, ben) = (id(1), id(2));
    let candidates =
        [person(ana, &[email(ANA)], &["Ana Silva"]), person(ben, &[phone(NUMBER)], &["Ana Silva"])];
    let resolution = resolve(&[phone(NUMBER), email(ANA)], &named("Ana Silva"), &candidates);
    let Resolution::Same { person, by, reason } = resolution else { panic!("{resolution:?}") };
    assert_eq!((person, by), (ana, email(ANA)));
    assert!(reason.contains("phone number is known of somebody else"), "{reason}");
}

#[test]
fn fm_089_two_who_fit_a_number_are_nobody_unless_a_name_decides() {
    let (ana, ben) = (id(1), id(2));
    let candidates =
        [person(ana, &[phone(NUMBER)], &["Ana Silva"]), person(ben, &[phone(NUMBER)], &["Ben Hill"])];
    let nameless = resolve(&[phone(NUMBER)], &named(""), &candidates);
    assert!(
        matches!(&nameless, Resolution::Ambiguous { persons, .. } if persons == &[ana, ben]),
        "{nameless:?}"
    );
    assert_eq!(same(&resolve(&[phone(NUMBER)], &named("Ben Hill"), &candidates)), Some(ben));
}

#[test]
fn reasons_show_no_personal_data() {
    let candidates = [person(id(1), &[email(ANA), phone(NUMBER)], &["Ana Silva"])];
    for keys in [vec![email(ANA)], vec![phone(NUMBER)], vec![email("info@acme.example")]] {
        for name in ["", "Tom Hill", "Ana Silva"] {
            let reason = match resolve(&keys, &named(name), &candidates) {
                Resolution::New { reason }
                | Resolution::Same { reason, .. }
                | Resolution::Ambiguous { reason, .. } => reason,
            };
            assert!(
                !reason.contains('@') && !reason.contains("+49") && !reason.contains("Silva"),
                "{reason}"
            );
        }
    }
}

#[test]
fn keys_are_cleaned_and_the_strongest_comes_first() {
    let found = keys(&fields(&[("phone", NUMBER), ("email", " Ana@Acme.EXAMPLE ")]));
    assert_eq!(found, [email(ANA), phone(NUMBER)]);
    assert_eq!(keys(&fields(&[("email", "no address"), ("phone", "12345")])), []);
    assert_eq!(keys(&fields(&[])), []);
}

fn any_key() -> impl Strategy<Value = IdentityKey> {
    prop_oneof![
        prop::sample::select(vec!["a@x.example", "b@x.example", "info@x.example"]).prop_map(email),
        prop::sample::select(vec!["+491", "+492"]).prop_map(phone),
    ]
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "Ana Silva", "A. Silva", "Tom Silva", "Ben Hill"])
}

fn any_person() -> impl Strategy<Value = (i64, Vec<IdentityKey>, Vec<&'static str>)> {
    (1_i64..4, prop::collection::vec(any_key(), 0..3), prop::collection::vec(any_name(), 0..3))
}

proptest! {
    #[test]
    fn order_makes_no_difference(
        (keys, shuffled_keys) in prop::collection::vec(any_key(), 0..4)
            .prop_flat_map(|keys| (Just(keys.clone()), Just(keys).prop_shuffle())),
        name in any_name(),
        (people, shuffled_people) in prop::collection::vec(any_person(), 0..5)
            .prop_flat_map(|people| (Just(people.clone()), Just(people).prop_shuffle())),
    ) {
        let ids: Vec<PersonId> = (0..5).map(id).collect();
        let build = |people: &[(i64, Vec<IdentityKey>, Vec<&str>)]| -> Vec<KnownPerson> {
            people.iter().map(|(at, keys, names)| person(ids[*at as usize], keys, names)).collect()
        };
        let (one, other) = (build(&people), build(&shuffled_people));
        let expected = resolve(&keys, &named(name), &one);
        prop_assert_eq!(&expected, &resolve(&shuffled_keys, &named(name), &other));
        if let Resolution::Same { person, by, .. } = &expected {
            prop_assert!(keys.contains(by));
            prop_assert!(one.iter().any(|known| known.id == *person && known.keys.contains(by)));
        }
    }
}
