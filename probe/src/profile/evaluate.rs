//! What a device's answers say, by its profiles. Pure: answers in, facts out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::profile::model::{
    Amount, Choice, Fact, MetricRows, Object, ProcessorRows, Rows, SensorKind, SensorRows,
    SensorValue, Source, State, Status, StatusFrom, StatusOf, StorageRows, Symbol, Tag, TagFrom,
    Template, Unit,
};
use farwatch_shared::profile::{Applied, builtin, role, tidy};

use super::answers::Answers;
use super::cell::{self, Cell};
use super::known::{Found, Known, MetricValue, Processor, Sensor, Storage};
use super::row::{Row, meets_value, one_spaced, part_of};
use crate::snmp::Value;

const FACTS: [Fact; 8] = [
    Fact::Vendor,
    Fact::Role,
    Fact::Os,
    Fact::OsVersion,
    Fact::Model,
    Fact::Serial,
    Fact::Name,
    Fact::Location,
];

/// RFC 3418.
pub(super) const SYS_OBJECT_ID: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 2, 0]);

/// Who a device is, by `applied`, the best first.
#[must_use]
pub fn identify(applied: &[Applied], answers: &Answers) -> Known {
    Known {
        facts: facts(applied, answers),
        profiles: applied
            .iter()
            .map(|applied| (Arc::clone(&applied.profile.name), applied.why.clone()))
            .collect(),
        ..Known::default()
    }
}

/// What `applied`, the best first, make of the answers.
#[must_use]
pub fn evaluate(applied: &[Applied], answers: &Answers) -> Known {
    let mut known = identify(applied, answers);
    let mut taken = Taken::default();
    measured(applied, answers, &mut taken, &mut known);
    for Applied { profile, .. } in applied {
        taken.is_generic = profile.generic;
        for item in &profile.metrics {
            metrics(item, answers, &mut taken, &mut known.metrics);
        }
    }
    known
}

/// What it measures, and nothing else.
#[must_use]
pub fn measure(applied: &[Applied], answers: &Answers) -> Known {
    let mut known = Known::default();
    measured(applied, answers, &mut Taken::default(), &mut known);
    known
}

fn measured(applied: &[Applied], answers: &Answers, taken: &mut Taken, known: &mut Known) {
    for Applied { profile, .. } in applied.iter().filter(|applied| !applied.is_silenced) {
        taken.is_generic = profile.generic;
        for item in &profile.sensors {
            sensors(item, answers, taken, &mut known.sensors);
        }
        for item in &profile.storage {
            storage(item, answers, taken, &mut known.storage);
        }
        for item in &profile.processors {
            processors(item, answers, taken, &mut known.processors);
        }
    }
    tell_apart(&mut known.sensors);
}

/// What better profiles have taken already.
#[derive(Debug, Default)]
struct Taken {
    /// The profile gives way to those that know more.
    is_generic: bool,
    /// Objects that profiles which are not generic read.
    read: HashSet<Oid>,
    sensors: HashSet<(SensorKind, Oid)>,
    /// What profiles that are not generic call them, plainly.
    names: HashSet<(SensorKind, String)>,
    storage: HashSet<Oid>,
    processors: HashSet<Oid>,
    metrics: HashSet<(Oid, Box<str>)>,
}

impl Taken {
    /// Notes what is read; whether it is left to the one that read it before.
    fn is_left(&mut self, oids: impl IntoIterator<Item = Oid>) -> bool {
        if self.is_generic {
            return oids.into_iter().any(|oid| self.read.contains(&oid));
        }
        self.read.extend(oids);
        false
    }
}

fn facts(applied: &[Applied], answers: &Answers) -> BTreeMap<Fact, Found> {
    let mut facts = BTreeMap::new();
    for fact in FACTS {
        let generic = |applied: &&Applied| applied.profile.generic;
        let specific = || applied.iter().filter(|applied| !generic(applied));
        let found = if fact == Fact::Vendor {
            // Who registered the number says more than what a generic profile takes for granted, less than what it reads.
            let others = || applied.iter().filter(generic);
            first(specific(), fact, answers, |_| true)
                .or_else(|| {
                    first(others(), fact, answers, |source| {
                        !matches!(source, Source::Fixed(_))
                    })
                })
                .or_else(|| registered(answers))
                .or_else(|| first(others(), fact, answers, |_| true))
        } else {
            first(applied.iter(), fact, answers, |_| true)
        };
        facts.extend(found.map(|found| (fact, found)));
    }
    facts
}

