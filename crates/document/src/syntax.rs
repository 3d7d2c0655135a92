//! What the parser's errors mean to somebody who is no programmer.

use granit_parser::ErrorKind;

/// Message and, where there is one, the usual remedy.
pub(crate) fn explain(kind: &ErrorKind) -> (String, Option<String>) {
    let (message, help) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => ("a tab stands here", "indent with spaces only"),
        ErrorKind::UnclosedQuotedScalar => {
            ("a quote is opened and never closed", "close it with the same quote")
        }
        ErrorKind::UnclosedFlowCollection { open } => return unclosed(*open),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => return mismatched(*open, *close),
        ErrorKind::UnexpectedEofFlowSequence => return unclosed('['),
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            return unclosed('{');
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing", "remove it, or put the text in quotes")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => (
            "a comma or the closing bracket is missing before this",
            "separate the entries inside `[ ]` and `{ }` with commas",
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::BlockSequenceEntryNotAllowed => {
            ("this line does not fit the lines above", "lines of one block start in the same column")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "this colon cannot stand here",
            "put a text that contains `: ` in quotes, and check the indentation",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("this line is no `key: value`", "write a colon and a space after the key")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "text follows the closing quote",
            "put the whole text in quotes; inside single quotes write '' for one '",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "inside double quotes `\\` starts an escape, and this one is unknown",
            "use single quotes for a text with backslashes",
        ),
        ErrorKind::UnexpectedCharacter { character } => return unexpected(*character),
        ErrorKind::CommentInterceptedScalar => {
            ("a comment interrupts this text", "move the comment to its own line")
        }
        ErrorKind::InvalidBlockEntryWhitespace => {
            ("a space is missing after `-`", "write `- ` before each entry")
        }
        ErrorKind::RecursionLimitExceeded => ("blocks are nested too deeply here", "nest less"),
        ErrorKind::DirectiveDisallowed => ("lines that start with `%` are not supported", "remove the line"),
        ErrorKind::BomInsideDocument => {
            ("an invisible byte order mark stands here", "delete and retype this line")
        }
        other => return (format!("this is no valid YAML: {other}"), None),
    };
    (message.to_owned(), Some(help.to_owned()))
}

fn unclosed(open: char) -> (String, Option<String>) {
    let close = closing(open);
    (
        format!("`{open}` is opened and never closed"),
        Some(format!("add `{close}`, or put the text in quotes")),
    )
}

fn mismatched(open: char, close: char) -> (String, Option<String>) {
    let right = closing(open);
    (format!("`{open}` is closed by `{close}`"), Some(format!("close it with `{right}`")))
}

fn closing(open: char) -> char {
    match open {
        '[' => ']',
        '{' => '}',
        other => other,
    }
}

fn unexpected(character: char) -> (String, Option<String>) {
    (
        format!("`{}` cannot start a text", character.escape_default()),
        Some("put the text in quotes".to_owned()),
    )
}
