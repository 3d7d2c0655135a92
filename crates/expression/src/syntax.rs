//! What the parser's errors mean to somebody who is no programmer. The parser's own words list its tokens, so
//! the message is made from the text at the place of its first error; what follows is mostly its consequence.

use cel::ParseErrors;

use crate::Problem;
use crate::position::byte_of;

/// Problems that are better found before parsing.
pub(crate) fn precheck(text: &str, max_bytes: usize) -> Option<Problem> {
    if text.trim().is_empty() {
        return Some(
            Problem::new(0..0, "the condition is empty").help("write `true` for a rule that always holds"),
        );
    }
    if text.len() > max_bytes {
        return Some(Problem::new(0..1, format!("the condition is longer than {max_bytes} bytes")));
    }
    too_complex(text)
}

/// Brackets within brackets cost the parser stack.
const MAX_NESTING: usize = 24;
/// Chains of operators and dots are trees as deep as they are long, and the parser limits only brackets.
const MAX_OPERATORS: usize = 150;

fn too_complex(text: &str) -> Option<Problem> {
    let (mut nesting, mut operators) = (0_usize, 0_usize);
    for (at, c) in outside_quotes(text) {
        match c {
            '(' | '[' | '{' => nesting += 1,
            ')' | ']' | '}' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        operators += usize::from("+-*/%!?<>=.[({".contains(c));
        if nesting > MAX_NESTING {
            return Some(Problem::new(at..at + 1, "the condition is nested too deeply"));
        }
        if operators > MAX_OPERATORS {
            let problem = Problem::new(at..at + 1, "the condition has too many operators");
            return Some(problem.help("use `in [ … ]` for many values"));
        }
    }
    None
}

/// The characters that are not part of a quoted text, with their places.
pub(crate) fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    text.char_indices().filter(move |(_, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if *c == '\\' => escaped = true,
            Some(open) if *c == open => quote = None,
            Some(_) => {}
            None if *c == '"' || *c == '\'' => quote = Some(*c),
            None => return true,
        }
        false
    })
}

/// One problem for all that the parser found.
pub(crate) fn explain(text: &str, errors: &ParseErrors) -> Problem {
    let Some(error) = errors.errors.iter().min_by_key(|error| error.pos) else {
        return Problem::new(0..text.len(), "this is no condition");
    };
    let at = offset(text, error.pos);
    if let Some(problem) = known_slip(text, at) {
        return problem;
    }
    if error.msg.contains("has() macro") {
        return Problem::new(at..at, "`has` needs a field").help("write `has(lead.email)`");
    }
    if error.msg.contains("simple name") {
        return Problem::new(at..at, "the first argument must be a name of your choice")
            .help("write `record.list.exists(x, x == \"…\")`");
    }
    if error.msg.contains("int literal") || error.msg.contains("double literal") {
        return Problem::new(at..word_end(text, at), "this number is too large");
    }
    if let Some(name) = error.msg.strip_prefix("reserved identifier: ") {
        return Problem::new(at..at + name.len(), format!("`{name}` is a reserved word"))
            .help("put a text in quotes; write a field with such a name as `record[\"…\"]`");
    }
    unexpected(text, at, &error.msg)
}

fn unexpected(text: &str, at: usize, message: &str) -> Problem {
    let rest = &text[at..];
    if rest.trim().is_empty() {
        let end = text.trim_end().len();
        let problem = Problem::new(end..end, "the condition ends too early");
        return match unclosed(text) {
            Some(open) => problem.help(format!("`{open}` is opened and never closed")),
            None => problem.help("something must follow the last word"),
        };
    }
    let end = word_end(text, at);
    let shown = &text[at..end];
    let problem = Problem::new(at..end, format!("`{shown}` cannot stand here"));
    match rest.chars().next() {
        Some(')' | ']' | '}') => problem.help("it closes nothing: remove it, or open it before"),
        Some(',') => problem.help("several values stand in brackets: `in [\"a\", \"b\"]`"),
        Some(c) if !c.is_ascii() => {
            problem.help("put a text in quotes; write a field with such a name as `record[\"…\"]`")
        }
        _ if message.contains("missing ')'") => problem.help("a `)` is missing before it"),
        _ => problem.help("combine comparisons with `&&` or `||`, and put texts in quotes"),
    }
}