/// The first of some profiles' sources that says something.
fn first<'a>(
    applied: impl Iterator<Item = &'a Applied>,
    fact: Fact,
    answers: &Answers,
    counts: impl Fn(&Source) -> bool,
) -> Option<Found> {
    for Applied { profile, .. } in applied {
        let sources = profile.facts.get(&fact).into_iter().flatten();
        for source in sources.filter(|source| counts(source)) {
            let Some((mut text, oid)) = said(source, answers) else {
                continue;
            };
            if fact == Fact::Role {
                text = role(&text).map_or(text, str::to_owned);
            }
            return Some(Found {
                text,
                profile: Arc::clone(&profile.name),
                oid,
            });
        }
    }
    None
}

/// The maker by the registry of enterprise numbers.
fn registered(answers: &Answers) -> Option<Found> {
    let id = answers.get(&SYS_OBJECT_ID)?.as_oid()?;
    Some(Found {
        text: builtin::enterprise(id)?.to_owned(),
        profile: Arc::from("enterprise numbers"),
        oid: Some(SYS_OBJECT_ID),
    })
}

fn said(source: &Source, answers: &Answers) -> Option<(String, Option<Oid>)> {
    match source {
        Source::Fixed(text) => Some((text.to_string(), None)),
        Source::Read(symbol) => read(symbol, answers).map(|(text, oid)| (text, Some(oid))),
        Source::Joined { template, parts } => {
            let mut texts = BTreeMap::new();
            let mut first = None;
            for part in parts {
                let (text, oid) = read(part, answers)?;
                first.get_or_insert(oid);
                texts.insert(&*part.object.name, text);
            }
            let text = template.fill(|name| {
                texts
                    .get(name)
                    .map(String::as_str)
                    .unwrap_or_default()
                    .into()
            });
            let text = one_spaced(&text);
            (!text.is_empty()).then_some((text, first))
        }
    }
}

fn read(symbol: &Symbol, answers: &Answers) -> Option<(String, Oid)> {
    let object = &symbol.object;
    let text = |value: &Value| {
        let text = cell::worded(value, object, true)?
            .text()
            .map(|text| one_spaced(&text))?;
        (!text.is_empty()).then_some(text)
    };
    if symbol.rows == Choice::Scalar {
        return Some((text(answers.get(&object.oid)?)?, object.oid.clone()));
    }
    let mut all = Vec::new();
    for (index, value) in answers.column(&object.oid) {
        let row = Row {
            answers,
            columns: &symbol.columns,
            values: &[object],
            index: Some(&index),
        };
        let says = cell::text_of(value).is_some_and(|text| !text.trim().is_empty());
        if !says
            || !row.meets_columns(&symbol.conditions)
            || !meets_value(&symbol.conditions, value)
        {
            continue;
        }
        let Some(text) = text(value) else { continue };
        if symbol.rows == Choice::First {
            return Some((text, object.oid.with_index(&index)));
        }
        if !all.contains(&text) {
            all.push(text);
        }
    }
    (!all.is_empty()).then(|| (all.join(", "), object.oid.clone()))
}

/// The indexes at which one of the objects has a cell; one `None` for scalars.
fn indexes<'a>(
    rows: &Rows,
    objects: impl Iterator<Item = &'a Object>,
    answers: &Answers,
) -> Vec<Option<Index>> {
    if !rows.is_table {
        return vec![None];
    }
    let mut found = BTreeMap::new();
    for object in objects {
        for (index, _) in answers.column(&object.oid) {
            found
                .entry(index.arcs().collect::<Vec<u32>>())
                .or_insert(index);
        }
    }
    found.into_values().map(Some).collect()
}

fn oid_in(object: &Object, index: Option<&Index>) -> Oid {
    match index {
        Some(index) => object.oid.with_index(index),
        None => object.oid.clone(),
    }
}

