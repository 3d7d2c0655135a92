//! How a search is answered: along the sort's index where possible, else over the smallest candidate set.
//!
//! A pull over a million contacts asks for a time window sorted by that time; both the count and the page
//! then come from positions in the index, without looking at a record.

use std::ops::Range;

use super::links::Links;
use super::record::View;
use super::registry::ValueType;
use super::search::Search;
use super::search_filter::{Cond, Target};
use super::sorted::SortedKeys;
use super::table::{Table, id_of};

/// The one sort of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) by: Target,
    pub(crate) descending: bool,
}

/// A stretch of the sort's index that one filter group asks for.
struct Segment<'a> {
    low: i64,
    high: i64,
    places: Range<usize>,
    /// Conditions that the stretch does not settle.
    rest: Vec<&'a Cond>,
}

fn index(table: &Table, target: Target) -> Option<&SortedKeys> {
    match target {
        Target::Id => Some(&table.by_id),
        Target::Created => Some(&table.by_created),
        Target::Modified => Some(&table.by_modified),
        _ => None,
    }
}

/// The total and the ids of the page.
pub(crate) fn run(table: &Table, links: &Links, search: &Search) -> (usize, Vec<u64>) {
    if let Some(keys) = index(table, search.sort.by)
        && let Some(segments) = segments(keys, search)
    {
        let work: usize = segments
            .iter()
            .filter(|segment| !segment.rest.is_empty())
            .map(|segment| segment.places.len())
            .sum();
        if search.query.is_none() && (work == 0 || work <= candidates_cost(table, links, search)) {
            return walk(table, links, keys, &segments, search);
        }
    }
    scan(table, links, search)
}

/// The groups as stretches of the index, if no two overlap.
fn segments<'a>(keys: &SortedKeys, search: &'a Search) -> Option<Vec<Segment<'a>>> {
    let mut all: Vec<Segment<'_>> = search
        .groups
        .iter()
        .map(|group| {
            let (mut low, mut high, mut rest) = (i64::MIN, i64::MAX, Vec::new());
            for cond in group {
                match cond.range(search.sort.by) {
                    Some((from, to)) => (low, high) = (low.max(from), high.min(to)),
                    None => rest.push(cond),
                }
            }
            Segment { low, high, places: keys.range(low, high), rest }
        })
        .collect();
    if all.is_empty() {
        all.push(Segment { low: i64::MIN, high: i64::MAX, places: 0..keys.len(), rest: Vec::new() });
    }
    all.sort_by_key(|segment| segment.low);
    all.windows(2).all(|pair| pair[0].high < pair[1].low).then_some(all)
}

fn walk(
    table: &Table,
    links: &Links,
    keys: &SortedKeys,
    segments: &[Segment<'_>],
    search: &Search,
) -> (usize, Vec<u64>) {
    let descending = search.sort.descending;
    let (mut total, mut page, mut skip) = (0, Vec::with_capacity(search.limit), search.offset);
    let ordered: Vec<&Segment<'_>> =
        if descending { segments.iter().rev().collect() } else { segments.iter().collect() };
    for segment in ordered {
        let room = search.limit - page.len();
        if segment.rest.is_empty() {
            let length = segment.places.len();
            total += length;
            let (start, end) = (skip.min(length), (skip + room).min(length));
            let places = if descending {
                segment.places.end - end..segment.places.end - start
            } else {
                segment.places.start + start..segment.places.start + end
            };
            let mut ids: Vec<u64> = keys.slice(places).map(id_of).collect();
            if descending {
                ids.reverse();
            }
            page.extend(ids);
            skip -= start;
        } else {
            let mut ids: Vec<u64> = keys
                .slice(segment.places.clone())
                .map(id_of)
                .filter(|id| {
                    table.shown(*id).is_some_and(|view| {
                        segment.rest.iter().all(|cond| cond.holds(&view, &table.registry, table.kind, links))
                    })
                })
                .collect();
            if descending {
                ids.reverse();
            }
            total += ids.len();
            page.extend(ids.iter().skip(skip).take(room));
            skip = skip.saturating_sub(ids.len());
        }
    }
    (total, page)
}

/// The ids that a group can match at most, the smallest set that an index gives.
fn candidates(table: &Table, links: &Links, group: &[Cond]) -> Vec<u64> {
    for cond in group {
        if let Some((kind, id)) = cond.linked() {
            return links.ids((kind, id), table.kind);
        }
        if let Some((prop, value)) = cond.equality()
            && table.registry.get(prop).indexed
        {
            // A record whose change has not reached search may still match by its old value.
            return table.equal(prop, value).iter().copied().chain(table.stale.keys().copied()).collect();
        }
    }
    let (keys, places) = best_range(table, group);
    keys.slice(places).map(id_of).collect()
}

fn best_range<'a>(table: &'a Table, group: &[Cond]) -> (&'a SortedKeys, Range<usize>) {
    let mut best = (&table.by_id, 0..table.by_id.len());
    for (target, keys) in [
        (Target::Modified, &table.by_modified),
        (Target::Created, &table.by_created),
        (Target::Id, &table.by_id),
    ] {
        let ranges = group.iter().filter_map(|cond| cond.range(target));
        let (low, high) =
            ranges.fold((i64::MIN, i64::MAX), |(low, high), range| (low.max(range.0), high.min(range.1)));
        let places = keys.range(low, high);
        if places.len() < best.1.len() {
            best = (keys, places);
        }
    }
    best
}

