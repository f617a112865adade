//! Columns read side by side: one GETBULK for several, filled to the packet, until each has ended.

use std::cmp::Ordering;

use farwatch_shared::oid::{Index, Oid};

use super::exchange::Call;
use crate::snmp::{
    auth::Version,
    error::{GetError, WalkError},
    pdu::{Answer, ErrorStatus, Request, spare},
    value::{Value, VarBind},
};

/// Columns being read, and what became of it so far.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) cursors: Vec<Cursor>,
    pub(super) riders: Vec<Rider>,
    /// Why not all was read. The reading of other columns goes on where it can.
    pub(super) cut: Option<WalkError>,
    /// By GETNEXT, because the agent cannot do GETBULK.
    by_next: bool,
    /// One column at a time, because the agent refuses one and does not say which.
    one_by_one: bool,
}

/// A request and whom its answers are for.
struct Ask {
    request: Request,
    /// The first of its names are of this many riders.
    riders: usize,
    /// The others are of these cursors.
    cursors: Vec<usize>,
    /// Values that a full answer holds.
    values: usize,
}

impl Call<'_> {
    /// Reads on until all columns are done, or nothing more can be had.
    pub(super) async fn read_columns(&mut self, columns: &mut Columns) {
        columns.by_next = self.version() == Version::V1;
        let usual = self.peer.learned().bulk;
        loop {
            let room = if columns.by_next {
                self.peer.learned().get.limit()
            } else {
                self.bulk_values()
            };
            let Some(ask) = columns.next_ask(room) else {
                return;
            };
            if self.is_late() {
                columns.cut = Some(self.out_of_time());
                return;
            }
            match self.transact(&ask.request, self.limits.attempts).await {
                Ok(answer)
                    if answer.error_status == ErrorStatus::NoError
                        && !answer.varbinds.is_empty() =>
                {
                    if !columns.by_next && answer.varbinds.len() >= ask.values {
                        self.peer.learned().bulk.succeeded(ask.values);
                    }
                    if let Err((previous, next)) = columns.take(&ask, answer.varbinds) {
                        let target = self.peer.address;
                        columns.note(WalkError::NotIncreasing {
                            target,
                            previous,
                            next,
                        });
                    }
                    if columns.cells() > self.limits.max_values {
                        let (target, max_values) = (self.peer.address, self.limits.max_values);
                        columns.cut = Some(WalkError::TooManyValues { target, max_values });
                        return;
                    }
                }
                Ok(answer) => {
                    if self.complaint(columns, &ask, &answer) {
                        self.peer.learned().bulk = usual; // it was not for the size
                    }
                }
                Err(error @ (GetError::Timeout { .. } | GetError::Malformed { .. }))
                    if ask.values > 1 && !self.is_late() =>
                {
                    // too much for it, or is it gone?
                    let may_ask = self.peer.has_answered() || self.limits.attempts > 1;
                    if error.is_silence()
                        && !(may_ask && self.is_alive(&ask.request.names[0]).await)
                    {
                        columns.cut = Some(self.cut_by(error));
                        return;
                    }
                    self.too_much(columns.by_next, ask.values, error.is_silence());
                }
                Err(error @ GetError::Malformed { .. }) => columns.give_up(&ask, error),
                Err(error) => {
                    columns.cut = Some(self.cut_by(error));
                    return;
                }
            }
        }
    }

    /// An agent that answered with an error or with nothing: one column less, or one at a time, or less at once, or by
    /// GETNEXT. Says whether a column was given up.
    fn complaint(&self, columns: &mut Columns, ask: &Ask, answer: &Answer) -> bool {
        let status = answer.error_status;
        let blamed = answer
            .error_index
            .checked_sub(1 + ask.riders)
            .and_then(|at| ask.cursors.get(at));
        match (status, blamed) {
            // how v1 says that nothing follows
            (ErrorStatus::NoSuchName, Some(&at)) if columns.by_next => {
                columns.cursors[at].done = true;
                return false;
            }
            (
                ErrorStatus::NoError
                | ErrorStatus::TooBig
                | ErrorStatus::GenErr
                | ErrorStatus::ResourceUnavailable,
                _,
            ) if ask.values > 1 => {
                self.too_much(columns.by_next, ask.values, false);
                return false;
            }
            _ if ask.cursors.len() + ask.riders > 1 => {
                columns.one_by_one = true;
                return false;
            }
            _ if !columns.by_next => {
                columns.by_next = true;
                return false;
            }
            (ErrorStatus::NoSuchName | ErrorStatus::NoError, _) => {
                columns.cursors[ask.cursors[0]].done = true
            }
            _ => columns.give_up(
                ask,
                self.refused(status, ask.request.names.first().cloned()),
            ),
        }
        true
    }

    fn too_much(&self, by_next: bool, asked: usize, silently: bool) {
        let mut learned = self.peer.learned();
        let size = if by_next {
            &mut learned.get
        } else {
            &mut learned.bulk
        };
        if silently {
            size.shrink_after_silence(asked);
        } else {
            size.shrink(asked);
        }
    }
}