fn sensors(item: &SensorRows, answers: &Answers, taken: &mut Taken, out: &mut Vec<Sensor>) {
    let objects: Vec<&Object> = item.values.iter().map(|value| &value.object).collect();
    let all = indexes(&item.rows, objects.iter().copied(), answers);
    let row = |index| Row {
        answers,
        columns: &item.rows.columns,
        values: &objects,
        index,
    };
    let mut made: Vec<Vec<(Sensor, &SensorValue)>> = Vec::new();
    for index in &all {
        let row = row(index.as_ref());
        let values = item.values.iter();
        let mut of_row: Vec<_> = values
            .filter_map(|value| Some((sensor(item, value, row, taken)?, value)))
            .collect();
        name(&mut of_row, row, &item.rows.names);
        // Many devices tell the same thing in the vendor's MIB and in a standard one.
        let names = of_row
            .iter()
            .map(|(sensor, _)| (sensor.kind, plain(&sensor.name)));
        if taken.is_generic {
            let told: Vec<bool> = names.map(|name| taken.names.contains(&name)).collect();
            let mut told = told.into_iter();
            of_row.retain(|_| !told.next().unwrap_or(false));
        } else {
            taken.names.extend(names);
        }
        made.push(of_row);
    }
    if !item.same_name.is_empty() {
        let shared = shared_names(made.iter().flatten().map(|(sensor, _)| sensor));
        for (index, of_row) in all.iter().zip(&mut made) {
            if of_row
                .iter()
                .any(|(sensor, _)| shared.contains(&(sensor.kind, sensor.name.clone())))
            {
                name(of_row, row(index.as_ref()), &item.same_name);
            }
        }
    }
    out.extend(made.into_iter().flatten().map(|(sensor, _)| sensor));
}

/// A name for comparing: lower case, without the words phase and line and without the number 1.
fn plain(name: &str) -> String {
    let low = name.to_lowercase();
    let words = low.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words
        .filter(|word| !matches!(*word, "" | "phase" | "line" | "l" | "1"))
        .collect();
    if words.is_empty() {
        name.to_owned()
    } else {
        words.join(" ")
    }
}

/// Names that several sensors of a kind have.
fn shared_names<'a>(sensors: impl Iterator<Item = &'a Sensor>) -> HashSet<(SensorKind, String)> {
    let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
    for sensor in sensors {
        let name = (sensor.kind, sensor.name.clone());
        if !seen.insert(name.clone()) {
            shared.insert(name);
        }
    }
    shared
}

/// Sensors of a kind that still share a name get their index behind it.
fn tell_apart(sensors: &mut [Sensor]) {
    let shared = shared_names(sensors.iter());
    for sensor in sensors {
        if let Some(index) = &sensor.index
            && shared.contains(&(sensor.kind, sensor.name.clone()))
        {
            sensor.name = format!("{} ({index})", sensor.name);
        }
    }
}

fn name(of_row: &mut [(Sensor, &SensorValue)], row: Row<'_>, templates: &[Template]) {
    let base = row.fill(templates);
    let kinds: Vec<SensorKind> = of_row.iter().map(|(sensor, _)| sensor.kind).collect();
    for (sensor, value) in of_row {
        let is_one_of_several = kinds.iter().filter(|kind| **kind == sensor.kind).count() > 1;
        sensor.name = name_of(&base, value, row, is_one_of_several);
    }
}

fn name_of(base: &str, value: &SensorValue, row: Row<'_>, is_one_of_several: bool) -> String {
    let label = row.fill(&value.label);
    let symbol = &value.object.name;
    let name = if !label.is_empty() && (value.is_one_of_several || base.is_empty()) {
        format!("{base} {label}")
    } else if label.is_empty() && is_one_of_several {
        format!("{base} {symbol}")
    } else {
        base.to_owned()
    };
    let name = name.trim();
    match (name.is_empty(), row.index) {
        (false, _) => name.to_owned(),
        (true, Some(index)) => format!("{symbol} {index}"),
        (true, None) => symbol.to_string(),
    }
}

