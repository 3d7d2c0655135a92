//! Plain text for vendors that show what they are given as HTML.

/// The text as HTML that shows it as it is: what a person typed into a form must stay text at the vendor.
#[must_use]
pub fn as_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\n' => html.push_str("<br>"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::as_html;

    #[test]
    fn what_people_typed_stays_text() {
        assert_eq!(as_html("SEO <b>now</b>\n& more"), "SEO &lt;b&gt;now&lt;/b&gt;<br>&amp; more");
    }
}
