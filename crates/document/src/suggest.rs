//! "Did you mean": the nearest of the allowed names.

/// The allowed name nearest to `written`, if it is near enough to be a slip rather than another word.
/// Case, `-` and `_` do not count as differences.
pub fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = fold(written);
    // Longer than any name of ours: not a slip of the pen, and the comparison is quadratic.
    if written.chars().count() > 100 {
        return None;
    }
    allowed
        .into_iter()
        .filter_map(|name| distance(&written, &fold(name)).map(|distance| (distance, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

fn distance(written: &str, name: &str) -> Option<usize> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let distance = strsim::damerau_levenshtein(written, name);
    if distance <= limit {
        return Some(distance);
    }
    let prefix =
        written.len() >= 4 && name.len() >= 4 && (name.starts_with(written) || written.starts_with(name));
    prefix.then_some(limit + 1)
}
