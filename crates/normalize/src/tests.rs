//! Tests of all cleaners: the mess of real forms, and what must hold for any text.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::{
    Reason, ascii_key, company, country, domain, email, is_disposable, is_free_mail, is_shared_platform, key,
    lower, number, person_name, phone, tidy,
};

#[test]
fn text_is_tidied_for_display_and_folded_for_keys() {
    assert_eq!(tidy("  Ana\t\n  Berg\u{200b} \u{feff}"), "Ana Berg");
    assert_eq!(tidy("e\u{301}"), "é");
    assert_eq!(tidy("👩\u{200d}💻 \u{202e}abc"), "👩\u{200d}💻 abc");
    assert_eq!(lower(" İSTANBUL "), lower(&lower(" İSTANBUL ")));
    assert_eq!(key("Ａｃｍｅ\u{200d} ﬁn"), "acme fin");
    assert_eq!(ascii_key("Çok  Güzel – Łódź, Straße"), "cok guzel lodz strasse");
}

#[test]
fn emails_of_real_forms() {
    let address = |text: &str| email(text).map(|email| email.address);
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(address(" Ana@Acme.EXAMPLE "), ok("ana@acme.example"));
    assert_eq!(address("mailto:Ana@acme.example?subject=Hi"), ok("ana@acme.example"));
    assert_eq!(address("Ana Berg <ana@acme.example>"), ok("ana@acme.example"));
    assert_eq!(address("<ana@acme.example>,"), ok("ana@acme.example"));
    assert_eq!(address("ana\u{200b}@acme.example\u{feff}"), ok("ana@acme.example"));
    assert_eq!(address("ana＠ａｃｍｅ.example"), ok("ana@acme.example"));
    assert_eq!(address("o'connor+x@acme.co.uk"), ok("o'connor+x@acme.co.uk"));
    assert_eq!(address("info@münchen.example"), ok("info@xn--mnchen-3ya.example"));
    assert_eq!(address("\"ana@acme.example\""), ok("ana@acme.example"));
    assert_eq!(address("MAILTO:ana@acme.example."), ok("ana@acme.example"));
    for (text, reason) in [
        ("", Reason::Empty),
        (" \u{200b} ", Reason::Empty),
        ("n/a", Reason::NoAt),
        ("ana@", Reason::BadDomain),
        ("@acme.example", Reason::BadMailbox),
        ("ana berg@acme.example", Reason::BadMailbox),
        ("ana..b@acme.example", Reason::BadMailbox),
        ("ana@acme", Reason::NotRegistrable),
        ("ana@10.0.0.1", Reason::NotRegistrable),
        ("ana@acme..example", Reason::BadDomain),
        ("ana@-acme.example", Reason::BadDomain),
        ("ana@acme.example, ben@acme.example", Reason::Several),
        ("ana@ben@acme.example", Reason::BadMailbox),
    ] {
        assert_eq!(address(text), Err(reason), "{text:?}");
    }
    assert_eq!(address(&"a".repeat(100_000)), Err(Reason::TooLong));
    assert_eq!(address(&format!("{}@acme.example", "a".repeat(65))), Err(Reason::BadMailbox));
}

#[test]
fn fm_089_a_tag_stays_in_the_key_and_the_written_case_stays_for_sending() {
    let tagged = email("Ana.B+Shop@Acme.example").unwrap();
    assert_eq!(tagged.address, "ana.b+shop@acme.example");
    assert_eq!(tagged.written, "Ana.B+Shop@acme.example");
    assert_eq!(tagged.without_tag(), "ana.b@acme.example");
    assert_ne!(tagged.address, email("ana.b@acme.example").unwrap().address);
}