fn candidates_cost(table: &Table, links: &Links, search: &Search) -> usize {
    if search.groups.is_empty() {
        return usize::MAX;
    }
    let cost = |group: &Vec<Cond>| {
        group
            .iter()
            .find_map(|cond| {
                if let Some((kind, id)) = cond.linked() {
                    return Some(links.of((kind, id), table.kind).len());
                }
                let (prop, value) = cond.equality()?;
                table.registry.get(prop).indexed.then(|| table.equal(prop, value).len() + table.stale.len())
            })
            .unwrap_or_else(|| best_range(table, group).1.len())
    };
    search.groups.iter().map(cost).sum()
}

fn scan(table: &Table, links: &Links, search: &Search) -> (usize, Vec<u64>) {
    let mut ids: Vec<u64> = if search.groups.is_empty() {
        table.by_id.slice(0..table.by_id.len()).map(id_of).collect()
    } else {
        search.groups.iter().flat_map(|group| candidates(table, links, group)).collect()
    };
    ids.sort_unstable();
    ids.dedup();
    let mut found: Vec<(u64, View<'_>)> = ids
        .into_iter()
        .filter_map(|id| Some((id, table.shown(id)?)))
        .filter(|(_, view)| matches(table, links, search, view))
        .collect();
    let registry = &table.registry;
    let by = search.sort.by;
    let rank = |view: &View<'_>| -> (bool, i64, String) {
        if let Target::Prop(prop, ValueType::Text | ValueType::Choice) = by {
            let text = view.value(registry, prop).map(|value| value.to_lowercase());
            return (text.is_none(), 0, text.unwrap_or_default());
        }
        let number = by.number(view);
        (number.is_none(), number.unwrap_or_default(), String::new())
    };
    found.sort_by_cached_key(|(id, view)| (rank(view), super::table::id_key(*id).1));
    if search.sort.descending {
        found.reverse();
    }
    let total = found.len();
    (total, found.into_iter().map(|(id, _)| id).skip(search.offset).take(search.limit).collect())
}

fn matches(table: &Table, links: &Links, search: &Search, view: &View<'_>) -> bool {
    let registry = &table.registry;
    let filtered = search.groups.is_empty()
        || search
            .groups
            .iter()
            .any(|group| group.iter().all(|cond| cond.holds(view, registry, table.kind, links)));
    let Some(query) = &search.query else { return filtered };
    let names = super::kinds::KINDS[table.kind].searchable;
    filtered
        && names
            .iter()
            .filter_map(|name| registry.find(name))
            .filter_map(|prop| view.props.get(prop))
            .any(|value| value.to_lowercase().contains(query.as_str()))
}
