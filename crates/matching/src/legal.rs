//! Legal forms: two companies of one name are two companies if their forms differ.

/// Endings of company names and the form they stand for; longer endings first.
const FORMS: &[(&str, &str)] = &[
    ("private limited", "pvt"),
    ("pvt limited", "pvt"),
    ("private ltd", "pvt"),
    ("pvt ltd", "pvt"),
    ("pvt", "pvt"),
    ("pty limited", "pty"),
    ("pty ltd", "pty"),
    ("pty", "pty"),
    ("ltda", "ltda"),
    ("limited", "ltd"),
    ("ltd", "ltd"),
    ("llc", "llc"),
    ("llp", "llp"),
    ("lp", "lp"),
    ("plc", "plc"),
    ("incorporated", "inc"),
    ("inc", "inc"),
    ("corporation", "inc"),
    ("corp", "inc"),
    ("gmbh", "gmbh"),
    ("g m b h", "gmbh"),
    ("ag", "ag"),
    ("bv", "bv"),
    ("b v", "bv"),
    ("nv", "nv"),
    ("n v", "nv"),
    ("sarl", "sarl"),
    ("s a r l", "sarl"),
    ("sas", "sas"),
    ("srl", "srl"),
    ("s r l", "srl"),
    ("spa", "spa"),
    ("s p a", "spa"),
    ("sl", "sl"),
    ("s l", "sl"),
    ("sociedad limitada", "sl"),
    ("ab", "ab"),
    ("aktiebolag", "ab"),
    ("oy", "oy"),
    ("aps", "aps"),
    ("kft", "kft"),
    ("kk", "kk"),
    ("k k", "kk"),
    ("kabushiki kaisha", "kk"),
    ("sro", "sro"),
    ("s r o", "sro"),
    ("sp z o o", "spzoo"),
    ("l l c", "llc"),
];

/// The legal form that a company name ends in, as a word to compare.
pub(crate) fn form(name: &str) -> Option<&'static str> {
    let folded = crate::likeness::words(name).join(" ");
    let ends = |ending: &str| folded.strip_suffix(ending).is_some_and(|before| before.ends_with(' '));
    FORMS.iter().find(|(ending, _)| ends(ending)).map(|(_, form)| *form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_from_the_end() {
        let table = [
            ("Acme Pvt. Ltd.", Some("pvt")),
            ("ACME PRIVATE LIMITED", Some("pvt")),
            ("Acme Pty Ltd", Some("pty")),
            ("Acme, Ltd", Some("ltd")),
            ("Acme B.V.", Some("bv")),
            ("Acme Corp.", Some("inc")),
            ("Acme", None),
            ("Limited", None),
            ("Unlimited", None),
        ];
        for (name, expected) in table {
            assert_eq!(form(name), expected, "{name}");
        }
    }
}