fn sensor(
    item: &SensorRows,
    value: &SensorValue,
    row: Row<'_>,
    taken: &mut Taken,
) -> Option<Sensor> {
    let raw = row.at(&value.object.oid)?;
    let oid = oid_in(&value.object, row.index);
    if !row.meets_columns(&item.rows.conditions) || !row.meets_columns(&value.conditions) {
        return None;
    }
    let kind = row.pick(&value.kind)?;
    // A value that only its own number rules out counts as read; a row that other columns rule out does not.
    if taken.is_left([oid.clone()]) || taken.sensors.contains(&(kind, oid.clone())) {
        return None;
    }
    if !meets_value(&item.rows.conditions, raw) || !meets_value(&value.conditions, raw) {
        return None;
    }
    let cell = cell::worded(raw, &value.object, false)?;
    let mut sensor = Sensor {
        kind,
        name: String::new(),
        value: None,
        unit: kind.unit().to_owned(),
        status: None,
        word: None,
        oid: oid.clone(),
        index: row.index.cloned(),
        file: Arc::clone(&item.rows.file),
    };
    if kind == SensorKind::State {
        let text = cell
            .text()
            .map(|text| text.trim().to_owned())
            .unwrap_or_default();
        let state = value
            .words
            .as_ref()
            .and_then(|words| words.get(&text))
            .cloned();
        let State { status, word } = state.unwrap_or(State {
            status: Status::Unknown,
            word: None,
        });
        sensor.value = cell.number().map(tidy);
        sensor.status = Some(status);
        sensor.word = word
            .map(String::from)
            .or_else(|| sensor.value.is_none().then_some(text));
    } else {
        sensor.value = Some(scaled(value, row, cell.number()?)?);
        if let Some(unit) = &value.unit {
            sensor.unit = row.pick_text(unit).unwrap_or(sensor.unit);
        }
        sensor.status = value
            .status
            .as_ref()
            .or(item.status.as_ref())
            .and_then(|status| status_of(status, row));
    }
    if sensor.status == Some(Status::Absent) {
        return None;
    }
    taken.sensors.insert((kind, oid));
    Some(sensor)
}

fn status_of(status: &StatusOf, row: Row<'_>) -> Option<Status> {
    let cell = match &status.from {
        StatusFrom::Column(column) => row.cell(column)?,
        StatusFrom::Object(oid) => Cell::Raw(row.at(oid)?),
    };
    let text = cell.text().unwrap_or_default();
    Some(
        status
            .mapping
            .get(text.trim())
            .map_or(Status::Unknown, |state| state.status),
    )
}

/// Powers of ten beyond this are no scale.
const GREATEST_POWER: i32 = 30;

fn scaled(value: &SensorValue, row: Row<'_>, number: f64) -> Option<f64> {
    let mut number = number * value.scale;
    for exponent in &value.exponents {
        let cell = row.cell(&exponent.column);
        let power = match (&cell, &exponent.mapping) {
            (None, _) => exponent.default,
            (Some(cell), Some(mapping)) => {
                let text = cell.text().unwrap_or_default();
                mapping.get(text.trim()).copied().or(exponent.default)
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "far beyond the greatest power at the ends"
            )]
            (Some(cell), None) => cell.number().map(|power| power as i32),
        }?;
        if power.abs() > GREATEST_POWER {
            return None;
        }
        let power = if exponent.negate { -power } else { power };
        number = if power >= 0 {
            number * 10_f64.powi(power)
        } else {
            number / 10_f64.powi(-power)
        };
    }
    if let Some((column, times)) = &value.divide {
        let by = row.cell(column)?.number().filter(|by| *by > 0.0)?;
        number = number * times / by;
    }
    if let Some(convert) = &value.convert {
        number = row.pick(convert)?.apply(number)?;
    }
    Some(tidy(number))
}

/// A number of storage or processors, before its scale.
fn amount<'a>(amount: Option<&Amount>, row: Row<'a>) -> Option<(f64, &'a Value)> {
    let amount = amount?;
    let raw = row.at(&amount.object.oid)?;
    if !row.meets_columns(&amount.conditions) || !meets_value(&amount.conditions, raw) {
        return None;
    }
    let number = cell::worded(raw, &amount.object, false)?.number()?;
    Some((number * amount.scale, raw))
}

/// Bytes; an INTEGER below nothing had 32 bits and no room for its sign.
fn bytes(of: Option<&Amount>, row: Row<'_>, unit: f64) -> Option<f64> {
    let (mut number, raw) = amount(of, row)?;
    if number < 0.0 && matches!(raw, Value::Integer(_)) {
        number += f64::from(u32::MAX) + 1.0;
    }
    Some(number * unit)
}

