//! An ordered set that also counts: rank, n-th and range lengths without walking the rows.
//!
//! A search over a million contacts has to say how many match and to start at row 9,900 in well
//! under a millisecond; `BTreeSet` can do neither.

/// A sort value and a tie-breaker from which the record id can be had back.
pub(crate) type Key = (i64, u64);

const MAX_CHUNK: usize = 1024;

/// A sorted list in chunks.
#[derive(Debug, Default)]
pub(crate) struct SortedKeys {
    chunks: Vec<Vec<Key>>,
    len: usize,
}

impl SortedKeys {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn chunk_of(&self, key: Key) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < key))
    }

    /// Adds a key; returns false if it was there.
    pub(crate) fn insert(&mut self, key: Key) -> bool {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        let at = self.chunk_of(key).min(self.chunks.len() - 1);
        let chunk = &mut self.chunks[at];
        let Err(place) = chunk.binary_search(&key) else { return false };
        chunk.insert(place, key);
        self.len += 1;
        if chunk.len() > MAX_CHUNK {
            // Rows mostly arrive in ascending order: keep the left part nearly full.
            let split = if place + 1 == chunk.len() { MAX_CHUNK } else { MAX_CHUNK / 2 };
            let right = chunk.split_off(split);
            self.chunks.insert(at + 1, right);
        }
        true
    }

    /// Removes a key; returns whether it was there.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Ok(place) = chunk.binary_search(&key) else { return false };
        chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        true
    }

    /// How many keys are smaller than this one.
    pub(crate) fn rank(&self, key: Key) -> usize {
        let at = self.chunk_of(key);
        let before: usize = self.chunks[..at].iter().map(Vec::len).sum();
        before + self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|other| *other < key))
    }

    /// The positions of all keys whose value lies in `low..=high`.
    pub(crate) fn range(&self, low: i64, high: i64) -> std::ops::Range<usize> {
        if low > high {
            return 0..0;
        }
        let start = self.rank((low, 0));
        let end = if high == i64::MAX { self.len } else { self.rank((high + 1, 0)) };
        start..end
    }

    /// The keys at these positions, ascending.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = Key> + '_ {
        let (mut at, mut skip) = (0, range.start);
        while at < self.chunks.len() && skip >= self.chunks[at].len() {
            skip -= self.chunks[at].len();
            at += 1;
        }
        self.chunks[at..].iter().flatten().copied().skip(skip).take(range.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn agrees_with_a_plain_set() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        let (mut keys, mut plain) = (SortedKeys::default(), BTreeSet::new());
        for step in 0..20_000u64 {
            let key = (rng.random_range(0..500), rng.random_range(0..50));
            if rng.random_bool(0.7) {
                assert_eq!(keys.insert(key), plain.insert(key));
            } else {
                assert_eq!(keys.remove(key), plain.remove(&key));
            }
            if step % 997 == 0 {
                let low = rng.random_range(0..500);
                let range = keys.range(low, low + 40);
                let expected: Vec<_> = plain.range((low, 0)..(low + 41, 0)).copied().collect();
                assert_eq!(range.len(), expected.len());
                assert_eq!(keys.slice(range).collect::<Vec<_>>(), expected);
                assert_eq!(keys.rank(key), plain.range(..key).count());
            }
        }
        assert_eq!(keys.len(), plain.len());
    }
}