#[test]
fn domains_of_websites_hosts_and_addresses() {
    let host = |text: &str| domain(text).map(|domain| domain.host);
    for (text, expected) in [
        ("https://wimvan.eu/contact?utm_source=x", "wimvan.eu"),
        ("HTTP://WWW.SCALEHQ.COM", "scalehq.com"),
        ("www.projectkunststoff.biz", "projectkunststoff.biz"),
        ("facebook.com/raphael2", "facebook.com"),
        ("ana@shop.acme.co.uk", "shop.acme.co.uk"),
        ("mailto:ana@acme.com", "acme.com"),
        ("//acme.com:8080/x", "acme.com"),
        ("https://user:pass@acme.com/", "acme.com"),
        ("acme.com.", "acme.com"),
        ("http://bücher.example/ä", "xn--bcher-kva.example"),
        ("www.www.acme.com", "acme.com"),
        ("www.com", "www.com"),
        ("<https://acme.com/?q=a:1>", "acme.com"),
    ] {
        assert_eq!(host(text), Ok(expected.to_owned()), "{text}");
    }
    assert_eq!(domain("https://www.shop.acme.co.uk").unwrap().registrable, "acme.co.uk");
    assert_eq!(domain("ana.github.io").unwrap().registrable, "ana.github.io");
    for (text, reason) in [
        ("", Reason::Empty),
        ("none", Reason::NotRegistrable),
        ("co.uk", Reason::NotRegistrable),
        ("http://10.0.0.1/", Reason::NotRegistrable),
        ("http://[::1]/", Reason::NotRegistrable),
        ("acme com", Reason::BadDomain),
        ("1.2", Reason::NotRegistrable),
        ("acme.123", Reason::BadDomain),
    ] {
        let found = domain(text).map(|domain| domain.host);
        assert!(
            matches!(found, Err(found) if found == reason || found == Reason::BadDomain),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn lists_know_domains_and_what_lies_below_them() {
    assert!(is_free_mail("gmail.com") && is_free_mail("GMX.de") && is_free_mail("mail.yahoo.co.uk"));
    assert!(
        !is_free_mail("acme.com")
            && !is_free_mail("notgmail.com")
            && !is_free_mail("com")
            && !is_free_mail("")
    );
    assert!(is_disposable("mailinator.com") && is_disposable("x.yopmail.com") && !is_disposable("gmail.com"));
    assert!(is_shared_platform("linkedin.com") && is_shared_platform("x.business.site"));
    assert!(is_shared_platform("sites.google.com") && !is_shared_platform("acme.com"));
}

#[test]
fn phones_of_real_forms() {
    let e164 = |text, region| phone(text, region).map(|phone| phone.e164);
    let ok = |text: &str| Ok(text.to_owned());
    for (text, region, expected) in [
        ("+49 (0)30 1234567", None, "+49301234567"),
        ("0049 30 1234567", Some("US"), "+49301234567"),
        ("030/1234567", Some("DE"), "+49301234567"),
        ("(030) 1234567", Some("de"), "+49301234567"),
        ("+1 520-878-2491", None, "+15208782491"),
        ("1-520-878-2491", Some("US"), "+15208782491"),
        ("520.878.2491", Some("US"), "+15208782491"),
        ("011 49 30 1234567", Some("US"), "+49301234567"),
        ("tel:+44-20-7946-0958", None, "+442079460958"),
        ("＋４９ ３０ １２３４５６７", None, "+49301234567"),
        ("٠٣٠١٢٣٤٥٦٧", Some("DE"), "+49301234567"),
        ("\u{202a}+49 30 1234567\u{202c}", None, "+49301234567"),
    ] {
        assert_eq!(e164(text, region), ok(expected), "{text}");
    }
    for (text, region, reason) in [
        ("", None, Reason::Empty),
        ("call me", Some("DE"), Reason::NotAPhone),
        ("1-800-FLOWERS", Some("US"), Reason::NotAPhone),
        ("030 1234567", None, Reason::NoRegion),
        ("030 1234567", Some("Germany"), Reason::UnknownRegion),
        ("123", Some("DE"), Reason::NotAPhone),
        ("+49 30 1234567 / +49 30 7654321", None, Reason::Several),
        ("+999 1234567", None, Reason::NotAssigned),
        ("0000000000", Some("DE"), Reason::NotAssigned),
    ] {
        assert_eq!(e164(text, region), Err(reason), "{text}");
    }
    let with = phone("030/1234567 ext. 12", Some("DE")).unwrap();
    assert_eq!((with.e164.as_str(), with.extension.as_deref()), ("+49301234567", Some("12")));
    assert_eq!(phone("(520) 878-2491-999", Some("US")).unwrap().extension.as_deref(), Some("999"));
}

#[test]
fn company_names_lose_their_legal_form_and_nothing_else() {
    for (text, expected) in [
        ("ACME & Sons GmbH & Co. KG", "acme and sons"),
        ("Rossi S.p.A.", "rossi"),
        ("Kowalski Sp. z o.o.", "kowalski"),
        (
            "ARCELORMITTAL TUBULAR PRODUCTS KRAKÓW SPÓŁKA Z OGRANICZONĄ ODPOWIEDZIALNOŚCIĄ",
            "arcelormittal tubular products krakow",
        ),
        ("Outback Tools Pty. Ltd.", "outback tools"),
        ("Aceros del Norte, S.A. de C.V.", "aceros del norte"),
        ("Tanaka K.K.", "tanaka"),
        ("Tanaka Kabushiki Kaisha", "tanaka"),
        ("株式会社田中", "tian zhong"),
        ("Põhja Vara OÜ", "pohja vara"),
        ("bon engineering aktiebolag", "bon engineering"),
        ("Signage Store Private Limited", "signage store"),
        ("Meera Industries (India) Pvt. Ltd", "meera industries india"),
        ("Tulsi Hospitality L.L.C", "tulsi hospitality"),
        ("The Century Company", "century"),
        ("O'Connor Ltd", "oconnor"),
        ("Nordic Foo AB (publ)", "nordic foo"),
        ("Müller Bau UG (haftungsbeschränkt)", "muller bau"),
        ("Верес ООО", "veres"),
        ("ООО \"Верес\"", "veres"),
        ("Fratelli Bianchi S.r.l. in liquidazione", "fratelli bianchi"),
        ("Hisense Visual Technology Co., Ltd.", "hisense visual technology"),
        ("Limited", "limited"),
        ("GmbH & Co. KG", "gmbh"),
        ("A.B.C. Tools s.r.o.", "abc tools"),
    ] {
        assert_eq!(company(text).core, expected, "{text}");
    }
    assert_eq!(company("  ACME\u{200b}   GmbH ").cleaned, "ACME GmbH");
}

#[test]
fn names_of_no_company_are_recognised() {
    for text in
        ["n/a", "-", "", "N.A.", "Self-Employed", "ASDF", "my company", "Test", "student", "none", "..."]
    {
        assert!(company(text).is_placeholder(), "{text} → {:?}", company(text));
    }
    for text in ["Acme", "Test Systems GmbH", "Student Housing Ltd", "3M"] {
        assert!(!company(text).is_placeholder(), "{text}");
    }
}

#[test]
fn countries_by_code_name_and_habit() {
    for (text, code) in [
        ("DE", "DE"),
        ("deu", "DE"),
        ("GER", "DE"),
        ("Germany", "DE"),
        ("Deutschland", "DE"),
        ("Allemagne", "DE"),
        ("U.S.A.", "US"),
        ("United States of America", "US"),
        ("US", "US"),
        ("England", "GB"),
        ("U.K.", "GB"),
        ("Great Britain", "GB"),
        ("Holland", "NL"),
        ("The Netherlands", "NL"),
        ("Nederland", "NL"),
        ("España", "ES"),
        ("PRC", "CN"),
        ("Türkiye", "TR"),
        ("Virgin Islands, British", "VG"),
        ("South Korea", "KR"),
        ("Russian Federation", "RU"),
        ("Czechia", "CZ"),
        ("Schweiz", "CH"),
        ("Côte d'Ivoire", "CI"),
        ("NO", "NO"),
        (" no ", "NO"),
        ("Isle of Man", "IM"),
        ("Hong Kong", "HK"),
        ("Taiwan", "TW"),
        ("Cayman Islands", "KY"),
        ("Marshall Islands", "MH"),
        ("Bahamas", "BS"),
        ("Kosovo", "XK"),
        ("日本", "JP"),
    ] {
        assert_eq!(country(text).map(|country| country.iso2), Ok(code), "{text}");
    }
    assert_eq!(country("Atlantis"), Err(Reason::UnknownCountry));
    assert_eq!(country(" . "), Err(Reason::Empty));
}

#[test]
fn amounts_in_the_habits_of_several_countries() {
    for (text, expected) in [
        ("20.000 €", 20_000.0),
        ("20,000.50", 20_000.5),
        ("20.000,50", 20_000.5),
        ("20k", 20_000.0),
        ("1.5m", 1_500_000.0),
        ("$ 5,000+", 5_000.0),
        ("1'500 CHF", 1_500.0),
        ("€ 1.234.567", 1_234_567.0),
        ("0.125", 0.125),
        (".5", 0.5),
        ("3,5", 3.5),
        ("-12", -12.0),
        ("USD 10000", 10_000.0),
        ("1 000 000", 1_000_000.0),
        ("1,00,000", 100_000.0),
        ("2 Mio. €", 2_000_000.0),
        ("~ 300 TSD", 300_000.0),
        ("007", 7.0),
    ] {
        assert_eq!(number(text), Ok(expected), "{text}");
    }
    for (text, reason) in [
        ("", Reason::Empty),
        ("many", Reason::NotANumber),
        ("5000-10000", Reason::Several),
        ("10 apples", Reason::NotANumber),
        ("1.2.3", Reason::NotANumber),
        ("12a4", Reason::NotANumber),
    ] {
        assert_eq!(number(text), Err(reason), "{text}");
    }
}

#[test]
fn names_of_persons_split_by_habit() {
    let split = |text: &str| {
        let name = person_name(text);
        (name.first.unwrap_or_default(), name.last.unwrap_or_default())
    };
    for (text, first, last) in [
        ("Ana Berg", "Ana", "Berg"),
        ("Dr. Ana Maria van der Berg, MBA", "Ana Maria", "van der Berg"),
        ("Gray, Philip", "Philip", "Gray"),
        ("Herr Prof. Dr. Max Müller", "Max", "Müller"),
        ("Cher", "Cher", ""),
        ("", "", ""),
        ("Sammy Davis Jr.", "Sammy", "Davis"),
        ("MBA", "MBA", ""),
        ("Quinn de Graaf", "Quinn", "de Graaf"),
    ] {
        assert_eq!(split(text), (first.to_owned(), last.to_owned()), "{text}");
    }
}

/// Texts that break things: any character, plus the pieces that the cleaners look for, also very many of them.
fn nasty() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("@"),
        Just("."),
        Just("www."),
        Just("https://"),
        Just("mailto:"),
        Just("<"),
        Just(">"),
        Just("+"),
        Just("00"),
        Just("(0)"),
        Just("GmbH & Co. KG"),
        Just("S.p.A."),
        Just("the"),
        Just("and"),
        Just("&"),
        Just("株式会社"),
        Just("\u{200b}"),
        Just("\u{202e}"),
        Just("👩\u{200d}💻"),
        Just("e\u{301}"),
        Just("İ"),
        Just("ß"),
        Just("ﬁ"),
        Just("１"),
        Just("٣"),
        Just("مرحبا"),
        Just(" "),
        Just("\n"),
        Just("x"),
        Just("12"),
        Just("1"),
        Just("a"),
        Just("com"),
        Just("ä"),
        Just("'"),
        Just("-"),
        Just("Mr"),
        Just("jr"),
        Just("van"),
        Just("ͅ"),
        Just("ΐ"),
        Just("\u{1e9e}"),
        Just(","),
        Just("%41"),
        Just("xn--")
    ];
    prop_oneof![
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()),
        "\\PC{0,40}",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// A joiner, which no key holds, makes a plain text go the way of all others.
    #[test]
    fn plain_text_has_the_same_key_by_the_short_way(text in "[\\x00-\\x7f]{0,60}") {
        prop_assert_eq!(key(&format!("\u{200d}{text}")), key(&text));
    }

    #[test]
    fn fm_088_every_cleaner_survives_any_text_and_changes_nothing_the_second_time(text in nasty()) {
        for cleaner in [tidy, lower, key, ascii_key] {
            let once = cleaner(&text);
            prop_assert_eq!(cleaner(&once), once.clone());
        }
        if let Ok(once) = email(&text) {
            prop_assert_eq!(&email(&once.address).unwrap().address, &once.address);
            prop_assert_eq!(email(&once.written).unwrap(), once);
        }
        if let Ok(once) = domain(&text) {
            prop_assert_eq!(&domain(&once.host).unwrap(), &once);
            prop_assert!(once.host.ends_with(&once.registrable));
        }
        let once = company(&text);
        prop_assert_eq!(&company(&once.core).core, &once.core);
        prop_assert_eq!(&company(&once.cleaned).cleaned, &once.cleaned);
        let _ = (number(&text), person_name(&text), country(&text), once.is_placeholder());
        let _ = (is_free_mail(&text), is_disposable(&text), is_shared_platform(&text));
    }

    #[test]
    fn phones_survive_any_text(text in prop_oneof![nasty(), "[+0-9 ()./x-]{0,25}"]) {
        for region in [None, Some("DE"), Some("US"), Some("??")] {
            if let Ok(once) = phone(&text, region) {
                prop_assert_eq!(phone(&once.e164, None).unwrap().e164, once.e164);
            }
        }
    }
}

#[test]
fn fm_088_texts_of_100_kb_are_cleaned_in_no_time() {
    for piece in [
        "a",
        "👩\u{200d}💻",
        "\u{200b}",
        " ",
        "@",
        ".",
        "mr ",
        "the ",
        "ltd ",
        "and ",
        "+1",
        "1,",
        "漢",
        "e\u{301}",
        "\u{202e}",
    ] {
        let text = piece.repeat(100_000 / piece.len());
        let _ = (email(&text), domain(&text), phone(&text, Some("DE")), company(&text), country(&text));
        let _ = (number(&text), person_name(&text), tidy(&text), key(&text), ascii_key(&text));
        let _ = (is_free_mail(&text), is_shared_platform(&text));
    }
}