fn storage(item: &StorageRows, answers: &Answers, taken: &mut Taken, out: &mut Vec<Storage>) {
    let amounts = [&item.size, &item.used_percent, &item.used, &item.free];
    let objects: Vec<&Object> = amounts
        .into_iter()
        .flatten()
        .map(|amount| &amount.object)
        .collect();
    for index in indexes(&item.rows, objects.iter().copied(), answers) {
        let row = Row {
            answers,
            columns: &item.rows.columns,
            values: &objects,
            index: index.as_ref(),
        };
        out.extend(one_storage(item, row, &objects, taken));
    }
}

fn one_storage(
    item: &StorageRows,
    row: Row<'_>,
    objects: &[&Object],
    taken: &mut Taken,
) -> Option<Storage> {
    let (main, raw) = objects
        .iter()
        .find_map(|object| Some((oid_in(object, row.index), row.at(&object.oid)?)))?;
    if taken.storage.contains(&main)
        || !row.meets_columns(&item.rows.conditions)
        || !meets_value(&item.rows.conditions, raw)
    {
        return None;
    }
    let kind = row.pick(&item.kind)?;
    if taken.is_left(objects.iter().map(|object| oid_in(object, row.index))) {
        return None;
    }
    let unit = match &item.unit {
        Unit::Bytes(unit) => *unit,
        Unit::Column(pick) => {
            let text = row.pick_text(pick)?;
            Cell::Text(text.into())
                .number()
                .filter(|unit| *unit > 0.0)?
        }
    };
    let mut size = bytes(item.size.as_ref(), row, unit);
    let (used, free) = (
        bytes(item.used.as_ref(), row, unit),
        bytes(item.free.as_ref(), row, unit),
    );
    let percent = amount(item.used_percent.as_ref(), row).map(|(percent, _)| percent);
    if let (None, Some(used), Some(free)) = (size, used, free) {
        size = Some(used + free);
    }
    let used = used
        .or_else(|| Some((size? - free?).max(0.0)))
        .or_else(|| Some(size? * percent? / 100.0));
    if size.is_none_or(|size| size == 0.0) && percent.is_none() {
        return None;
    }
    // More used than there is: 32 bits were not enough for the size.
    let size = size.filter(|size| used.is_none_or(|used| *size == 0.0 || used <= size * 1.01));
    let percent = percent
        .or_else(|| Some(100.0 * used? / size.filter(|size| *size > 0.0)?))
        .map(|percent| percent.min(100.0));
    taken.storage.insert(main.clone());
    Some(Storage {
        name: named(row, &item.rows, "storage"),
        kind,
        size_bytes: size.map(f64::trunc),
        used_bytes: used.map(f64::trunc),
        used_percent: percent.map(|percent| (percent * 100.0).round() / 100.0),
        oid: main,
        file: Arc::clone(&item.rows.file),
    })
}

fn named(row: Row<'_>, rows: &Rows, otherwise: &str) -> String {
    let name = row.fill(&rows.names);
    match (name.is_empty(), row.index) {
        (false, _) => name,
        (true, Some(index)) => index.to_string(),
        (true, None) => otherwise.to_owned(),
    }
}

fn processors(
    item: &ProcessorRows,
    answers: &Answers,
    taken: &mut Taken,
    out: &mut Vec<Processor>,
) {
    let objects: Vec<&Object> = [&item.load, &item.idle]
        .into_iter()
        .flatten()
        .map(|amount| &amount.object)
        .collect();
    for index in indexes(&item.rows, objects.iter().copied(), answers) {
        let row = Row {
            answers,
            columns: &item.rows.columns,
            values: &objects,
            index: index.as_ref(),
        };
        out.extend(one_processor(item, row, &objects, taken));
    }
}