impl Columns {
    /// What to ask next, with `room` for that many values; `None` when all is read.
    fn next_ask(&self, room: usize) -> Option<Ask> {
        let active = (0..self.cursors.len()).filter(|&at| !self.cursors[at].done);
        let active: Vec<usize> = active
            .take(if self.one_by_one { 1 } else { room })
            .collect();
        if active.is_empty() {
            return None;
        }
        let waiting = self.riders.iter().filter(|rider| rider.value.is_none());
        let fit =
            !self.by_next && !self.one_by_one && waiting.clone().count() + active.len() <= room;
        let waiting: Vec<Oid> = waiting
            .filter(|_| fit)
            .map(|rider| rider.object.clone())
            .collect();
        let riders = waiting.len();
        let names = waiting
            .into_iter()
            .chain(active.iter().map(|&at| self.cursors[at].at.clone()))
            .collect::<Vec<_>>();
        if self.by_next {
            let values = names.len();
            return Some(Ask {
                request: Request::get_next(&names),
                riders,
                cursors: active,
                values,
            });
        }
        let wanted = active
            .iter()
            .map(|&at| self.cursors[at].rows_wanted())
            .max();
        let rows = ((room - riders) / active.len())
            .min(wanted.unwrap_or(1))
            .max(1);
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let request = Request::get_bulk(count(riders), count(rows), names);
        Some(Ask {
            request,
            riders,
            values: riders + rows * active.len(),
            cursors: active,
        })
    }

    /// Gives each value to its column. An OID that does not increase ends its column, and is told.
    fn take(&mut self, ask: &Ask, mut list: Vec<VarBind>) -> Result<(), (Oid, Oid)> {
        // In place: a value that is moved from hand to hand costs more than all that is done with it.
        let mut varbinds = list.iter_mut();
        if ask.riders > 0 {
            for rider in self.riders.iter_mut().filter(|rider| rider.value.is_none()) {
                rider.take(varbinds.next());
            }
        }
        let mut outcome = Ok(());
        for (varbind, &at) in varbinds.zip(ask.cursors.iter().cycle()) {
            if let Err(pair) = self.cursors[at].take(varbind) {
                outcome = Err(pair);
            }
        }
        spare::put_back(list);
        outcome
    }

    /// The first thing that went wrong is the reason; the others follow from it, or are of the same kind.
    fn note(&mut self, error: WalkError) {
        self.cut.get_or_insert(error);
    }

    fn give_up(&mut self, ask: &Ask, error: GetError) {
        if let Some(&at) = ask.cursors.first() {
            self.cursors[at].done = true;
        }
        self.note(error.into());
    }

    fn cells(&self) -> usize {
        let of = |cursor: &Cursor| cursor.cells.len() + cursor.numbers.as_ref().map_or(0, Vec::len);
        self.cursors.iter().map(of).sum()
    }
}

/// Where the reading of one column stands.
pub(super) struct Cursor {
    column: Oid,
    /// The last instance read; at first the column, or just before the first known row.
    at: Oid,
    /// Rows still to come, when they are known: the instance of the last, and how many.
    until: Option<(Oid, usize)>,
    pub(super) cells: Vec<VarBind>,
    /// Kept instead of `cells` where only numbers are wanted.
    pub(super) numbers: Option<Vec<(u32, u64)>>,
    done: bool,
}