/// What people write who know SQL, spreadsheets or another language, and what the standard wants.
fn known_slip(text: &str, at: usize) -> Option<Problem> {
    let rest = &text[at..];
    let instead = |len: usize, wrong: &str, right: &str| {
        let problem = Problem::new(at..at + len, format!("`{wrong}` cannot stand here"));
        Some(problem.help(format!("write `{right}`")))
    };
    let previous = text[..at].trim_end();
    if rest.starts_with('=') && !rest.starts_with("==") {
        return instead(1, "=", "==");
    }
    if rest.starts_with("==") && previous.ends_with('=') {
        return instead(2, "===", "==");
    }
    if rest.starts_with('>') && previous.ends_with('<') {
        return instead(1, "<>", "!=");
    }
    if rest.starts_with('&') {
        return instead(1, "&", "&&");
    }
    if rest.starts_with('|') {
        return instead(1, "|", "||");
    }
    if let Some(quote) = rest.chars().next().filter(|c| "“”„‘’«»´`".contains(*c)) {
        let problem =
            Problem::new(at..at + quote.len_utf8(), format!("`{quote}` is not a quote that is understood"));
        return Some(problem.help("write straight quotes: \"…\" or '…'"));
    }
    if rest.starts_with(['"', '\'']) {
        return Some(quoted(text, at));
    }
    let word = &text[at..word_end(text, at)];
    let before = previous.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if before.eq_ignore_ascii_case("not") {
        let start = previous.len() - before.len();
        return Some(
            Problem::new(start..previous.len(), "`not` cannot stand here")
                .help("write `!` before what shall not hold: `!(…)`"),
        );
    }
    let right = match word.to_ascii_lowercase().as_str() {
        "and" => "&&",
        "or" => "||",
        "is" | "eq" | "equals" => "==",
        "like" | "contains" | "includes" => "lead.field.contains(\"…\")",
        "startswith" => "lead.field.startsWith(\"…\")",
        "endswith" => "lead.field.endsWith(\"…\")",
        "in" => "in",
        "not" => "!(… in […])",
        _ => return None,
    };
    if word == right { None } else { instead(word.len(), word, right) }
}

fn quoted(text: &str, at: usize) -> Problem {
    let rest = &text[at..];
    let quote = &rest[..1];
    let mut inner = rest[1..].char_indices();
    while let Some((index, c)) = inner.next() {
        if c == '\\' {
            match inner.next() {
                Some((_, next)) if !"abfnrtvxuU01234567\\?\"'`".contains(next) => {
                    let start = at + 1 + index;
                    return Problem::new(
                        start..start + 1 + next.len_utf8(),
                        format!("`\\{next}` means nothing"),
                    )
                    .help(format!("write `\\\\{next}` for the characters `\\{next}`"));
                }
                _ => {}
            }
        } else if rest[1 + index..].starts_with(quote) {
            let shown = &rest[..index + 2];
            return Problem::new(at..at + shown.len(), format!("`{shown}` cannot stand here"))
                .help("combine comparisons with `&&` or `||`");
        }
    }
    Problem::new(at..text.trim_end().len().max(at + 1), "this text is never closed")
        .help(format!("close it with {quote}"))
}

fn word_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let word = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    at + match word {
        0 => rest.chars().next().map_or(0, char::len_utf8),
        len => len,
    }
}

/// The innermost bracket that is still open at the end.
fn unclosed(text: &str) -> Option<char> {
    let mut open = Vec::new();
    for (_, c) in outside_quotes(text) {
        match c {
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// The parser counts lines and columns from 1, in characters.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    start + byte_of(&text[start..], column)
}