fn one_processor(
    item: &ProcessorRows,
    row: Row<'_>,
    objects: &[&Object],
    taken: &mut Taken,
) -> Option<Processor> {
    let (main, raw) = objects
        .iter()
        .find_map(|object| Some((oid_in(object, row.index), row.at(&object.oid)?)))?;
    if taken.processors.contains(&main)
        || !row.meets_columns(&item.rows.conditions)
        || !meets_value(&item.rows.conditions, raw)
        || taken.is_left([main.clone()])
    {
        return None;
    }
    let percent = match (
        amount(item.load.as_ref(), row),
        amount(item.idle.as_ref(), row),
    ) {
        (Some((load, _)), _) => load,
        (None, Some((idle, _))) => 100.0 - idle,
        (None, None) => return None,
    };
    taken.processors.insert(main.clone());
    Some(Processor {
        name: named(row, &item.rows, "processor"),
        load_ratio: (percent * 100.0).round() / 10_000.0,
        oid: main,
        file: Arc::clone(&item.rows.file),
    })
}

fn metrics(item: &MetricRows, answers: &Answers, taken: &mut Taken, out: &mut Vec<MetricValue>) {
    let mut rows: BTreeMap<Vec<u32>, Option<BTreeMap<String, String>>> = BTreeMap::new();
    for symbol in &item.symbols {
        let cells: Vec<(Option<Index>, &Value)> = if item.rows.is_table {
            let cells = answers.column(&symbol.object.oid);
            cells.map(|(index, value)| (Some(index), value)).collect()
        } else {
            answers
                .get(&symbol.object.oid)
                .map(|value| (None, value))
                .into_iter()
                .collect()
        };
        for (index, value) in cells {
            let tags = match &index {
                None => Some(BTreeMap::new()),
                Some(index) => rows
                    .entry(index.arcs().collect())
                    .or_insert_with(|| {
                        let row = Row {
                            answers,
                            columns: &item.rows.columns,
                            values: &[],
                            index: Some(index),
                        };
                        row.meets_columns(&item.rows.conditions)
                            .then(|| tags(&item.tags, index, answers))
                    })
                    .clone(),
            };
            let oid = oid_in(&symbol.object, index.as_ref());
            let name = &symbol.object.name;
            let key = (oid.clone(), name.clone());
            // A leading underscore: read for others, not for people.
            let Some(tags) = tags.filter(|_| !name.is_empty() && !name.starts_with('_')) else {
                continue;
            };
            if taken.metrics.contains(&key) || taken.is_generic && taken.read.contains(&oid) {
                continue;
            }
            let Some(cell) = cell::shaped(value, &symbol.object, false) else {
                continue;
            };
            let mapping = symbol.object.mapping.as_ref();
            let word = mapping.and_then(|mapping| mapping.word(cell.text()?.trim()));
            let number = if symbol.is_one {
                Some(1.0)
            } else {
                cell.number()
            };
            if number.is_none() && word.is_none() {
                continue;
            }
            taken.metrics.insert(key);
            out.push(MetricValue {
                name: name.to_string(),
                value: number.map(|number| tidy(number * symbol.scale)),
                word,
                unit: symbol.unit.as_deref().map(str::to_owned),
                tags,
                oid,
                file: Arc::clone(&item.rows.file),
            });
        }
    }
}

fn tags(tags: &[Tag], index: &Index, answers: &Answers) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for tag in tags {
        // The same tag again is what counts where the first has nothing.
        if tag.name.is_empty() || out.get(&*tag.name).is_some_and(|text| !text.is_empty()) {
            continue;
        }
        let part = match &tag.parts {
            Some(parts) => part_of(index, parts),
            None => Some(index.clone()),
        };
        let text = match (&tag.from, part) {
            (TagFrom::Object(object), Some(part)) => answers
                .get(&object.oid.with_index(&part))
                .and_then(|value| cell::worded(value, object, false))
                .and_then(|cell| cell.text().map(std::borrow::Cow::into_owned)),
            (TagFrom::Index(arc), _) => arc
                .checked_sub(1)
                .and_then(|arc| index.arcs().nth(arc))
                .map(|arc| arc.to_string()),
            (TagFrom::Parts, Some(part)) => Some(part.to_string()),
            (_, None) => None,
        };
        let Some(text) = text else { continue };
        let text = text.trim().to_owned();
        let word = tag.mapping.as_ref().and_then(|mapping| mapping.word(&text));
        out.insert(tag.name.to_string(), word.unwrap_or(text));
    }
    out
}

impl Known {
    /// A fact's text.
    #[must_use]
    pub fn fact(&self, fact: Fact) -> Option<&str> {
        self.facts.get(&fact).map(|found| found.text.as_str())
    }
}
