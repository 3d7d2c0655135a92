//! From text to tree, within fixed bounds on size, depth and aliases.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span as EventSpan, StrInput, Tag};

use crate::{Diagnostic, Diagnostics, Key, Node, Place, SourceFile, Span, Value, scalar, syntax};

/// Files of ours are written by hand: anything above these bounds is a mistake or an attack.
const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 48;
/// Nodes that aliases may add: a file of a kilobyte can otherwise stand for terabytes.
const MAX_ALIAS_NODES: usize = 10_000;

/// Parses one YAML document. An empty file is a null node.
///
/// After an error in the syntax the rest cannot be read, so that is the last problem listed; duplicate keys
/// and other problems of content are all listed.
pub fn parse(source: &SourceFile) -> Result<Node, Vec<Diagnostic>> {
    if source.text().len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        let problem = Diagnostic::error("too-large", &Place::top(source), message);
        return Err(vec![problem]);
    }
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        disallow_directives: true,
        emit_unresolved_aliases: true,
    };
    let mut builder = Builder {
        source,
        parser: Parser::new_from_str_with_options(source.text(), options),
        anchors: HashMap::new(),
        open_anchors: HashSet::new(),
        alias_nodes: 0,
        problems: Diagnostics::default(),
    };
    let node = builder.document();
    let problems = builder.problems.into_sorted();
    match node {
        Some(node) if problems.is_empty() => Ok(node),
        _ => Err(problems),
    }
}

struct Builder<'s> {
    source: &'s SourceFile,
    parser: Parser<'s, StrInput<'s>>,
    anchors: HashMap<usize, Node>,
    /// Anchors whose node is not complete yet; an alias to one would refer to itself.
    open_anchors: HashSet<usize>,
    alias_nodes: usize,
    problems: Diagnostics,
}

