//! `WHERE`, put together from fixed pieces: values only ever travel as parameters.

use rusqlite::types::ToSql;

/// Clauses joined by `AND`, and their values.
pub(crate) struct Filter {
    clauses: Vec<&'static str>,
    values: Vec<Box<dyn ToSql>>,
}

impl Filter {
    pub(crate) const fn new() -> Self {
        Self {
            clauses: Vec::new(),
            values: Vec::new(),
        }
    }

    /// A clause with one `?`.
    pub(crate) fn and(&mut self, clause: &'static str, value: impl ToSql + 'static) -> &mut Self {
        self.clauses.push(clause);
        self.values.push(Box::new(value));
        self
    }

    /// The same, when there is a value.
    pub(crate) fn and_if(
        &mut self,
        clause: &'static str,
        value: Option<impl ToSql + 'static>,
    ) -> &mut Self {
        if let Some(value) = value {
            self.and(clause, value);
        }
        self
    }

    /// A clause with two `?`, when there are values.
    pub(crate) fn and_pair_if(
        &mut self,
        clause: &'static str,
        pair: Option<(impl ToSql + 'static, impl ToSql + 'static)>,
    ) -> &mut Self {
        if let Some((first, second)) = pair {
            self.and(clause, first);
            self.values.push(Box::new(second));
        }
        self
    }

    /// A clause without a value.
    pub(crate) fn and_plain(&mut self, clause: &'static str) -> &mut Self {
        self.clauses.push(clause);
        self
    }

    /// `head WHERE … tail`.
    pub(crate) fn sql(&self, head: &'static str, tail: &'static str) -> String {
        if self.clauses.is_empty() {
            format!("{head} {tail}")
        } else {
            format!("{head} WHERE {} {tail}", self.clauses.join(" AND "))
        }
    }

    /// The values, in the order of the clauses.
    pub(crate) fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(AsRef::as_ref).collect()
    }
}
