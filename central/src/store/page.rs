//! Lists: `{items, next, total}`, a limit, and a cursor that names the last item seen.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Items of a list when nobody says how many.
pub const DEFAULT_LIMIT: usize = 200;
/// The most that one answer holds.
pub const HIGHEST_LIMIT: usize = 10_000;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items, at most 10,000; 200 by default.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl PageQuery {
    /// The limit within its bounds.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, HIGHEST_LIMIT)
    }

    /// The cursor, when there is one that can be read; one that cannot starts from the beginning.
    #[must_use]
    pub fn after<K: serde::de::DeserializeOwned>(&self) -> Option<K> {
        let bytes = BASE64URL_NOPAD
            .decode(self.after.as_deref()?.as_bytes())
            .ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Ask with `after` = this for more; `null` at the end.
    #[schema(required)]
    pub next: Option<String>,
    /// Items of the whole list.
    pub total: u64,
}

impl<T> Page<T> {
    /// A list that is short enough to be whole.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        let total = items.len() as u64;
        Self {
            items,
            next: None,
            total,
        }
    }

    /// From rows that were read with a limit of one more than wanted.
    pub fn from_overfull<K: Serialize>(
        mut items: Vec<T>,
        limit: usize,
        total: u64,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| cursor(&key(last)));
        Self { items, next, total }
    }

    /// The part that `query` asks for of a list that is sorted by `key`.
    pub fn of_sorted<K: Serialize + serde::de::DeserializeOwned + Ord>(
        mut all: Vec<T>,
        query: &PageQuery,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let total = all.len() as u64;
        let start = query
            .after::<K>()
            .map_or(0, |after| all.partition_point(|item| key(item) <= after));
        let limit = query.limit();
        let more = all.len() - start > limit;
        all.drain(..start);
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(|last| cursor(&key(last)));
        Self {
            items: all,
            next,
            total,
        }
    }

    /// The same page with other items.
    pub fn map<U>(self, with: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(with).collect(),
            next: self.next,
            total: self.total,
        }
    }
}

fn cursor<K: Serialize>(key: &K) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(key).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_the_cursor_sees_every_item_once() {
        let all: Vec<u32> = (0..1_000).collect();
        let mut query = PageQuery {
            limit: Some(333),
            after: None,
        };
        let mut seen = Vec::new();
        loop {
            let page = Page::of_sorted(all.clone(), &query, |n| *n);
            assert_eq!(page.total, 1_000);
            seen.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_limit_stays_within_its_bounds_and_a_bad_cursor_starts_over() {
        let query = |limit, after: &str| PageQuery {
            limit: Some(limit),
            after: Some(after.to_owned()),
        };
        assert_eq!(query(0, "").limit(), 1);
        assert_eq!(query(1_000_000, "").limit(), HIGHEST_LIMIT);
        assert_eq!(
            Page::of_sorted(vec![1, 2], &query(1, "'; DROP"), |n| *n).items,
            [1]
        );
    }
}