impl<'s> Builder<'s> {
    /// `None` if the syntax is broken; that is then reported.
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    self.problem("second-document", self.span(at), "a second document starts here")
                        .help("keep one document in a file: remove the line `---`")
                        .push(&self.problems);
                    return None;
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, at)?),
            }
        }
        Some(root.unwrap_or_else(|| Node { span: self.source.span(0, 0), value: Value::Null }))
    }

    fn next(&mut self) -> Option<(Event<'s>, EventSpan)> {
        match self.parser.next_event()? {
            Ok(pair) => Some(pair),
            Err(error) => {
                let offset = self.byte_of(error.marker());
                let span = self.source.span(offset, 1);
                let (message, help) = syntax::explain(error.kind());
                let mut diagnostic = self.problem("syntax", span, &message);
                diagnostic.help = help;
                self.problems.push(diagnostic);
                None
            }
        }
    }

    fn node(&mut self, event: Event<'s>, at: EventSpan) -> Option<Node> {
        let anchor = event.anchor_id();
        if let Some(tag) = event.tag() {
            self.check_tag(tag, at);
        }
        self.open_anchors.extend(anchor);
        let node = match event {
            Event::Scalar(text, style, _, tag) => self.scalar(&text, style, tag.as_deref(), at),
            Event::SequenceStart(..) => self.list(at)?,
            Event::MappingStart(..) => self.map(at)?,
            Event::Alias(id) => self.alias(id, at),
            Event::UnresolvedAlias(name) => {
                let message = format!("`*{name}` refers to `&{name}`, which does not stand above");
                self.problem("unknown-alias", self.span(at), &message)
                    .help("put a text that starts with `*` in quotes")
                    .push(&self.problems);
                self.null(at)
            }
            // The parser emits no other event where a node belongs.
            _ => self.null(at),
        };
        if let Some(id) = anchor {
            self.open_anchors.remove(&id);
            self.anchors.insert(id, node.clone());
        }
        Some(node)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: EventSpan) -> Node {
        let plain = style == ScalarStyle::Plain;
        let as_text = !plain || tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
        let value = match as_text {
            true => Value::Text { text: text.to_owned(), plain },
            false => scalar::resolve(text),
        };
        Node { span: self.span(at), value }
    }

    fn list(&mut self, start: EventSpan) -> Option<Node> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                let span = self.between(start, at);
                return Some(Node { span, value: Value::List(items) });
            }
            items.push(self.node(event, at)?);
        }
    }

    fn map(&mut self, start: EventSpan) -> Option<Node> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut first_line = HashMap::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                let span = self.between(start, at);
                return Some(Node { span, value: Value::Map(entries) });
            }
            let key = self.key(event, at)?;
            let (event, at) = self.next()?;
            let value = self.node(event, at)?;
            let Some(key) = key else { continue };
            match first_line.get(&key.text) {
                Some(line) => self.duplicate(&key, *line),
                None => {
                    first_line.insert(key.text.clone(), key.span.line);
                    entries.push((key, value));
                }
            }
        }
    }

    /// `Some(None)` for a key that is reported and left out.
    fn key(&mut self, event: Event<'s>, at: EventSpan) -> Option<Option<Key>> {
        let span = self.span(at);
        if let Event::Scalar(text, style, ..) = &event {
            if *style == ScalarStyle::Plain && text == "<<" {
                self.problem("merge-key", span, "`<<` is not supported")
                    .help("write the keys out here")
                    .push(&self.problems);
                return Some(None);
            }
            if *style == ScalarStyle::Plain && text.is_empty() {
                self.problem("empty-key", span, "a key is missing before this colon").push(&self.problems);
                return Some(None);
            }
            let text = text.clone().into_owned();
            return Some(Some(Key { span, text }));
        }
        self.node(event, at)?;
        self.problem("bad-key", span, "a key must be a text")
            .help("text with `{`, `[` or `*` at its start needs quotes")
            .push(&self.problems);
        Some(None)
    }

    fn duplicate(&self, key: &Key, first_line: usize) {
        let shown = crate::node::shorten(&key.text);
        let message = format!("`{shown}` stands here twice, first in line {first_line}");
        self.problem("duplicate-key", key.span, &message)
            .found(&key.text)
            .help("keep one of the two")
            .push(&self.problems);
    }

    fn alias(&mut self, id: usize, at: EventSpan) -> Node {
        let span = self.span(at);
        if self.open_anchors.contains(&id) {
            self.problem("alias-cycle", span, "this alias refers to a block that it is part of")
                .push(&self.problems);
            return self.null(at);
        }
        let Some(node) = self.anchors.get(&id) else {
            return self.null(at);
        };
        let before = self.alias_nodes;
        self.alias_nodes = before.saturating_add(count(node));
        if self.alias_nodes <= MAX_ALIAS_NODES {
            return node.clone();
        }
        if before <= MAX_ALIAS_NODES {
            let message = format!("the aliases of this file stand for more than {MAX_ALIAS_NODES} values");
            self.problem("alias-budget", span, &message).help("write fewer aliases").push(&self.problems);
        }
        self.null(at)
    }

    fn check_tag(&self, tag: &Tag, at: EventSpan) {
        if matches!(tag.core_suffix(), Some("str" | "map" | "seq")) {
            return;
        }
        self.problem("tag", self.span(at), &format!("the tag `{}` is not supported", tag.original()))
            .help("put a text that starts with `!` in quotes")
            .push(&self.problems);
    }

    fn null(&self, at: EventSpan) -> Node {
        Node { span: self.span(at), value: Value::Null }
    }

    fn problem(&self, code: &'static str, span: Span, message: &str) -> Diagnostic {
        Diagnostic::error(code, &Place::new(self.source, span, ""), message)
    }

    fn span(&self, at: EventSpan) -> Span {
        self.between(at, at)
    }

    fn between(&self, start: EventSpan, end: EventSpan) -> Span {
        let from = self.byte_of(&start.start);
        let to = self.byte_of(&end.end).max(from);
        let text = self.source.text();
        let covered = text.get(from..to).unwrap_or_default();
        // Blocks end where the next key begins; the marks should end with the last text.
        self.source.span(from, covered.trim_end().len())
    }

    fn byte_of(&self, marker: &granit_parser::Marker) -> usize {
        let text = self.source.text();
        marker.byte_offset().unwrap_or_else(|| text.chars().take(marker.index()).map(char::len_utf8).sum())
    }
}

impl Diagnostic {
    fn push(self, problems: &Diagnostics) {
        problems.push(self);
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| count(node)).sum::<usize>(),
        _ => 1,
    }
}