impl Cursor {
    pub(super) fn new(column: &Oid, known: Option<&Known>, numbers: bool) -> Self {
        let mut cursor = Self {
            column: column.clone(),
            at: column.clone(),
            until: None,
            cells: Vec::new(),
            numbers: numbers.then(Vec::new),
            done: false,
        };
        match known {
            Some(Known {
                bounds: Some((before_first, last)),
                rows,
            }) => {
                cursor.at = column.with_index(before_first);
                cursor.until = Some((column.with_index(last), *rows));
                match &mut cursor.numbers {
                    Some(numbers) => numbers.reserve(*rows),
                    None => cursor.cells.reserve(*rows),
                }
            }
            Some(Known { bounds: None, .. }) => cursor.done = true,
            None => {}
        }
        cursor
    }

    fn rows_wanted(&self) -> usize {
        self.until.as_ref().map_or(usize::MAX, |(_, rows)| *rows)
    }

    /// Takes the next value of this column out of an answer, or finds that the column has ended. An OID that does not
    /// increase is an error.
    fn take(&mut self, VarBind { oid, value }: &mut VarBind) -> Result<(), (Oid, Oid)> {
        if self.done {
            return Ok(());
        }
        if matches!(value, Value::EndOfMibView) || !oid.starts_with(&self.column) {
            self.done = true;
            return Ok(());
        }
        if oid.cmp_under(&self.at, &self.column) != Ordering::Greater {
            self.done = true;
            return Err((self.at.clone(), oid.clone()));
        }
        if let Some((last, rows)) = &mut self.until {
            let past = oid.cmp_under(last, &self.column);
            self.done = past != Ordering::Less;
            if past == Ordering::Greater {
                return Ok(());
            }
            *rows = rows.saturating_sub(1).max(1);
        }
        match &mut self.numbers {
            Some(numbers) => {
                numbers.extend(oid.row_under(&self.column).zip(value.as_u64()));
                std::mem::swap(&mut self.at, oid);
            }
            None => {
                self.at = oid.clone();
                if !value.is_missing() {
                    let (oid, value) = (std::mem::take(oid), std::mem::replace(value, Value::Null));
                    self.cells.push(VarBind { oid, value });
                }
            }
        }
        Ok(())
    }
}

/// Rows known from before, the same for all columns of a table.
pub(super) struct Known {
    /// An index after which the first row is the next to come, and the last row.
    bounds: Option<(Index, Index)>,
    rows: usize,
}

impl Known {
    pub(super) fn of(rows: &[Index]) -> Self {
        let bounds = rows.iter().min().zip(rows.iter().max());
        Self {
            bounds: bounds.map(|(first, last)| (before(first), last.clone())),
            rows: rows.len(),
        }
    }
}

/// Row 6 for row 7; nothing, which is the column itself, for row 0 or 1.
fn before(first: &Index) -> Index {
    let mut arcs: Vec<u32> = first.arcs().collect();
    match arcs.pop() {
        None | Some(0) => {}
        Some(1) if arcs.is_empty() => {}
        Some(last) => arcs.push(last - 1),
    }
    Index::from_arcs(&arcs)
}

/// A scalar that rides along with a GETBULK, as a non-repeater.
pub(super) struct Rider {
    pub(super) instance: Oid,
    /// What it is asked by: the instance is the next after it.
    object: Oid,
    pub(super) value: Option<Value>,
}

impl Rider {
    pub(super) fn new(instance: &Oid) -> Option<Self> {
        let object = instance.parent().filter(|_| instance.last() == Some(0))?;
        Some(Self {
            instance: instance.clone(),
            object,
            value: None,
        })
    }

    fn take(&mut self, answer: Option<&mut VarBind>) {
        self.value = Some(match answer {
            Some(varbind) if varbind.oid == self.instance => {
                std::mem::replace(&mut varbind.value, Value::Null)
            }
            _ => Value::NoSuchInstance,
        });
    }
}
